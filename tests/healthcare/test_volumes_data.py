"""`healthcare/volumes`: NIfTI, DICOM series and BIDS as volumes of one orientation and spacing, patients and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_made import series, voxels

from headstart.errors import DataError, UsageError
from headstart_healthcare.data.volumes import Volumes
from headstart_healthcare.reading.volume import Volume

AFFINES = {
    "RAS": np.diag([2.0, 3.0, 4.0, 1.0]),
    "LPS": np.diag([-2.0, -3.0, 4.0, 1.0]),
}


def nifti(path: Path, values: np.ndarray, affine: np.ndarray = AFFINES["RAS"]) -> Path:
    """float32 [X, Y, Z] as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values.astype(np.float32), affine).to_filename(path)
    return path


def noise(seed: int = 0, shape: tuple[int, ...] = (8, 7, 6)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def volume(path: Path, **options: Any) -> Volume:
    return Volumes(path=str(path.parent), group="none", **options).read(path)


def class_folders(root: Path, count: int = 4) -> Path:
    for number in range(count):
        nifti(root / ("sick" if number % 2 else "well") / f"sub-{number}_T1w.nii.gz", noise(number))
    return root


def test_volumes_of_other_orientation_are_turned_to_the_same_one(tmp_path):
    values = noise()
    straight = volume(nifti(tmp_path / "a.nii.gz", values))
    mirrored = volume(nifti(tmp_path / "b.nii.gz", values[::-1, ::-1], AFFINES["LPS"]))
    swapped = AFFINES["RAS"][:, [2, 0, 1, 3]]
    turned = volume(nifti(tmp_path / "c.nii", values.transpose(2, 0, 1), swapped))
    assert np.array_equal(straight.open(), mirrored.open())
    assert np.array_equal(straight.open(), turned.open())
    assert straight.open().shape == (1, 6, 7, 8)
    assert np.allclose(turned.read().spacing, (2, 3, 4))


def test_a_volume_is_brought_to_the_asked_spacing_by_the_patients_millimetres(tmp_path):
    x = np.arange(20.0)
    ramp = np.broadcast_to(x[:, None, None], (20, 12, 8))
    found = volume(nifti(tmp_path / "a.nii.gz", ramp), spacing=[1.0, 3.0, 4.0]).read()
    assert found.values.shape[1:] == (12, 8) and found.values.shape[0] == pytest.approx(39, abs=1)
    assert np.allclose(found.spacing, (1, 3, 4))
    middle = found.values[5:-5, 5, 4]
    assert np.allclose(np.diff(middle), np.diff(middle).mean(), atol=1e-3), "a ramp stays a ramp"


def test_class_folders_of_nifti_and_of_dicom_series(tmp_path):
    class_folders(tmp_path)
    series(tmp_path / "sick" / "scan7", voxels(seed=7), uid="1.7", PatientID="MRN7")
    series(tmp_path / "well" / "scan8", voxels(seed=8), uid="1.8", PatientID="MRN8")
    data = Volumes(path=str(tmp_path), group="none", tags=["Modality"])
    assert sorted(example.target for example in data.examples()) == ["sick"] * 3 + ["well"] * 3
    with_tags = [example for example in data.examples() if example.meta.get("subgroups") == {"Modality": "CT"}]
    assert len(with_tags) == 2 and len(with_tags[0].input.paths) == 6


def test_patients_by_the_dicom_tag_and_two_series_in_one_folder_are_two_volumes(tmp_path):
    for uid, patient in (("1.1", "A"), ("1.2", "A"), ("1.3", "B")):
        paths = series(tmp_path / "sick" / "all", voxels(seed=int(uid[-1])), uid=uid, PatientID=patient)
        for path in paths:
            path.rename(path.with_name(f"{uid}-{path.name}"))
    series(tmp_path / "well" / "one", voxels(seed=9), uid="1.9", PatientID="C")
    examples = Volumes(path=str(tmp_path), group="PatientID").examples()
    assert len(examples) == 4
    groups = [example.group for example in examples]
    assert len(set(groups)) == 3 and all(group.startswith("patient-") for group in groups)


def test_a_bids_folder_by_its_participants(tmp_path):
    rows = ["participant_id\tage\tsex\tdiagnosis"]
    for number in range(4):
        rows.append(f"sub-{number:02d}\t{20 + 30 * (number % 2)}\tF\t{'AD' if number % 2 else 'control'}")
        for session in ("ses-1", "ses-2"):
            stem = f"sub-{number:02d}_{session}"
            nifti(
                tmp_path / f"sub-{number:02d}" / session / "anat" / f"{stem}_T1w.nii.gz", noise(10 * number + int(session[-1]))
            )
            nifti(tmp_path / f"sub-{number:02d}" / session / "anat" / f"{stem}_T2w.nii.gz", noise(99))
    rows.append("sub-99\t30\tF\tAD")
    (tmp_path / "participants.tsv").write_text("\n".join(rows), encoding="utf-8")
    data = Volumes(
        path=str(tmp_path), group="participant_id", label="diagnosis", age="age", subgroups=["sex"], positive="AD", max_bad=0.2
    )
    examples = data.examples()
    assert len(examples) == 8 and len({example.group for example in examples}) == 4
    assert examples[2].meta["subgroups"] == {"sex": "F", "age": "40-59"} and examples[2].target == "AD"
    assert data.facts()["flow"]["excluded"] == {"missing-file": 1}


def test_a_row_of_a_table_names_a_file_or_the_folder_of_a_series(tmp_path):
    nifti(tmp_path / "a.nii.gz", noise())
    series(tmp_path / "scan", voxels(), uid="1.5")
    (tmp_path / "t.csv").write_text("path,label,who\na.nii.gz,x,1\nscan,y,2\n", encoding="utf-8")
    data = Volumes(path=str(tmp_path / "t.csv"), group="who")
    assert [example.input.open().shape for example in data.examples()] == [(1, 6, 7, 8), (1, 6, 5, 4)]


def test_reports_beside_a_series_are_counted_and_not_read_as_volumes(tmp_path):
    import pydicom

    series(tmp_path / "sick" / "scan", voxels(), uid="1.5")
    series(tmp_path / "well" / "scan", voxels(seed=1), uid="1.6")
    report = Path(pydicom.__file__).parent / "data" / "test_files" / "reportsi.dcm"
    (tmp_path / "sick" / "scan" / "report.dcm").write_bytes(report.read_bytes())
    data = Volumes(path=str(tmp_path), group="none")
    assert len(data.examples()) == 2
    assert any("1 DICOM objects hold no picture" in text for text in data.facts()["notes"])


def test_an_orientation_that_the_file_does_not_state_is_never_invented(tmp_path):
    path = nifti(tmp_path / "a.nii", noise())
    content = bytearray(path.read_bytes())
    content[252:256] = b"\0" * 4  # qform_code and sform_code of nifti1.h
    path.write_bytes(content)
    with pytest.raises(DataError, match="orientation: stored"):
        volume(path)
    assert volume(path, orientation="stored").open().shape == (1, 6, 7, 8)


def test_views_of_volumes_keep_shape_and_sides(tmp_path):
    values = np.zeros((16, 12, 10))
    values[:5] = 1.0
    data = Volumes(path=str(tmp_path), group="none", augment="both")
    scan = data.read(nifti(tmp_path / "a.nii.gz", values + 0.01 * noise(shape=values.shape)))
    views = [data.augment(scan, np.random.default_rng(seed)) for seed in range(8)]
    assert all(view.shape == (1, 10, 12, 16) and view.dtype == np.float32 for view in views)
    assert all(view[..., 2:4].mean() > view[..., 12:14].mean() + 0.2 for view in views)


def test_options_are_judged_when_the_part_is_made(tmp_path):
    for options, said in (
        ({"orientation": "RAR"}, "does not name three axes"),
        ({"spacing": [1.0, 0.0, 1.0]}, "three lengths in millimetres"),
        ({"window": "lungs"}, "is none of"),
    ):
        with pytest.raises(UsageError, match=said):
            Volumes(path=str(tmp_path), group="none", **options)


def test_what_is_no_volume_is_refused_at_predict(tmp_path):
    data = Volumes(path=str(tmp_path), group="none")
    with pytest.raises(DataError, match="float array"):
        data.read(3)


def test_a_run_on_volumes_reaches_the_clinical_evaluation(tmp_path):
    import json

    from headstart.recipe import Part, Recipe

    for number in range(24):
        values = noise(number, (16, 16, 16)) * 0.3
        if number % 2:
            values[5:11, 5:11, 5:11] += 1
        nifti(tmp_path / "data" / ("sick" if number % 2 else "well") / f"sub-{number}.nii.gz", values)
    options = {"path": str(tmp_path / "data"), "group": r"(sub-\d+)", "positive": "sick"}
    backbone = Part("healthcare/monai-resnet10-3d", {"size": 16, "width": 0.125, "stem_stride": 1})
    recipe = Recipe(Part("healthcare/volumes", options), backbone, strategy=Part("full", {"epochs": 3}))
    metrics = json.loads((recipe.run(tmp_path / "runs").folder / "metrics.json").read_text())
    assert "auroc" in metrics["evaluations"]["healthcare/clinical"]["test"]["questions"]["sick"]
