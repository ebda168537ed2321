"""Headers that lie: pictures and volumes made to harm are refused with a named reason, by pseudonym, in a moment."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_made import made, picture, series, write
from pydicom.uid import DeflatedExplicitVRLittleEndian

from headstart_healthcare.data.dicom import Dicom
from headstart_healthcare.data.volumes import Volumes
from headstart_healthcare.reading.errors import ReadingError

SLOPE, SERIES = struct.pack("<HH", 0x28, 0x1053), struct.pack("<HH", 0x20, 0x0D)
UNDEFINED = 0xFFFFFFFF
EXTENSION, SROW = 352, 280  # where a .nii holds the length of its first extension, and its affine


def refused(reader: type[Any], path: Path, **options: Any) -> ReadingError:
    with pytest.raises(ReadingError) as caught:
        reader(path=str(path.parent), group="none", **options).read(path)
    assert str(caught.value).startswith("scan-")
    assert path.name not in str(caught.value)
    return caught.value


def affine_changed(path: Path, rows: list[float]) -> Path:
    """A .nii whose sform alone counts and holds these 12 numbers."""
    nibabel.Nifti1Image(np.random.default_rng(0).random((8, 7, 6)).astype(np.float32), np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[252:256] = struct.pack("<hh", 0, 1)  # qform_code, sform_code
    content[SROW : SROW + 48] = struct.pack("<12f", *rows)
    path.write_bytes(content)
    return path


def test_more_bits_than_there_is_room_for(tmp_path: Path) -> None:
    assert refused(Dicom, write(tmp_path / "a.dcm", made(picture(), BitsStored=20, HighBit=19))).reason == "broken"


@pytest.mark.parametrize("slope", [b"0 ", b"zz", b"na"])
def test_a_slope_that_is_zero_or_no_number(tmp_path: Path, slope: bytes) -> None:
    path = write(tmp_path / "a.dcm", made(picture(), RescaleSlope="12", RescaleIntercept=0))
    content = bytearray(path.read_bytes())
    at = content.index(SLOPE) + 8
    content[at : at + 2] = slope
    path.write_bytes(content)
    assert refused(Dicom, path).reason == "rescale"
    series(tmp_path / "series", np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16), RescaleSlope=0)
    assert refused(Volumes, tmp_path / "series").reason == "rescale"


def test_sequences_nested_five_thousand_deep(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", made(picture()))
    inner = b""
    for _ in range(5000):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        head = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0" + struct.pack("<I", UNDEFINED)
        inner = head + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    whole = path.read_bytes()
    at = whole.index(SERIES)
    path.write_bytes(whole[:at] + inner + whole[at:])
    assert refused(Dicom, path).reason == "broken"


def test_a_directory_that_leads_out_of_its_folder_is_not_followed(tmp_path: Path) -> None:
    shipped = Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/DICOMDIR"
    directory = pydicom.dcmread(shipped)
    for record in directory.DirectoryRecordSequence:
        if "ReferencedFileID" in record:
            record.ReferencedFileID = ["..", "secret"]
    (tmp_path / "disc").mkdir()
    directory.save_as(tmp_path / "disc/DICOMDIR")
    for name in ("secret", "disc/a.dcm"):
        write(tmp_path / name, made(picture()))
    assert refused(Dicom, tmp_path / "disc/DICOMDIR").reason == "no-pixels"
    assert refused(Volumes, tmp_path / "disc").reason == "one-slice"  # a.dcm; with the other there would be two


def test_a_deflated_object_that_unfolds_to_too_much(tmp_path: Path) -> None:
    data = made(picture())
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = write(tmp_path / "a.dcm", data).read_bytes()
    at = whole.index(b"1.2.840.10008.1.2.1.99")
    length = struct.unpack("<I", whole[140:144])[0]  # of the group of the file's meta elements
    assert at < 144 + length
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    (tmp_path / "bomb.dcm").write_bytes(whole[: 144 + length] + packer.compress(b"\0" * 400_000_000) + packer.flush())
    assert (tmp_path / "bomb.dcm").stat().st_size < 1_000_000
    assert refused(Dicom, tmp_path / "bomb.dcm").reason == "too-large"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0], "spacing"), ([0] * 12, "spacing"), ([float("nan")] * 12, "broken")],
)
def test_an_affine_that_tells_no_three_directions(tmp_path: Path, rows: list[float], reason: str) -> None:
    assert refused(Volumes, affine_changed(tmp_path / "a.nii", rows)).reason == reason


@pytest.mark.parametrize("length", [0, 7, -16, 2**31 - 1])
@pytest.mark.filterwarnings("ignore:Extension size")
def test_an_extension_whose_length_lies(tmp_path: Path, length: int) -> None:
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((8, 7, 6)).astype(np.float32), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 100))
    image.to_filename(tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[EXTENSION : EXTENSION + 4] = struct.pack("<i", length)
    (tmp_path / "a.nii").write_bytes(content)
    assert refused(Volumes, tmp_path / "a.nii").reason == "not-nifti"
