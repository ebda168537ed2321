"""Every line of the table of bad inputs: a named reason, the pseudonym of the file, and never a traceback of a library."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_made import changed, made, picture, series, voxels, write
from PIL import Image
from pydicom.pixels.decoders import JPEGLSNearLosslessDecoder

from headstart.audit import audit, settle
from headstart.errors import DataError, RecipeError
from headstart.recipe import Recipe, SplitPlan
from headstart.split import make_splits
from headstart_healthcare.data.dicom import Dicom
from headstart_healthcare.data.images import Images
from headstart_healthcare.data.volumes import Volumes
from headstart_healthcare.reading.errors import FIXES, REASONS, ReadingError

TESTS = Path(pydicom.__file__).parent / "data" / "test_files"


def refused(read: Callable[[], Any], reason: str) -> str:
    """The message; it begins with a pseudonym and ends in what to do."""
    with pytest.raises(ReadingError) as caught:
        read()
    assert caught.value.reason == reason, str(caught.value)
    assert str(caught.value).startswith("scan-") and str(caught.value).endswith(FIXES[reason])
    return str(caught.value)


def of_picture(path: Path) -> Callable[[], Any]:
    return lambda: Dicom(path=str(path.parent), group="none").read(path)


def of_volume(path: Path) -> Callable[[], Any]:
    return lambda: Volumes(path=str(path.parent), group="none").read(path)


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def noise(shape: tuple[int, ...] = (8, 7, 6)) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32)


def header_changed(path: Path, at: int, packed: bytes) -> Path:
    """The bytes of a .nii file's header at an offset of nifti1.h replaced."""
    content = bytearray(path.read_bytes())
    content[at : at + len(packed)] = packed
    path.write_bytes(content)
    return path


def test_every_reason_says_what_it_means_and_what_to_do():
    assert set(FIXES) == set(REASONS) and all(map(str.strip, [*FIXES.values(), *REASONS.values()]))


# Files


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii", "a.nii.gz"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    read = of_volume if "nii" in name else of_picture
    assert "copy it again" in refused(read(tmp_path / name), "empty")


