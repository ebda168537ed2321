"""Tags: the only DICOM elements whose values may leave a file, each of them no name, no date and no number of a person."""

from __future__ import annotations

from typing import Any

from headstart.errors import UsageError
from headstart_healthcare.data.ages import age_band
from headstart_healthcare.privacy.pseudonyms import Pseudonyms

ALLOWED = (
    "Modality",
    "PatientSex",
    "PatientAge",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "BodyPartExamined",
    "ViewPosition",
    "PhotometricInterpretation",
)
"""Given out as they are, the age as a band."""

SITES = ("InstitutionName", "StationName", "DeviceSerialNumber")
"""Given out as pseudonyms only."""

_LONGEST = 32  # characters of a value; longer ones are free text, in which anything may stand


def check_tags(names: list[str] | None) -> tuple[str, ...]:
    """The option `tags`, if each may leave a file.

    Raises:
        UsageError: One may not.
    """
    for name in names or ():
        if name not in ALLOWED + SITES:
            raise UsageError(f"data.tags: '{name}' may not leave a file; those that may: {', '.join(ALLOWED + SITES)}")
    return tuple(names or ())


def facts_of_header(header: Any, tags: tuple[str, ...], names: Pseudonyms) -> dict[str, str]:
    """Subgroups of a case: tag -> value; a site under the name "site"."""
    found = {}
    for tag in tags:
        value = str(header.get(tag, "") or "").strip()
        if not value or len(value) > _LONGEST or "^" in value:
            continue
        if tag in SITES:
            found["site"] = names.of("site", value)
        elif tag == "PatientAge":
            found["age"] = age_band(value)
        else:
            found[tag] = value
    return {name: value for name, value in found.items() if value}
