"""Pictures: files decoded as a person sees them, upright, 8 bits deep, grey or RGB; bombs are refused by their header."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from headstart.errors import DataError

MAX_PIXELS = 40_000_000  # 120 MB in memory as RGB; a 48 KB PNG can declare 400 million pixels
MAX_ASPECT = 100  # a strip of 1x60000 pixels, its short side enlarged to 224, would be 3 gigapixels
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # no others: some run programs (EPS) or read further files

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# tags of TIFF 6.0
_BITS, _PHOTOMETRIC, _LEAST, _MOST, _FORMAT, _SAMPLE_LEAST, _SAMPLE_MOST = 258, 262, 280, 281, 339, 340, 341
_SIGNED = 2  # SampleFormat of integers with a sign
_STARTS, _LENGTHS = (273, 324), (279, 325)  # where strips or tiles of pixels lie in the file

_MARKS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}
_TAIL = 64  # bytes at the end of a whole file in which its mark stands
_SIZES = {"WEBP": (4, 8), "BMP": (2, 0)}  # where the header tells the file's length, and what is not counted in it

CENTRE, SQUEEZE, PAD = "centre", "squeeze", "pad"
FITS = (CENTRE, SQUEEZE, PAD)
"""How a picture fills the network's square: its middle as the weights' authors cut it, all of it with its sides scaled apart,
or all of it in its proportions with black beside it. An input says which in an attribute `fit`; else it is the middle."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is not read yet: cheap to hold and to send to workers.

    Attributes:
        path: Of the file.
        name: What a person calls it: the path below the data's root.
        max_pixels: More are refused, from the file's header.
    """

    path: str
    name: str = ""
    max_pixels: int = MAX_PIXELS

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.name or self.path

    def load(self) -> Image.Image:
        """The first frame, upright, as mode L (grey) or RGB; read anew each time.

        Raises:
            DataError: The file is missing, broken, no picture, or has too many pixels; names the file.
        """
        return decode(self.path, self.path, max_pixels=self.max_pixels)

    def check(self) -> tuple[int, int]:
        """Width and height out of the header; the pixels are decoded only where the file's end is not as it should be.

        Raises:
            DataError: As `load`, as far as it can be told without decoding.
        """
        with _opened(self.path, self.path, self.max_pixels) as image:
            size, is_whole = image.size, _named(self.path, lambda: _is_whole(Path(self.path), image))
        if not is_whole:
            self.load()
        return size


def as_image(input: Any) -> Image.Image:
    """A picture from any form that an input may have: `Picture`, path, file content, PIL image, or array [H, W] or [H, W, C].

    Raises:
        DataError: It is none of these, or cannot be decoded.
    """
    if hasattr(input, "load") and not isinstance(input, Image.Image):
        loaded: Image.Image = input.load()
        return loaded
    if isinstance(input, Image.Image):
        return input if input.mode in {"L", "RGB"} else _plain(input)
    if isinstance(input, (str, os.PathLike)):
        return Picture(os.fspath(input)).load()
    if isinstance(input, (bytes, bytearray)):
        return decode(io.BytesIO(input), "the uploaded picture")
    if isinstance(input, np.ndarray):
        return _from_array(input)
    raise DataError(f"an input is a picture's path, a PIL image or a uint8 array, not a {type(input).__name__}")


def decode(source: str | io.BytesIO, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame, upright, as mode L or RGB.

    16 bits become 8 by the range that the file declares; transparent parts become white; colours are turned to RGB by
    Pillow's formulas, colour profiles are not applied.

    Raises:
        DataError: Broken, no picture, or too many pixels; begins with `name`.
    """
    with _opened(source, name, max_pixels) as image:
        return _named(name, lambda: _plain(_upright(image)))


