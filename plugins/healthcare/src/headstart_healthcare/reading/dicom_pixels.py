"""DICOM pixels: modality LUT, then window, then inversion once, then [0, 1] by what the file declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array

from headstart_healthcare.reading.dicom_files import Header, decoders_of, group, syntax_of
from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.geometry import numbers
from headstart_healthcare.reading.windows import Window, between, by_percentile, preset

Colour = Literal["refuse", "grey"]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow turns colour to grey
_BY_WINDOW = ("CT",)  # "auto": Hounsfield units mean the same in every file
_BY_PERCENTILE = ("MR",)  # "auto": values without a unit


@dataclass(frozen=True)
class Frames:
    """Decoded frames of one object.

    Attributes:
        values: float32 [F, H, W], behind the modality LUT (Hounsfield units of CT), not yet windowed.
        is_meant: False where pixels are padding [F, H, W]; None = none are.
        headers: For each frame where its rescale and window stand, nearest first.
        declared: Least and greatest value that the declared bits allow.
    """

    values: np.ndarray
    is_meant: np.ndarray | None
    headers: tuple[tuple[Any, ...], ...]
    declared: tuple[float, float]


def decode(header: Header, colour: Colour, frame: int | None = None) -> Frames:
    """Frames of an object whose header was checked.

    Args:
        header: With pixels.
        colour: What happens to colour pictures.
        frame: Only this one; None = all.

    Raises:
        ReadingError: It is in colour, or its rescale values cannot be used.
    """
    stored = _stored(header, frame)
    if _is_colour(header):
        return _grey(header, stored, colour)
    stored = stored[None] if stored.ndim == 2 else stored
    picked = range(len(stored)) if frame is None else [frame]
    headers = tuple(_headers(header, at) for at in picked)
    pairs = [_rescaled(header, one, places) for one, places in zip(stored, headers, strict=True)]
    values = np.stack([value for value, _ in pairs])
    if not np.isfinite(values).all():
        raise ReadingError("not-finite")
    return Frames(values, _is_meant(header, stored), headers, pairs[0][1])


def windowed(frames: Frames, header: Header, window: str) -> np.ndarray:
    """Frames -> float32 [F, H, W] in [0, 1], 0 = black as it is looked at; padding is black.

    "auto" takes the whole range of Hounsfield units for CT, percentiles for MR, else the file's window or its bits.
    """
    how = _how(window, str(header.get("Modality", "")))
    if how == "percentile":
        shares = by_percentile(frames.values, frames.is_meant)
    elif (fixed := preset(how)) is not None:
        shares = fixed.apply(frames.values)
    else:
        # in float64, so that MONOCHROME1 turned round rounds to the very values of its MONOCHROME2 twin
        pairs = zip(frames.values, frames.headers, strict=True)
        shares = np.stack([_by_file(one.astype(np.float64), places, frames.declared, how) for one, places in pairs])
    if is_inverted(header):
        shares = 1 - shares
    if frames.is_meant is not None:
        shares = np.where(frames.is_meant, shares, 0)
    return shares.astype(np.float32)


def is_inverted(header: Header) -> bool:
    """Whether small values are bright: said by either element, and turned round once where both say it (PS3.3 C.7.6.3.1.2)."""
    return "MONOCHROME1" in str(header.get("PhotometricInterpretation")) or str(header.get("PresentationLUTShape")) == "INVERSE"


def _how(window: str, modality: str) -> str:
    if window != "auto":
        return window
    return "full" if modality in _BY_WINDOW else "percentile" if modality in _BY_PERCENTILE else "file"


def _stored(header: Header, frame: int | None) -> np.ndarray:
    several = int(header.get("NumberOfFrames") or 1) > 1
    try:
        return np.asarray(pixel_array(header, index=frame if several else None))
    except RuntimeError:  # "all available plugins" failed
        syntax = syntax_of(header)
        packages = "; ".join(decoders_of(syntax)) or "none is known"
        raise ReadingError("transfer-syntax", f"{syntax.name}: the installed decoders fail; others: {packages}") from None


def _is_colour(header: Header) -> bool:
    return int(header.get("SamplesPerPixel") or 1) > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR"


def _grey(header: Header, stored: np.ndarray, colour: Colour) -> Frames:
    kind = str(header.get("PhotometricInterpretation", "colour"))
    if colour == "refuse":
        raise ReadingError("colour", kind)
    is_palette = kind == "PALETTE COLOR"
    seen = apply_color_lut(stored, header) if is_palette else stored
    top = 2.0 ** (8 * seen.dtype.itemsize if is_palette else int(header.BitsStored)) - 1
    values = (seen[..., :3].astype(np.float64) @ _LUMA).astype(np.float32)
    values = values[None] if values.ndim == 2 else values
    return Frames(values, None, ((),) * len(values), (0.0, top))


def _headers(header: Header, at: int) -> tuple[Any, ...]:
    """Where the values of one frame are described: its own functional groups, the shared ones, the object."""
    own = getattr(header, "PerFrameFunctionalGroupsSequence", None) or ()
    shared = getattr(header, "SharedFunctionalGroupsSequence", None) or ()
    groups = [*([own[at]] if at < len(own) else []), *list(shared)[:1]]
    names = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
    return (*(found for one in groups for name in names if (found := group(one, name)) is not None), header)


def _rescaled(header: Header, stored: np.ndarray, places: tuple[Any, ...]) -> tuple[np.ndarray, tuple[float, float]]:
    """Values behind the modality LUT, and the range that the declared bits allow behind it."""
    low, high = _stored_range(header, stored)
    if "ModalityLUTSequence" in header:
        table = np.asarray(apply_modality_lut(stored, header)).astype(np.float32)
        return table, (0.0, 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    place = next((one for one in places if "RescaleSlope" in one or "RescaleIntercept" in one), None)
    if place is None:
        return stored.astype(np.float32), (low, high)
    slope, intercept = numbers(place, "RescaleSlope", 1) or (1.0,), numbers(place, "RescaleIntercept", 1) or (0.0,)
    is_broken = any(name in place and numbers(place, name, 1) is None for name in ("RescaleSlope", "RescaleIntercept"))
    if is_broken or slope[0] == 0:
        raise ReadingError("rescale")
    values = (stored.astype(np.float64) * slope[0] + intercept[0]).astype(np.float32)
    ends = sorted((low * slope[0] + intercept[0], high * slope[0] + intercept[0]))
    return values, (ends[0], ends[1])


def _stored_range(header: Header, stored: np.ndarray) -> tuple[float, float]:
    if stored.dtype.kind == "f":
        return float(stored.min()), float(stored.max())
    bits = int(header.get("BitsStored") or header.BitsAllocated)
    is_signed = int(header.get("PixelRepresentation") or 0) == 1
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if is_signed else (0.0, 2.0**bits - 1)


def _by_file(values: np.ndarray, places: tuple[Any, ...], declared: tuple[float, float], how: str) -> np.ndarray:
    """By the VOI LUT or the first window that the file names, else by its bits."""
    for place in places if how == "file" else ():
        if "VOILUTSequence" in place:
            table = np.asarray(apply_voi(values.astype(np.int64), place)).astype(np.float32)
            return between(table, 0.0, 2.0 ** int(place.VOILUTSequence[0].LUTDescriptor[2]) - 1)
        window = _window(place)
        if window is not None:
            return window.apply(values)
    return between(values, *declared)


def _window(place: Any) -> Window | None:
    centre, width = (_first(getattr(place, name, None)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    return Window(centre, width, str(getattr(place, "VOILUTFunction", "") or "LINEAR"))


def _first(value: Any) -> float | None:
    """A window may be one number or a list of alternatives, of which viewers show the first."""
    try:
        found = float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return None
    return found if np.isfinite(found) else None


def _is_meant(header: Header, stored: np.ndarray) -> np.ndarray | None:
    """Which pixels are no padding; PixelPaddingValue to PixelPaddingRangeLimit, in stored values (PS3.3 C.7.5.1.1.2)."""
    first = numbers(header, "PixelPaddingValue", 1)
    if first is None:
        return None
    last = numbers(header, "PixelPaddingRangeLimit", 1) or first
    low, high = sorted((first[0], last[0]))
    if np.asarray(stored).dtype.kind == "i" and low >= 2 ** (int(header.BitsStored) - 1):
        low, high = (end - 2 ** int(header.BitsAllocated) for end in (low, high))  # written unsigned beside signed pixels
    is_padding = (stored >= low) & (stored <= high)
    return ~is_padding if is_padding.any() else None
