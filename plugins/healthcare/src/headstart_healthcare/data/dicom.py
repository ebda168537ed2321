"""The data part `healthcare/dicom`: DICOM pictures (X-rays, mammograms, slices), patients and subgroups by their tags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from headstart_healthcare.data.case import Case
from headstart_healthcare.data.images import DICOM, Images
from headstart_healthcare.data.patients import TAG, Patients
from headstart_healthcare.data.studies import TAG as STUDY
from headstart_healthcare.privacy.pseudonyms import Pseudonyms
from headstart_healthcare.privacy.tags import check_tags, facts_of_header
from headstart_healthcare.reading.dicom_files import Header, read_dicom
from headstart_healthcare.reading.errors import ReadingError, reading


class Dicom(Images):
    """DICOM pictures in class folders or named in a table, as `healthcare/images`; their headers tell patients and subgroups.

    Of the header, only the tags of an allow-list leave the file; patient and institution as pseudonyms. Volumes out of DICOM
    series are read by `healthcare/volumes`.

    Args:
        group: Who the patient is: "PatientID" = the tag of that name, or a column of the table, or a regular expression on
            the path; "StudyInstanceUID" = each examination stands for a patient; "none" where nobody knows.
        frames: Of files with several frames: "one" sets them aside, "each" reads each frame as a picture, "middle" one.
        tags: Subgroups to measure by: Modality, PatientSex, PatientAge (as a band), Manufacturer, ManufacturerModelName,
            MagneticFieldStrength, BodyPartExamined, ViewPosition; InstitutionName, StationName or DeviceSerialNumber as site.
    """

    has_tags: ClassVar[bool] = True

    def __init__(
        self,
        *,
        group: str,
        frames: Literal["one", "each", "middle"] = "one",
        tags: list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(group=group, **options)
        self.frames, self.tags = frames, check_tags(tags)

    def is_wanted(self, path: Path) -> bool:
        """DICOM suffixes, or none."""
        return path.suffix.lower() in DICOM or (not path.suffix and path.name != "DICOMDIR")

    def told_more(self, cases: list[Case], names: Pseudonyms) -> list[Case]:
        """Patient, subgroups and frames out of the headers; a file whose header cannot be read stays for the pre-flight."""
        return [one for case in cases for one in self._told(case, names)]

    def _told(self, case: Case, names: Pseudonyms) -> list[Case]:
        try:
            header: Header = reading("", lambda: read_dicom(Path(case.input.path), self.how.limits, pixels=False))
        except ReadingError as error:
            return [replace(case, fault=case.fault or error.reason)]
        told = replace(
            examined(case, header, self.choices.patients),
            subgroups={**facts_of_header(header, self.tags, names), **case.subgroups},
        )
        return self._framed(told, header, names)

    def _framed(self, case: Case, header: Header, names: Pseudonyms) -> list[Case]:
        try:
            count = int(header.get("NumberOfFrames") or 1)
        except (TypeError, ValueError):
            return [case]
        if count <= 1 or self.frames == "one":
            return [case]
        picked = [count // 2] if self.frames == "middle" else list(range(count))
        keys = [f"{case.key}#{frame}" for frame in picked]
        return [
            replace(case, key=key, input=replace(case.input, frame=frame, name=names.of("scan", key)))
            for key, frame in zip(keys, picked, strict=True)
        ]


def examined(case: Case, header: Header, patients: Patients) -> Case:
    """The case with its study, and with the patient where the header tells that."""
    study = str(header.get(STUDY, "") or "").strip() or None
    told = {TAG: patient_of(header), STUDY: study}
    return replace(case, study=study, patient=told[patients.tag] if patients.tag else case.patient)


def patient_of(header: Header) -> str | None:
    """The tag PatientID, with the issuer where there is one, since two hospitals may give one number to two people."""
    parts = (str(header.get(name, "") or "").strip() for name in (TAG, "IssuerOfPatientID"))
    number, issuer = parts
    return f"{number}\0{issuer}" if number and issuer else number or None
