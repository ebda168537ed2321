"""Hostile pictures: a typed error that names the file, or the picture that it is, within 2 s and 300 MB."""

from __future__ import annotations

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image

from headstart.errors import DataError
from headstart_vision.folder import Folder
from headstart_vision.pictures import Picture

T = TypeVar("T")
MEGABYTES = 300


def bounded(read: Callable[[], T]) -> T:
    """What `read` gives, within the time and memory that any picture may take."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        return read()
    finally:
        assert time.process_time() - began < 2
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1000  # kilobytes


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*between: bytes) -> bytes:
    """A black PNG of 8x8 pixels with further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(72)))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *between, pixels, chunk(b"IEND", b"")])


def saved(path: Path, content: bytes) -> Picture:
    path.write_bytes(content)
    return Picture(str(path))


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_a_chunk_that_unfolds_to_fifty_megabytes_is_refused(tmp_path: Path, kind: bytes) -> None:
    picture = saved(tmp_path / "bomb.png", png(chunk(kind, b"x\0\0" + zlib.compress(bytes(50_000_000)))))
    for read in (picture.check, picture.load):
        with pytest.raises(DataError, match=r"bomb\.png: is broken: Decompressed data too large"):
            bounded(read)


def test_a_chunk_of_fifty_megabytes_beside_the_pixels_does_no_harm(tmp_path: Path) -> None:
    picture = saved(tmp_path / "exif.png", png(chunk(b"eXIf", b"II*\0" + bytes(50_000_000))))
    assert bounded(lambda: picture.load().size) == (8, 8)


def test_a_wrong_checksum_of_pixels_is_an_error_with_the_files_name(tmp_path: Path) -> None:
    content = bytearray(png())
    content[content.index(b"IDAT") + 6] ^= 1
    with pytest.raises(DataError, match=r"crc\.png: is broken"):
        bounded(saved(tmp_path / "crc.png", bytes(content)).load)


def test_of_two_thousand_frames_only_the_first_is_decoded(tmp_path: Path) -> None:
    frames = [Image.new("P", (16, 16), number % 255) for number in range(2000)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert bounded(lambda: Picture(str(tmp_path / "film.gif")).load().size) == (16, 16)


def test_hundreds_of_scans_of_a_progressive_jpeg_stay_within_bounds(tmp_path: Path) -> None:
    made = io.BytesIO()
    Image.effect_noise((2000, 2000), 80).save(made, "JPEG", progressive=True)
    content = made.getvalue()
    start = content.index(b"\xff\xda")
    end = content.index(b"\xff\xc4", start)
    picture = saved(tmp_path / "scans.jpg", content[:start] + content[start:end] * 300 + content[end:])
    assert bounded(lambda: picture.load().size) == (2000, 2000)


@pytest.mark.parametrize("name", ["page.jpg", "svg.png"])
def test_a_page_or_a_drawing_is_no_picture_whatever_its_name_and_reads_no_other_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("hunter2")
    page = f'<!DOCTYPE x [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]><svg xmlns="http://www.w3.org/2000/svg">&s;</svg>'
    with pytest.raises(DataError, match="is no picture of a known form") as caught:
        bounded(saved(tmp_path / name, page.encode()).load)
    assert "hunter2" not in str(caught.value)


def test_a_picture_with_a_script_behind_it_is_the_picture_alone(tmp_path: Path) -> None:
    made = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(made, "JPEG")
    seen = bounded(saved(tmp_path / "both.jpg", made.getvalue() + b"<script>alert(1)</script>").load)
    assert (seen.size, seen.mode) == ((8, 8), "RGB")


def test_broken_files_count_against_the_budget(tmp_path: Path, budget: tuple[int, float, bool]) -> None:
    broken, max_bad, is_read = budget
    for number in range(100):
        path = tmp_path / "xy"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
        if number < broken:
            path.write_bytes(path.read_bytes()[:40])
    data = Folder(path=str(tmp_path), max_bad=max_bad)
    if is_read:
        assert (len(data.examples()), len(data.facts()["quarantined"])) == (100 - broken, broken)
        return
    with pytest.raises(DataError, match=rf"{broken} of 100 pictures cannot be read, over the budget of {max_bad:g}"):
        data.examples()