def test_a_truncated_dicom_nifti_and_gz(tmp_path):
    whole = write(tmp_path / "a.dcm", made(picture(40, 40)))
    (tmp_path / "b.dcm").write_bytes(whole.read_bytes()[:-500])
    refused(of_picture(tmp_path / "b.dcm"), "truncated")
    straight = nifti(tmp_path / "a.nii", noise())
    (tmp_path / "b.nii").write_bytes(straight.read_bytes()[:-300])
    refused(of_volume(tmp_path / "b.nii"), "truncated")
    packed = gzip.compress(straight.read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(packed[:-200])
    refused(of_volume(tmp_path / "b.nii.gz"), "truncated")
    refused(of_picture(TESTS / "MR_truncated.dcm"), "truncated")


def test_no_image_with_the_right_suffix(tmp_path):
    for name, read, reason in (
        ("a.png", of_picture, "not-image"),
        ("a.dcm", of_picture, "not-dicom"),
        ("a.nii", of_volume, "not-nifti"),
        ("a.nii.gz", of_volume, "broken"),
    ):
        (tmp_path / name).write_bytes(b"plain words, and many of them " * 40)
        refused(read(tmp_path / name), reason)


def test_a_dicom_without_pixels():
    refused(of_picture(TESTS / "rtplan.dcm"), "no-pixels")


def test_a_transfer_syntax_that_nothing_here_decodes_names_the_extra(monkeypatch):
    monkeypatch.setattr(JPEGLSNearLosslessDecoder, "_available", {})  # as where no extra is installed
    path = TESTS / "JPEGLSNearLossless_08.dcm"
    assert "headstart-healthcare[codecs]" in refused(of_picture(path), "transfer-syntax")


def test_colour_where_grey_is_read():
    assert "colour: grey" in refused(of_picture(TESTS / "SC_rgb_rle.dcm"), "colour")


def test_several_frames_where_one_is_read_and_how_to_read_them(tmp_path):
    path = write(tmp_path / "a" / "x.dcm", made(np.stack([picture(seed=i) for i in range(3)])))
    write(tmp_path / "b" / "y.dcm", made(picture(seed=9)))
    assert "frames: each" in refused(of_picture(path), "multi-frame")
    assert len(Dicom(path=str(tmp_path), group="none", frames="each").examples()) == 4
    assert len(Dicom(path=str(tmp_path), group="none", frames="middle").examples()) == 2


# Series and volumes


def test_one_slice_where_a_volume_is_read(tmp_path):
    refused(of_volume(series(tmp_path, voxels())[0]), "one-slice")
    refused(of_volume(nifti(tmp_path / "a.nii", noise((8, 7, 1)))), "one-slice")


def test_two_series_in_one_folder_that_a_row_names(tmp_path):
    for uid in ("1.1", "1.2"):
        for path in series(tmp_path / "x", voxels(), uid=uid):
            path.rename(path.with_name(f"{uid}{path.name}"))
    assert "folder of its own" in refused(of_volume(tmp_path / "x"), "series")


def test_a_lost_instance_number_is_no_fault_and_a_lost_position_is(tmp_path):
    paths = series(tmp_path / "x", voxels())
    changed(paths[0], InstanceNumber=None)
    of_volume(tmp_path / "x")()
    changed(paths[0], ImagePositionPatient=None)
    refused(of_volume(tmp_path / "x"), "no-position")


def test_a_duplicate_slice_a_gap_and_mixed_spacing(tmp_path):
    gap = series(tmp_path / "gap", voxels())
    gap[2].unlink()
    refused(of_volume(tmp_path / "gap"), "gap")
    twice = series(tmp_path / "twice", voxels())
    (tmp_path / "twice" / "copy.dcm").write_bytes(twice[2].read_bytes())
    refused(of_volume(tmp_path / "twice"), "duplicate-slice")
    mixed = series(tmp_path / "mixed", voxels())
    changed(mixed[0], PixelSpacing=[0.9, 0.9])
    refused(of_volume(tmp_path / "mixed"), "mixed-spacing")


def test_a_slice_of_a_series_that_is_broken_takes_the_series_with_it(tmp_path):
    paths = series(tmp_path / "sick" / "x", voxels())
    paths[3].write_bytes(paths[3].read_bytes()[:400])
    series(tmp_path / "well" / "y", voxels(seed=1), uid="1.9")
    data = Volumes(path=str(tmp_path), group="none", max_bad=0.5)
    assert len(data.examples()) == 1 and len(data.facts()["quarantined"]) == 1


def test_a_time_axis_nan_infinity_and_constant_values(tmp_path):
    refused(of_volume(nifti(tmp_path / "t.nii", noise((8, 7, 6, 3)))), "four-dimensional")
    for value in (np.nan, np.inf):
        values = noise()
        values[2, 3, 4] = value
        refused(of_volume(nifti(tmp_path / "n.nii", values)), "not-finite")
    refused(of_volume(nifti(tmp_path / "c.nii", np.full((8, 7, 6), 3, np.int16))), "constant")
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "c.png")
    refused(of_picture(tmp_path / "c.png"), "constant")


def test_a_spacing_of_zero_or_no_number(tmp_path):
    for number, spacing in enumerate((0.0, float("nan"))):
        path = header_changed(nifti(tmp_path / f"{number}.nii", noise()), 80, struct.pack("<f", spacing))  # pixdim[1]
        refused(of_volume(path), "spacing")


def test_lengths_whose_product_overflows(tmp_path):
    path = header_changed(nifti(tmp_path / "a.nii", noise()), 42, struct.pack("<3h", 32767, 32767, 32767))  # dim[1..3]
    refused(of_volume(path), "too-large")
    data = made(picture(), Rows=65535, Columns=65535, NumberOfFrames=2**31 - 1)
    refused(of_picture(write(tmp_path / "a.dcm", data)), "too-large")


