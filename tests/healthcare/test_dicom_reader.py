"""The DICOM reader: every shipped file loads right or has a named reason; order, LUTs, inversion, bits and spacing hold."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made import changed, made, picture, series, voxels, write
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, pixel_array

from headstart_healthcare.reading.dicom_series import read_series
from headstart_healthcare.reading.errors import REASONS, ReadingError
from headstart_healthcare.reading.limits import Limits
from headstart_healthcare.reading.scan import How, Scan
from headstart_healthcare.reading.volume import Volume

BITS = How(window="bits")
GREY = How(colour="grey")


def shipped() -> list[Path]:
    """Every DICOM file of pydicom's wheel and of pydicom-data."""
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in (".dcm", ""))
    more = pytest.importorskip("data_store", reason="pydicom-data is not installed")
    return found + sorted((Path(more.__file__).parent / "data").glob("*.dcm"))


def seen(path: Path, how: How = BITS) -> np.ndarray:
    return Scan(str(path), "scan-1", how).see().pixels


def reason(path: Path, how: How = BITS) -> str:
    with pytest.raises(ReadingError) as caught:
        seen(path, how)
    return caught.value.reason


def volume(paths: list[Path]) -> np.ndarray:
    return Volume(tuple(map(str, paths)), "scan-1", How(window="full")).read().values


def volume_reason(paths: list[Path]) -> str:
    with pytest.raises(ReadingError) as caught:
        volume(paths)
    return caught.value.reason


def test_every_shipped_file_loads_or_has_a_named_reason_and_nothing_of_a_tag_is_told(caplog):
    paths = shipped()
    assert sum(path.suffix == ".dcm" for path in paths) >= 79 + 68
    outcomes = {"read": 0}
    with caplog.at_level(logging.DEBUG):
        for path in paths:
            for read in (Scan(str(path), "scan-1", GREY).see, Volume((str(path),), "scan-1", GREY).read):
                try:
                    found = read()
                except ReadingError as error:
                    assert error.reason in REASONS and str(error).startswith("scan-1: ")
                    assert path.name not in str(error)
                    assert error.__cause__ is None and error.__suppress_context__
                else:
                    values = found.pixels if hasattr(found, "pixels") else found.values
                    assert np.isfinite(values).all() and 0 <= values.min() < values.max() <= 1
                    outcomes["read"] += 1
    assert outcomes["read"] >= 115
    assert "CompressedSamples" not in caplog.text and "^" not in caplog.text


def test_pictures_that_load_hold_what_pydicom_decodes():
    """Not only that something comes back: the order of values is that of the decoded, rescaled pixels."""
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    for name in ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"):
        path = root / name
        header = pydicom.dcmread(path)
        values = np.asarray(apply_modality_lut(pixel_array(header), header), dtype=float)
        found = seen(path)
        slope, offset = np.polyfit(values.ravel(), found.ravel(), 1)
        assert slope > 0 and np.allclose(found, slope * values + offset, atol=1e-4), name


