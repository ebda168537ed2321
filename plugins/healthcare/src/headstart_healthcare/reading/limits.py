"""Limits: how much a file may unfold to, judged from its header before anything is decoded."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from headstart_healthcare.reading.errors import ReadingError

_CHUNK = 1 << 20
_RATIO = 100  # bytes that one deflated byte may unfold to; pictures reach some tens, zeros a thousand
_LEAST = 50_000_000  # bytes that need no such judgement


@dataclass(frozen=True)
class Limits:
    """What is still read.

    Attributes:
        pixels: Of one 2-D picture.
        voxels: Of one volume, all frames or slices together.
        bytes: Of one file, and of what a compressed one unfolds to.
    """

    pixels: int = 40_000_000
    voxels: int = 500_000_000  # 2 GB as float32
    bytes: int = 4_000_000_000


def check_file(path: Path, limits: Limits) -> int:
    """Size of a file in bytes.

    Raises:
        ReadingError: It is absent, empty or too large.
    """
    if not path.is_file():
        raise ReadingError("missing-file")
    size = path.stat().st_size
    if not size:
        raise ReadingError("empty")
    if size > limits.bytes:
        raise ReadingError("too-large", f"{size:,} bytes, the limit is {limits.bytes:,}")
    return size


def check_voxels(count: int, limit: int) -> None:
    """Refuse what a header declares before memory is asked for.

    Raises:
        ReadingError: It is over the limit.
    """
    if count > limit:
        raise ReadingError("too-large", f"{count:,} values, the limit is {limit:,}")


def check_deflated(data: bytes, limit: int) -> None:
    """Unfold a raw deflate stream piece by piece, keeping nothing.

    A stream of zeros is a DICOM object of a million empty elements, which takes minutes to parse, so the ratio counts as well.

    Raises:
        ReadingError: It unfolds to more than the limit, or to a large multiple of its size.
    """
    inflater, total, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, data
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, _CHUNK))
        rest = inflater.unconsumed_tail
        if total > limit:
            raise ReadingError("too-large", f"it unfolds to more than {limit:,} bytes")
        if total > _LEAST and total > _RATIO * len(data):
            raise ReadingError("too-large", f"{len(data):,} bytes unfold to more than {_LEAST:,}")


def gunzip(path: Path, limit: int) -> bytes:
    """Content of a .gz file.

    Raises:
        ReadingError: It unfolds to more than the limit, or ends early.
    """
    found = bytearray()
    try:
        with gzip.open(path) as file:
            while block := file.read(_CHUNK):
                found += block
                if len(found) > limit:
                    raise ReadingError("too-large", f"it unfolds to more than {limit:,} bytes")
    except EOFError:
        raise ReadingError("truncated") from None
    except (OSError, zlib.error) as error:
        raise ReadingError("broken", type(error).__name__) from None
    return bytes(found)