def pixels_of(source: str | io.BytesIO, name: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray[Any, Any]:
    """As `decode`, but grey of more than 8 bits keeps its depth: uint8 [H, W] or [H, W, 3], or float32 [H, W] in [0, 1].

    Raises:
        DataError: As `decode`.
    """
    with _opened(source, name, max_pixels) as image:
        return _named(name, lambda: _pixels(_upright(image)))


@contextmanager
def _opened(source: str | io.BytesIO, name: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """The file with its header read and judged.

    Handed to Pillow as an open file: from a path it would map a raw TIFF into memory, with its sides exchanged where the
    file says that it lies on its side (Pillow 13.0).
    """
    with (
        _named(name, lambda: Path(source).open("rb") if isinstance(source, str) else source) as file,
        _named(name, lambda: Image.open(file, formats=FORMATS)) as image,
    ):
        _check_size(image, name, max_pixels)
        yield image


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        pixels = f"{width}x{height} pixels are {width * height / 1e6:.0f} million"
        raise DataError(f"{name}: {pixels}, over the limit of {max_pixels / 1e6:g} million; if it is meant, raise `max_pixels`")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: a strip of {width}x{height} pixels; one side is more than {MAX_ASPECT} times the other")


def _named(name: str, read: Callable[[], T]) -> T:
    """What `read` returns; whatever a broken file makes Pillow raise becomes an error with the file's name."""
    try:
        return read()
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{name}: there is no such file") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: over Pillow's own limit of pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: is no picture of a known form ({', '.join(FORMATS)})") from error
    except Exception as error:  # decoders raise dozens of kinds on broken files, none of them documented
        raise DataError(f"{name}: is broken: {str(error) or type(error).__name__}") from error


def _is_whole(path: Path, image: Image.Image) -> bool:
    """The file reaches as far as one of its form has to, judged by its end mark, or by the length that it declares."""
    form = image.format or ""
    length = path.stat().st_size
    with path.open("rb") as file:
        if form in _MARKS:
            file.seek(max(0, length - _TAIL))
            return _MARKS[form] in file.read()
        if form in _SIZES:
            at, more = _SIZES[form]
            return int.from_bytes(file.read(at + 4)[at:], "little") + more <= length
    return _end_of_pixels(image) <= length


def _end_of_pixels(image: Image.Image) -> int:
    """Where the last strip or tile of a TIFF ends in its file."""
    starts, lengths = (next((_values(image, tag) for tag in tags if _values(image, tag)), ()) for tags in (_STARTS, _LENGTHS))
    return max((int(start) + int(length) for start, length in zip(starts, lengths, strict=False)), default=0)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # first: Pillow turns TIFFs itself and then forgets their orientation
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block is no reason to lose the picture
        turn = None
    return image.transpose(turn) if turn is not None else image


def _plain(image: Image.Image) -> Image.Image:
    """Mode L where the picture is grey, else RGB."""
    if _is_deep(image):
        return _eight_bits(image)
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode in {"1", "L"}:
        return image.convert("L")
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Transparent parts as on a white page: what colour a file keeps under them is chance."""
    is_grey = image.mode in {"1", "L", "LA", "La"}
    seen = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return flat.convert("L" if is_grey else "RGB")


def _pixels(image: Image.Image) -> np.ndarray[Any, Any]:
    return _scaled(image, 1).astype(np.float32) if _is_deep(image) else np.array(_plain(image))


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def _eight_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.round(_scaled(image, 255)).astype(np.uint8))


def _scaled(image: Image.Image, top: int) -> np.ndarray[Any, Any]:
    """Grey of more than 8 bits, scaled from the declared range, never from the values that occur: brightness is information."""
    values = np.asarray(image).astype(np.float64)  # [H, W]
    if not np.isfinite(values).all():
        raise DataError(f"it holds {int((~np.isfinite(values)).sum()):,} values that are NaN or infinite")
    low, high = _declared_range(image, values)
    scaled = np.clip((values - low) * (top / (high - low)), 0, top)
    if _tag(image, _PHOTOMETRIC) == 0:  # WhiteIsZero, which Pillow turns round for up to 8 bits only
        scaled = top - scaled
    return scaled


def _declared_range(image: Image.Image, values: np.ndarray[Any, Any]) -> tuple[float, float]:
    low = _tag(image, _SAMPLE_LEAST, _LEAST) or 0.0
    high = _tag(image, _SAMPLE_MOST, _MOST)
    if high is None and image.mode == "F":
        if values.min() < 0 or values.max() > 1:
            raise DataError("its numbers are not within 0 and 1, and no tag (SMaxSampleValue) says what is white")
        high = 1.0
    bits = (_tag(image, _BITS) or 16) - (_tag(image, _FORMAT) == _SIGNED)
    high = high if high is not None else 2.0**bits - 1
    if not low < high:
        raise DataError(f"it declares values from {low:g} to {high:g}, which is no range")
    return low, high


def _tag(image: Image.Image, *numbers: int) -> float | None:
    """The first value of the first TIFF tag of these that the file has."""
    return next((float(values[0]) for number in numbers if (values := _values(image, number))), None)


def _values(image: Image.Image, number: int) -> tuple[Any, ...]:
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)


def _from_array(array: np.ndarray[Any, Any]) -> Image.Image:
    is_picture = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {1, 3, 4}))
    if not is_picture or 0 in array.shape:
        raise DataError(f"a picture's array is uint8 and [H, W] or [H, W, 1, 3 or 4], not {array.dtype} {list(array.shape)}")
    return _plain(Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array))