def test_files_that_unfold_to_too_much(tmp_path):
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(b"\0" * 20_000_000))
    data = Volumes(path=str(tmp_path), group="none", max_voxels=100_000)
    refused(lambda: data.read(tmp_path / "bomb.nii.gz"), "too-large")
    png = bytearray(b"\x89PNG\r\n\x1a\n")
    for kind, content in ((b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)), (b"IEND", b"")):
        png += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    (tmp_path / "bomb.png").write_bytes(png)
    refused(of_picture(tmp_path / "bomb.png"), "too-large")


# Tables


def table(root: Path, text: str, pictures: int = 4, *, encoding: str = "utf-8") -> Path:
    """t.csv and a0.png, a1.png ... beside it."""
    for number in range(pictures):
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (9, 9)).astype(np.uint8)).save(root / f"a{number}.png")
    (root / "t.csv").write_bytes(text.encode(encoding))
    return root / "t.csv"


def images(path: Path, **options: Any) -> Images:
    return Images(**{"path": str(path), "group": "who", **options})


GOOD = "path,label,who\na0.png,x,1\na1.png,y,2\na2.png,x,3\na3.png,y,4\n"


def test_a_column_that_is_not_there_is_named_with_the_nearest_one(tmp_path):
    with pytest.raises(DataError, match=r"no column 'whom' \(data\.group\); did you mean 'who'"):
        images(table(tmp_path, GOOD), group="whom").examples()


def test_a_class_that_is_not_among_the_named_ones(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv:3, column 'label': the class 'y' is not among data\.classes: x, z"):
        images(table(tmp_path, GOOD), classes=["x", "z"]).examples()


def test_minus_one_without_a_policy(tmp_path):
    text = "path,edema,who\na0.png,1,1\na1.png,-1,2\n"
    with pytest.raises(DataError, match=r":3, column 'edema': -1 is uncertain; .*uncertain: ignore"):
        images(table(tmp_path, text), labels=["edema"]).examples()
    with pytest.raises(DataError, match="means uncertain in CheXpert"):
        images(table(tmp_path, "path,label,who\na0.png,1,1\na1.png,-1,2\n")).examples()


def test_one_file_in_two_rows_with_different_labels(tmp_path):
    with pytest.raises(DataError, match="lines 2 and 4 name one file, with different labels"):
        images(table(tmp_path, "path,label,who\na0.png,x,1\na1.png,y,2\na0.png,y,1\n")).examples()


def test_a_row_whose_file_is_absent_is_set_aside_within_the_budget_only(tmp_path):
    path = table(tmp_path, GOOD + "nowhere.png,x,9\n")
    with pytest.raises(DataError, match=r"1 of 5 files cannot be used, over the budget of 0.01") as caught:
        images(path).examples()
    assert "nowhere" not in str(caught.value) and "scan-" in str(caught.value)
    data = images(path, max_bad=0.2)
    assert len(data.examples()) == 4 and data.facts()["flow"]["excluded"] == {"missing-file": 1}


def test_a_picture_that_no_row_names_is_told(tmp_path):
    data = images(table(tmp_path, GOOD, pictures=6))
    data.examples()
    assert any("2 pictures beside the table stand in none of its rows" in text for text in data.facts()["notes"])


def test_a_table_in_another_encoding_is_read_as_what_it_is(tmp_path):
    text = "path;label;who\na0.png;Lungenentzündung;1\na1.png;gesund;2\n"
    examples = images(table(tmp_path, text, encoding="cp1252")).examples()
    assert [example.target for example in examples] == ["Lungenentzündung", "gesund"]


@pytest.mark.parametrize("cell", ["=1+2", "@SUM(A1)", "+cmd|' /C calc'!A0"])
def test_a_formula_in_a_cell_is_refused(tmp_path, cell):
    with pytest.raises(DataError, match=r"t\.csv:3.*begins like a formula"):
        images(table(tmp_path, f"path,label,who\na0.png,x,1\na1.png,{cell},2\n")).examples()


def test_a_path_that_leads_out_of_the_folder_is_set_aside(tmp_path):
    (tmp_path / "inner").mkdir()
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "secret.png")
    path = table(tmp_path / "inner", GOOD + "../secret.png,x,9\n")
    data = images(path, max_bad=0.2)
    data.examples()
    assert list(data.facts()["quarantined"].values()) == ["outside"]


