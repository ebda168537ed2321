"""Case: one picture or volume as its source lists it, with names that never leave this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.example import Example
from headstart_healthcare.heads.findings import Findings
from headstart_healthcare.privacy.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class Case:
    """What the source says, before anything is opened.

    Attributes:
        key: Path below the data's folder, or place in a file; unique.
        input: What will be read; its name is a pseudonym already.
        target: A class, findings, or None = not labelled.
        unknown: Findings that nobody knows.
        patient: As the source names them; None = not known.
        split: "train", "val" or "test" where the source says so.
        subgroups: Name -> value: site, sex, age band, scanner.
        fault: A reason code that is known before the file is opened; "" = none.
        study: Number of the DICOM examination; None = the file names none. It never leaves this package.
    """

    key: str = field(repr=False)
    input: Any
    target: Any = None
    unknown: tuple[str, ...] = ()
    patient: str | None = field(default=None, repr=False)
    split: str | None = None
    subgroups: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    study: str | None = field(default=None, repr=False)

    def example(self, names: Pseudonyms) -> Example:
        """As the core reads it: every name a pseudonym."""
        found = {"split": self.split, "unknown": self.unknown, "subgroups": dict(self.subgroups)}
        meta = {name: value for name, value in found.items() if value}
        group = names.of("patient", self.patient) if self.patient is not None else None
        is_plain = isinstance(self.target, tuple) and not isinstance(self.target, Findings)
        target = Findings(self.target, self.unknown) if is_plain else self.target
        return Example(names.of("scan", self.key), self.input, target, group, meta)