def test_monochrome1_and_2_twins_are_equal(tmp_path):
    pixels = picture()
    two = write(tmp_path / "two.dcm", made(pixels))
    one = write(tmp_path / "one.dcm", made(4095 - pixels, PhotometricInterpretation="MONOCHROME1"))
    both = write(
        tmp_path / "both.dcm",
        made(4095 - pixels, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
    )
    assert np.array_equal(seen(one), seen(two))
    assert np.array_equal(seen(both), seen(one)), "said twice, turned round once"


def test_inversion_comes_after_the_window(tmp_path):
    pixels = picture()
    window = {"WindowCenter": 1000, "WindowWidth": 500}
    two = write(tmp_path / "two.dcm", made(pixels, **window))
    one = write(tmp_path / "one.dcm", made(pixels, PhotometricInterpretation="MONOCHROME1", **window))
    assert np.allclose(seen(one, How(window="file")), 1 - seen(two, How(window="file")), atol=1e-6)


def test_values_are_scaled_by_the_declared_bits_and_not_by_those_that_occur(tmp_path):
    dark = (picture() // 4).astype(np.uint16)
    assert np.allclose(seen(write(tmp_path / "a.dcm", made(dark))), dark / 4095, atol=1e-6)
    ten = seen(write(tmp_path / "b.dcm", made(dark, BitsStored=10, HighBit=9)))
    assert np.allclose(ten, dark / 1023, atol=1e-6)


def test_rows_and_columns_are_not_exchanged(tmp_path):
    assert seen(write(tmp_path / "a.dcm", made(picture(8, 6)))).shape == (8, 6)


def test_a_modality_lut_comes_before_the_window(tmp_path):
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [4096, 0, 16], "US"
    table = (np.arange(4096) ** 2 // 256).astype(np.uint16)
    lut.LUTData = table.tobytes()
    pixels = picture()
    path = write(tmp_path / "a.dcm", made(pixels, ModalityLUTSequence=[lut], WindowCenter=20000, WindowWidth=20000))
    expected = np.clip((table[pixels] - 19999.5) / 19999 + 0.5, 0, 1)
    assert np.allclose(seen(path, How(window="file")), expected, atol=1e-4)


def test_padding_is_black_whatever_its_value(tmp_path):
    pixels = picture().astype(np.int16)
    pixels[0] = -2000
    path = write(tmp_path / "a.dcm", made(pixels, PixelPaddingValue=-2000, BitsStored=16, HighBit=15))
    assert (seen(path)[0] == 0).all()


def test_ct_is_read_in_hounsfield_units(tmp_path):
    stored = np.array([[0, 1024], [2024, 3072]], dtype=np.int16)
    path = write(
        tmp_path / "a.dcm",
        made(stored, Modality="CT", RescaleSlope=1, RescaleIntercept=-1024, BitsStored=16, HighBit=15),
    )
    assert np.allclose(seen(path, How(window="-0/2000")), [[0, 0.5], [1, 1]], atol=1e-6)
    assert np.allclose(seen(path, How(window="lung")), np.clip((stored - 1024.0 + 600) / 1500 + 0.5, 0, 1), atol=1e-6)


def test_spacing_is_known_flagged_or_unknown_and_never_invented(tmp_path):
    pixels = picture()
    files = {
        "patient": made(pixels, PixelSpacing=[0.2, 0.3]),
        "detector": made(pixels, ImagerPixelSpacing=[0.2, 0.3]),
        "nothing": made(pixels),
        "zero": made(pixels, PixelSpacing=[0, 0.3]),
    }
    found = {name: Scan(str(write(tmp_path / f"{name}.dcm", data)), name).see().spacing for name, data in files.items()}
    assert (found["patient"].at, found["patient"].rows, found["patient"].columns) == ("patient", 0.2, 0.3)
    assert found["detector"].at == "detector"
    assert found["nothing"] is None and found["zero"] is None


def test_shuffled_instance_numbers_and_file_names_give_the_same_volume(tmp_path):
    values = voxels()
    straight = series(tmp_path / "a", values)
    shuffled = series(tmp_path / "b", values, numbers=[4, 1, 6, 2, 5, 3])
    nameless = [changed(path, InstanceNumber=None) for path in series(tmp_path / "c", values)]
    expected = volume(straight)
    assert np.array_equal(volume(shuffled[::-1]), expected)
    assert np.array_equal(volume([nameless[i] for i in (3, 0, 5, 1, 4, 2)]), expected)


def test_a_volume_lies_as_it_does_in_the_patient(tmp_path):
    """RAS: the stored column grows to the left and the row to the back, so both are turned round; slices go bottom to top."""
    values = voxels()
    grid = Volume(tuple(map(str, series(tmp_path, values))), "v", How(window="full")).read()
    hounsfield = values.astype(float) - 1024
    expected = np.clip(hounsfield / 2048 + 0.5, 0, 1).transpose(2, 1, 0)[::-1, ::-1]
    assert np.allclose(grid.values, expected, atol=1e-5)
    assert np.allclose(grid.spacing, (0.75, 0.5, 2.5))
    opened = Volume(tuple(map(str, series(tmp_path, values))), "v", How(window="full")).open()
    assert opened.shape == (1, 6, 5, 4) and opened.dtype == np.float32
    assert np.array_equal(opened[0], grid.values.transpose(2, 1, 0))


def test_slices_written_top_to_bottom_give_the_same_volume(tmp_path):
    values = voxels()
    up, down = series(tmp_path / "a", values), series(tmp_path / "b", values[::-1])
    for at, path in enumerate(down):
        changed(path, ImagePositionPatient=[-30.0, -40.0, -100.0 + 2.5 * (len(values) - 1 - at)])
    assert np.array_equal(volume(up), volume(down))


def test_broken_series_are_refused_with_the_reason(tmp_path):
    values = voxels()

    def fresh(name: str) -> list[Path]:
        return series(tmp_path / name, values)

    gap = fresh("gap")
    assert volume_reason(gap[:2] + gap[3:]) == "gap"
    twice = fresh("twice")
    changed(twice[3], ImagePositionPatient=[-30.0, -40.0, -95.0])
    assert volume_reason(twice) == "duplicate-slice"
    lost = fresh("lost")
    changed(lost[2], ImagePositionPatient=None)
    assert volume_reason(lost) == "no-position"
    turned = fresh("turned")
    changed(turned[1], ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert volume_reason(turned) == "mixed-orientation"
    spaced = fresh("spaced")
    changed(spaced[1], PixelSpacing=[0.6, 0.75])
    assert volume_reason(spaced) == "mixed-spacing"
    assert volume_reason(fresh("one")[:1]) == "one-slice"
    mixed = fresh("mixed") + series(tmp_path / "other", values, uid="9.9")
    assert volume_reason(mixed) == "series"
    shape = fresh("shape")[:-1] + series(tmp_path / "wide", voxels(width=9))[-1:]
    assert volume_reason(shape) == "mixed-shape"


def test_a_tilted_gantry_is_refused(tmp_path):
    paths = series(tmp_path, voxels())
    for at, path in enumerate(paths):
        changed(path, ImagePositionPatient=[-30.0, -40.0 + at, -100.0 + 2.5 * at])
    assert volume_reason(paths) == "tilt"


def test_an_enhanced_object_is_read_by_the_positions_of_its_frames(tmp_path):
    values = voxels()
    order = [2, 0, 4, 1, 5, 3]
    data = enhanced(values[order], [-100.0 + 2.5 * at for at in order])
    path = write(tmp_path / "enhanced.dcm", data)
    assert np.allclose(volume([path]), volume(series(tmp_path / "s", values)), atol=1e-6)
    data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:3]
    assert volume_reason([write(tmp_path / "short.dcm", data)]) == "no-position"


def enhanced(values: np.ndarray, heights: list[float]) -> Dataset:
    """A multi-frame CT with functional groups."""
    frames = []
    for height in heights:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = [-30.0, -40.0, height]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    turn, measure, rescale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    turn.ImageOrientationPatient, measure.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.75]
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [turn], [measure]
    shared.PixelValueTransformationSequence = [rescale]
    return made(
        values, Modality="CT", BitsStored=16, HighBit=15,
        PerFrameFunctionalGroupsSequence=frames, SharedFunctionalGroupsSequence=[shared],
    )  # fmt: skip


def test_limits_are_judged_by_the_header_before_anything_is_decoded(tmp_path):
    path = write(tmp_path / "a.dcm", made(picture(64, 64)))
    assert reason(path, How(limits=Limits(pixels=1000))) == "too-large"
    with pytest.raises(ReadingError, match="too-large"):
        read_series(series(tmp_path / "s", voxels()), Limits(voxels=50), window="full", colour="refuse")


def test_colour_is_refused_or_read_by_its_brightness():
    root = Path(pydicom.__file__).parent / "data" / "test_files"
    assert reason(root / "SC_rgb_small_odd.dcm") == "colour"
    assert seen(root / "SC_rgb_small_odd.dcm", GREY).shape == (3, 3)