def test_a_row_without_a_patient_is_set_aside(tmp_path):
    data = images(table(tmp_path, GOOD.replace("a3.png,y,4", "a3.png,y,")), max_bad=0.5)
    assert len(data.examples()) == 3 and list(data.facts()["quarantined"].values()) == ["no-patient"]


def test_findings_are_found_by_the_columns_names_and_not_by_their_order(tmp_path):
    """So a table with other columns first cannot exchange what a model learnt."""
    first = table(tmp_path, "path,edema,mass,who\na0.png,1,0,1\na1.png,0,1,2\n")
    data = images(first, labels=["edema", "mass"])
    (tmp_path / "other.csv").write_text("who,mass,path,edema\n1,0,a0.png,1\n2,1,a1.png,0\n", encoding="utf-8")
    assert [tuple(e.target) for e in data.open(tmp_path / "other.csv")] == [tuple(e.target) for e in data.examples()]
    assert data.target.labels == ("edema", "mass")


# Splits


def grouped(tmp_path: Path, text: str, plan: SplitPlan) -> Any:
    data = images(table(tmp_path, text, pictures=text.count("\n") - 1), split="part" if "part" in text else None)
    return data.examples(), data.target, plan


def test_one_class_only(tmp_path):
    examples, target, plan = grouped(tmp_path, GOOD.replace(",y,", ",x,"), SplitPlan())
    with pytest.raises(DataError, match="label"):
        make_splits(examples, plan, target)


def test_a_class_with_fewer_patients_than_folds(tmp_path):
    rows = "".join(f"a{i}.png,{'x' if i < 8 else 'y'},{i if i < 8 else 99}\n" for i in range(10))
    examples, target, plan = grouped(tmp_path, f"path,label,who\n{rows}", SplitPlan(folds=5))
    with pytest.raises(DataError, match=r"no training example has the label .y., which val or test has .fold"):
        make_splits(examples, plan, target)


def test_a_patient_in_two_given_splits_stops_the_run(tmp_path):
    rows = "".join(f"a{i}.png,{'xy'[i % 2]},{i // 2},{'train' if i < 9 else 'test'}\n" for i in range(14))
    examples, target, plan = grouped(tmp_path, f"path,label,who,part\n{rows}", SplitPlan(val=0))
    split = make_splits(examples, plan, target)[0]
    found = audit(examples, split)
    assert [leak.kind for leak in found.found] == ["group"]
    with pytest.raises(DataError, match="one group in train and test: scan-"):
        settle(examples, split, found, "error")


# Checkpoints and recipes


def test_new_volumes_are_brought_to_the_spacing_that_the_run_was_trained_with(tmp_path):
    trained = Volumes(path=str(tmp_path), group="none", spacing=[2.0, 2.0, 2.0])
    one = trained.read(nifti(tmp_path / "a.nii", noise((16, 16, 16)), np.diag([1.0, 1, 1, 1])))
    assert np.allclose(one.read().spacing, 2)


def test_a_volume_with_other_channels_than_the_network_reads_is_refused():
    from headstart_healthcare.backbones.volume_expectation import VolumeExpectation

    with pytest.raises(DataError, match="write channels: 2"):
        VolumeExpectation((8, 8, 8)).apply([np.zeros((2, 8, 8, 8), np.float32)])


def test_a_recipe_with_a_python_tag_is_refused_and_runs_nothing(tmp_path):
    path = tmp_path / "r.yaml"
    marker = tmp_path / "ran"
    path.write_text(
        f"data: !!python/object/apply:os.system ['touch {marker}']\nbackbone: vision/efficientnet-lite0\n", encoding="utf-8"
    )
    with pytest.raises(RecipeError):
        Recipe.load(path)
    assert not marker.exists()
