"""Pictures are decoded as a person sees them; bombs, strips and broken files end with an error that names them."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.audit import content_key
from headstart.errors import DataError
from headstart_vision.pictures import Picture, as_image

Save = Callable[..., Path]
RED = (200, 30, 40)


def mean(path: Path) -> tuple[int, ...]:
    pixels = np.asarray(Picture(str(path)).load())
    return tuple(int(value) for value in np.atleast_1d(np.round(pixels.mean(axis=(0, 1)))))


def write_png_header(path: Path, width: int, height: int) -> None:
    """A black PNG of one bit a pixel: 18 KB for 144 million of them."""
    pixels = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", pixels),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "gif"])
def test_every_usual_form_is_read_in_colour(save: Save, suffix: str) -> None:
    path = save(f"picture.{suffix}", RED)
    picture = Picture(str(path))
    assert picture.load().mode == "RGB"
    assert picture.check() == picture.load().size == (24, 16)
    np.testing.assert_allclose(mean(path), RED, atol=4)


def test_a_grey_picture_stays_grey(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    Image.new("1", (8, 8), 1).save(tmp_path / "bits.png")
    assert Picture(str(tmp_path / "grey.png")).load().mode == "L"
    assert mean(tmp_path / "bits.png") == (255,)


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr"])
def test_other_colour_modes_become_rgb(tmp_path: Path, paint: Callable[..., Image.Image], mode: str) -> None:
    path = tmp_path / ("picture.gif" if mode == "P" else "picture.tif")
    paint(RED).convert(mode).save(path)
    assert Picture(str(path)).load().mode == "RGB"
    np.testing.assert_allclose(mean(path), RED, atol=6)


def test_what_is_transparent_is_white_whatever_colour_lies_under_it(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (8, 8), (10, 128)).save(tmp_path / "half.png")
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([5] * 768)
    palette.save(tmp_path / "palette.png", transparency=3)
    assert mean(tmp_path / "clear.png") == (255, 255, 255)
    assert mean(tmp_path / "palette.png") == (255, 255, 255)
    assert mean(tmp_path / "half.png") == (132,)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_the_declared_range_not_by_the_values(tmp_path: Path, suffix: str) -> None:
    values = np.full((4, 4), 65535 // 4, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"dark.{suffix}")
    assert mean(tmp_path / f"dark.{suffix}") == (64,)


def test_a_tiff_that_declares_twelve_bits_of_range_uses_it(tmp_path: Path) -> None:
    values = np.full((4, 4), 2048, dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "scan.tif", tiffinfo={281: 4095})
    assert mean(tmp_path / "scan.tif") == (128,)


def test_sixteen_bits_where_zero_is_white_are_turned_round(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "film.tif", tiffinfo={262: 0})
    assert mean(tmp_path / "film.tif") == (255,)


def test_floating_point_needs_a_range(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32)).save(tmp_path / "share.tif")
    Image.fromarray(np.full((4, 4), 300.0, dtype=np.float32)).save(tmp_path / "kelvin.tif")
    assert mean(tmp_path / "share.tif") == (128,)
    with pytest.raises(DataError, match=r"kelvin\.tif: its numbers are not within 0 and 1"):
        Picture(str(tmp_path / "kelvin.tif")).load()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("tags", [{}, {340: 0.0, 341: 300.0}], ids=["no range", "a range"])
def test_a_pixel_that_is_no_number_is_refused(tmp_path: Path, value: float, tags: dict[int, float]) -> None:
    values = np.full((4, 4), 0.5, dtype=np.float32)
    values[1, 2] = value
    Image.fromarray(values).save(tmp_path / "scan.tif", tiffinfo=tags)
    with pytest.raises(DataError, match=r"scan\.tif: it holds 1 values that are NaN or infinite"):
        Picture(str(tmp_path / "scan.tif")).load()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_whichever_way_the_camera_was_held(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.new("L", (32, 16), 0)
    upright.paste(255, (0, 0, 8, 8))  # a white corner, top left
    stored = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]  # Image.Transpose numbers
    turned = upright
    for turn in stored:
        turned = turned.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / f"held.{suffix}", exif=exif)
    seen = np.asarray(Picture(str(tmp_path / f"held.{suffix}")).load())
    assert seen.shape == (16, 32)
    np.testing.assert_allclose(seen, np.asarray(upright), atol=12)


def test_only_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert mean(tmp_path / "film.gif") == (255, 0, 0)


def test_a_bomb_is_refused_by_its_header_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    write_png_header(tmp_path / "bomb.png", 12_000, 12_000)
    code = (
        "import resource, sys\n"
        "from headstart_vision.pictures import Picture\n"
        "from headstart.errors import DataError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for read in (Picture(sys.argv[1]).load, Picture(sys.argv[1]).check):\n"
        "    try:\n        read()\n    except DataError as error:\n        print(error)\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, 'kilobytes'\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.png")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bomb.png: 12000x12000 pixels are 144 million, over the limit of 40 million") == 2


def test_a_bomb_over_pillows_own_limit_is_refused_too(tmp_path: Path) -> None:
    write_png_header(tmp_path / "bomb.png", 20_000, 20_000)
    with pytest.raises(DataError, match=r"bomb\.png: .*limit"):
        Picture(str(tmp_path / "bomb.png"), max_pixels=10**12).check()


def test_a_strip_is_refused_since_scaling_it_up_would_be_the_bomb(tmp_path: Path) -> None:
    write_png_header(tmp_path / "strip.png", 1, 60_000)
    with pytest.raises(DataError, match=r"strip\.png: a strip of 1x60000 pixels"):
        Picture(str(tmp_path / "strip.png")).check()


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp", "tif"])
def test_a_truncated_file_is_found_when_it_is_listed(save: Save, suffix: str) -> None:
    path = save(f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for read in (Picture(str(path)).check, Picture(str(path)).load):
        with pytest.raises(DataError, match=rf"cut\.{suffix}: is (broken|no picture)"):
            read()


def test_bytes_after_the_end_of_a_picture_do_no_harm(save: Save) -> None:
    path = save("long.jpg")
    path.write_bytes(path.read_bytes() + bytes(500))
    assert Picture(str(path)).check() == (24, 16)


@pytest.mark.parametrize("content", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_says_so_and_is_not_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cat.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"cat\.jpg: is no picture of a known form \(JPEG, PNG"):
        Picture(str(tmp_path / "cat.jpg")).check()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.jpg: there is no such file"):
        Picture(str(tmp_path / "no.jpg")).load()


def test_a_picture_is_taken_in_any_form_that_python_has(save: Save) -> None:
    path = save("picture.png", RED)
    expected = np.asarray(Picture(str(path)).load())
    forms = [Picture(str(path)), path, str(path), path.read_bytes(), Image.open(path), expected]
    for form in forms:
        np.testing.assert_array_equal(np.asarray(as_image(form)), expected)
    assert as_image(expected[:, :, :1]).mode == "L"


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), dtype=np.float32), np.zeros((2, 4, 4, 3), dtype=np.uint8), 7])
def test_what_cannot_be_a_picture_is_refused_with_what_could(wrong: object) -> None:
    with pytest.raises(DataError, match="uint8"):
        as_image(wrong)


def test_a_picture_is_light_and_knows_its_content_by_its_bytes(save: Save) -> None:
    path = save("a.png")
    copy = path.with_name("b.png")
    copy.write_bytes(path.read_bytes())
    first, second = Picture(str(path), "a.png"), Picture(str(copy), "b.png")
    assert pickle.loads(pickle.dumps(first)) == first
    assert content_key(first) == content_key(second) != content_key(Picture(str(save("c.png"))))
    assert io.open(first, "rb").read() == path.read_bytes()  # noqa: UP020, SIM115 - it is a path to all of Python
