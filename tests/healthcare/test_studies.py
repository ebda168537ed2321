"""Studies: files of one DICOM examination are of one person, whatever number of a patient stands in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dicom_made import made, picture, series, voxels, write

from headstart.audit import audit
from headstart.split import Split
from headstart_healthcare.data.dicom import Dicom
from headstart_healthcare.data.volumes import Volumes

FIRST, SECOND, THIRD = "1.2.826.0.1.11", "1.2.826.0.1.12", "1.2.826.0.1.13"


def pictures(folder: Path, *pairs: tuple[str | None, str]) -> str:
    """One file per patient and study, by turns of two classes."""
    for at, (patient, study) in enumerate(pairs):
        data = made(picture(seed=at), StudyInstanceUID=study, **({"PatientID": patient} if patient else {}))
        write(folder / "xy"[at % 2] / f"{at}.dcm", data)
    return str(folder)


def groups(data: Dicom | Volumes) -> dict[str, str | None]:
    """Name of the file -> group."""
    return {Path(example.input.path).stem: example.group for example in data.examples()}


def test_patients_of_one_study_are_one_and_it_is_said(tmp_path):
    pairs = [("17", FIRST), ("017", FIRST), ("17a", SECOND), ("017", SECOND), ("4", THIRD), ("4", "1.2.826.0.1.14")]
    data = Dicom(path=pictures(tmp_path, *pairs), group="PatientID")
    found = groups(data)
    assert found["0"] == found["1"] == found["2"] == found["3"] != found["4"] == found["5"]
    facts = data.facts()
    assert facts["studies"] == {"files": 6, "known": 4, "of several patients": 2, "replaced": 0}
    assert facts["flow"]["patients"] == 2
    assert any("2 studies stand under several patients' numbers" in said for said in facts["warnings"])
    assert FIRST not in json.dumps(facts) and FIRST not in repr(data.examples())


def test_a_study_in_two_given_parts_is_a_leak(tmp_path):
    for part, at, patient in (("train", 0, "17"), ("train", 1, "3"), ("test", 2, "017"), ("test", 3, "4")):
        data = made(picture(seed=at), PatientID=patient, StudyInstanceUID=FIRST if at in (0, 2) else f"{SECOND}{at}")
        write(tmp_path / part / "xy"[at % 2] / f"{at}.dcm", data)
    examples = Dicom(path=str(tmp_path), group="PatientID").examples()
    parts = {name: tuple(i for i, e in enumerate(examples) if e.meta["split"] == name) for name in ("train", "test")}
    leaks = audit(examples, Split(parts["train"], (), parts["test"], "as given")).found
    assert [(leak.kind, len(leak.ids)) for leak in leaks] == [("group", 2)]


def test_a_number_that_stands_for_every_study_joins_nobody(tmp_path):
    data = Dicom(path=pictures(tmp_path, *((str(at), FIRST) for at in range(6))), group="PatientID")
    assert len(set(groups(data).values())) == 6
    assert data.facts()["studies"]["replaced"] == 1
    assert any("their numbers were replaced" in said for said in data.facts()["warnings"])


def test_where_no_patient_is_known_a_study_can_stand_for_one(tmp_path):
    path = pictures(tmp_path, (None, FIRST), (None, SECOND), (None, FIRST), (None, SECOND))
    unknown = Dicom(path=path, group="none")
    assert set(groups(unknown).values()) == {None}
    assert any(
        "2 studies hold several files" in said and "group: StudyInstanceUID" in said for said in unknown.facts()["warnings"]
    )
    found = groups(Dicom(path=path, group="StudyInstanceUID"))
    assert found["0"] == found["2"] != found["1"] == found["3"] and None not in found.values()


@pytest.mark.parametrize("group", ["PatientID", "StudyInstanceUID"])
def test_two_series_of_one_study_are_of_one_person(tmp_path, group):
    for at, patient in enumerate(("17", "017")):
        uid = f"1.2.826.0.2.{at}"
        series(tmp_path / "xy"[at] / "scan", voxels(seed=at), uid=uid, PatientID=patient, StudyInstanceUID=FIRST)
    first, second = Volumes(path=str(tmp_path), group=group).examples()
    assert first.group == second.group is not None
