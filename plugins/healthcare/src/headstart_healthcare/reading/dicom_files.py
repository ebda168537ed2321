"""DICOM files: opened within limits, their transfer syntax named, their pixels described, nothing of the patient kept."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.limits import Limits, check_deflated, check_file, check_voxels

# pydicom's warnings and log lines quote what stands in tags: names among them
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
config.settings.reading_validation_mode = config.IGNORE

SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", "")
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_RATIO = 1000  # values that a byte of compressed pixels may unfold to; JPEG-LS and RLE reach some hundreds on blank pictures
_LEAST = 1_000_000  # values that need no such judgement

Header = pydicom.Dataset


def read_dicom(path: Path, limits: Limits, *, pixels: bool = True) -> Header:
    """A DICOM file, with or without its pixels.

    Raises:
        ReadingError: It is no DICOM file, is broken, or unfolds to more than the limit.
    """
    check_file(path, limits)
    _check_inflation(path, limits)
    header: Header
    try:
        header = pydicom.dcmread(path, stop_before_pixels=not pixels)
    except InvalidDicomError:
        header = _without_preamble(path, pixels)
    if not any(True for _ in header):
        raise ReadingError("truncated", "no element was read")
    _settle_syntax(header)
    return header


def syntax_of(header: Header) -> UID:
    """Its transfer syntax, as given or as it was read."""
    return UID(header.file_meta.TransferSyntaxUID)


def check_pixels(header: Header, limits: Limits, size: int) -> tuple[int, int, int]:
    """Frames, rows and columns, judged before anything is decoded.

    Args:
        header: With pixels.
        limits: Over which it is refused.
        size: Of the file, in bytes.

    Raises:
        ReadingError: There are no pixels, the header is not sound, or the pixels cannot be decoded here.
    """
    if not any(name in header for name in PIXELS):
        raise ReadingError("no-pixels")
    rows, columns = (_whole(header, name) for name in ("Rows", "Columns"))
    frames, samples = _whole(header, "NumberOfFrames", 1), _whole(header, "SamplesPerPixel", 1)
    allocated = _whole(header, "BitsAllocated")
    check_voxels(rows * columns, limits.pixels)
    check_voxels(rows * columns * frames, limits.voxels)
    count = frames * rows * columns * samples
    syntax = syntax_of(header)
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        _check_decoder(syntax)
        if count > _LEAST and count > _RATIO * size:
            raise ReadingError("too-large", f"{size:,} bytes declare {count:,} values")
    elif _stored(header) * 8 < count * allocated * (2 / 3 if header.get("PhotometricInterpretation") == "YBR_FULL_422" else 1):
        raise ReadingError("truncated", f"{_stored(header):,} bytes of pixels, {count * allocated // 8:,} declared")
    return frames, rows, columns


def decoders_of(syntax: UID) -> tuple[str, ...]:
    """Packages that would decode a transfer syntax and are not installed."""
    missing = get_decoder(syntax).missing_dependencies
    return tuple(dict.fromkeys(text.split(" - ")[-1].removeprefix("requires ") for text in missing))


def _stored(header: Header) -> int:
    return max(len(header[name].value or b"") for name in PIXELS if name in header)


def _whole(header: Header, name: str, default: int | None = None) -> int:
    """A positive whole number of the header."""
    value = header.get(name, default)
    try:
        number = int(value if value not in (None, "") else default)  # type: ignore[arg-type]  # None is told below
    except (TypeError, ValueError):
        raise ReadingError("pixel-header", f"no {name}") from None
    if number < 1:
        raise ReadingError("pixel-header", f"{name} is {number}")
    return number


def _check_decoder(syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ReadingError("transfer-syntax", f"{syntax.name}: no decoder is known") from None
    if not decoder.is_available:
        packages = "; ".join(decoders_of(syntax))
        raise ReadingError("transfer-syntax", f"{syntax.name}; it needs one of: {packages}")


def _check_inflation(path: Path, limits: Limits) -> None:
    """A deflated file is unfolded whole by the parser, so what it unfolds to is counted first."""
    try:
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    except Exception:
        return  # the parser will say what is wrong
    if syntax != DeflatedExplicitVRLittleEndian:
        return
    with path.open("rb") as file:
        start = _end_of_meta(path)
        file.seek(start)
        check_deflated(file.read(), min(limits.bytes, 4 * limits.voxels))


def _end_of_meta(path: Path) -> int:
    """Where the group 0002 ends: behind the preamble, the mark and as many bytes as its first element says."""
    with path.open("rb") as file:
        head = file.read(144)
    return 132 + 12 + int.from_bytes(head[140:144], "little")


def _without_preamble(path: Path, pixels: bool) -> Header:
    """Old files have no preamble; taken only where elements that every object has are found."""
    header = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
    if "SOPClassUID" not in header and "Rows" not in header:
        raise ReadingError("not-dicom")
    return header


def _settle_syntax(header: Header) -> None:
    """A file without a transfer syntax was read by its first bytes; it is told to the decoder."""
    if not hasattr(header, "file_meta"):
        header.file_meta = pydicom.dataset.FileMetaDataset()
    if "TransferSyntaxUID" in header.file_meta:
        return
    is_implicit, is_little = header.original_encoding
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


def group(frame: Any, name: str) -> Any:
    """The first item of a functional group's sequence; None = there is none."""
    items: Iterable[Any] = getattr(frame, name, None) or ()
    return next(iter(items), None)
