"""Studies: one DICOM examination is of one person, so its files stay in one part whatever the patient's number says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from headstart_healthcare.data.case import Case

TAG = "StudyInstanceUID"

MOST = 3
"""Patients of one study that are taken for one person whose number was written in several ways. More than these are several
persons, and the study's number was replaced by one for all."""


def joined(cases: Sequence[Case]) -> tuple[list[Case], int]:
    """Cases whose patients are one where they share a study, and how many studies stand under several patients so."""
    shared = [patients for patients in _patients(cases).values() if 2 <= len(patients) <= MOST]
    same = _joined(shared)
    return [replace(case, patient=same.get(case.patient or "", case.patient)) for case in cases], len(shared)


def facts_of_studies(cases: Sequence[Case], torn: int) -> tuple[dict[str, Any], list[str]]:
    """Counts, and warnings for who divides the data; {} where no file names a study.

    Args:
        cases: As the source lists them, patients not yet joined.
        torn: Studies under several patients, from `joined`.
    """
    files = Counter(case.study for case in cases if case.study)
    if not files:
        return {}, []
    patients = _patients(cases)
    replaced = sum(len(found) > MOST for found in patients.values())
    several = sum(count > 1 for count in files.values())
    told = []
    if torn:
        told.append(
            f"{torn:,} studies stand under several patients' numbers: a study is of one person, so these patients are kept in "
            "one part as one; see which number is wrong."
        )
    if replaced:
        told.append(
            f"{replaced:,} studies stand under more than {MOST} patients: their numbers were replaced, and do not tell "
            "whether pictures are of one examination."
        )
    if several and not patients:
        told.append(
            f"{several:,} studies hold several files, and no patient is known; write `group: {TAG}` to keep each in one part."
        )
    return {"files": sum(files.values()), "known": len(files), "of several patients": torn, "replaced": replaced}, told


def _patients(cases: Iterable[Case]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for case in cases:
        if case.study and case.patient is not None:
            found.setdefault(case.study, set()).add(case.patient)
    return found


def _joined(sets: Iterable[set[str]]) -> dict[str, str]:
    """Patient -> the first, by name, of all that are one with them."""
    same: dict[str, set[str]] = {}
    for patients in sets:
        whole = set().union(patients, *(same[patient] for patient in patients if patient in same))
        same.update(dict.fromkeys(whole, whole))
    return {patient: min(whole) for patient, whole in same.items()}
