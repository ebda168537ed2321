"""`healthcare/dicom`: patients by tag, frames, and copies that are told by their pixels whatever their headers say."""

from __future__ import annotations

import numpy as np
from dicom_made import made, picture, write

from headstart.audit import audit
from headstart.split import Split
from headstart.survey import find_duplicates
from headstart_healthcare.data.dicom import Dicom


def test_one_number_of_two_hospitals_is_two_patients(tmp_path):
    for name, issuer in (("a", "north"), ("b", "north"), ("c", "south")):
        data = made(picture(seed=ord(name)), PatientID="17", IssuerOfPatientID=issuer)
        write(tmp_path / ("x" if name == "a" else "y") / f"{name}.dcm", data)
    groups = {example.input.path[-5]: example.group for example in Dicom(path=str(tmp_path), group="PatientID").examples()}
    assert groups["a"] == groups["b"] != groups["c"]


def test_a_file_without_the_tag_is_set_aside_where_patients_are_told_by_it(tmp_path):
    write(tmp_path / "x" / "a.dcm", made(picture(seed=1), PatientID="1"))
    write(tmp_path / "y" / "b.dcm", made(picture(seed=2)))
    data = Dicom(path=str(tmp_path), group="PatientID", max_bad=0.5)
    assert len(data.examples()) == 1 and data.facts()["flow"]["excluded"] == {"no-patient": 1}


def test_copies_are_told_by_their_pixels_whatever_their_headers_say(tmp_path):
    pixels = picture(seed=5)
    write(tmp_path / "x" / "a.dcm", made(pixels, PatientID="1", StudyDescription="first"))
    write(tmp_path / "y" / "b.dcm", made(pixels, PatientID="2"))
    write(tmp_path / "y" / "c.dcm", made(4095 - pixels, PatientID="3", PhotometricInterpretation="MONOCHROME1"))
    examples = Dicom(path=str(tmp_path), group="PatientID").examples()
    found = find_duplicates(examples)
    assert (found.extra, found.conflicts) == (2, 1)
    leaks = audit(examples, Split((0,), (), (1, 2), "as given")).found
    assert [(leak.kind, leak.label_conflict) for leak in leaks] == [("identical", True)]


def test_each_frame_is_a_picture_of_its_patient_or_the_middle_one_is(tmp_path):
    frames = np.stack([picture(seed=at) for at in range(5)])
    write(tmp_path / "x" / "a.dcm", made(frames, PatientID="1"))
    write(tmp_path / "y" / "b.dcm", made(picture(seed=9), PatientID="2"))
    each = Dicom(path=str(tmp_path), group="PatientID", frames="each", window="bits").examples()
    assert len(each) == 6 and len({example.id for example in each}) == 6 and len({example.group for example in each}) == 2
    assert np.allclose(each[3].input.pixels(), frames[3] / 4095, atol=1e-6)
    middle = Dicom(path=str(tmp_path), group="PatientID", frames="middle", window="bits").examples()
    assert np.allclose(middle[0].input.pixels(), frames[2] / 4095, atol=1e-6)


def test_windows_are_part_of_what_is_stored(tmp_path):
    """Another window is another content, so that no store gives back features of the old one."""
    write(tmp_path / "x" / "a.dcm", made(picture(seed=1), PatientID="1"))
    contents = {
        Dicom(path=str(tmp_path), group="none", window=how).examples()[0].input.content() for how in ("bits", "500/900")
    }
    assert len(contents) == 2
