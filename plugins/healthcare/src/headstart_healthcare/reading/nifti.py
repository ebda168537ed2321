"""NIfTI files: judged by their header before memory is asked for, then scaled to [0, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.grid import Grid
from headstart_healthcare.reading.limits import Limits, check_file, check_voxels, gunzip
from headstart_healthcare.reading.windows import by_percentile, preset

SUFFIXES = (".nii", ".nii.gz")
_HEADS: dict[int, Any] = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}  # sizeof_hdr, the first four bytes
_WHOLE = ("f", "i", "u")  # kinds of numbers; complex and RGB voxels are no intensities


def read_nifti(path: Path, limits: Limits, *, window: str, time: int | None = None) -> Grid:
    """One volume with the directions that its file states; of several time points the one numbered `time`, from 0.

    Raises:
        ReadingError: See `REASONS`: no NIfTI, a time axis, no spacing, values that are not finite or all equal.
    """
    check_file(path, limits)
    content = gunzip(path, min(limits.bytes, 8 * limits.voxels)) if path.suffix.lower() == ".gz" else path.read_bytes()
    image, header = _image(content)
    shape = _shape(header, limits, len(content), time)
    _check_zooms(header)
    stored = image.dataobj if time is None else image.dataobj[(..., time, *[0] * (len(image.shape) - 4))]
    values = np.asarray(stored, dtype=np.float32).reshape(shape)
    if not np.isfinite(values).all():
        raise ReadingError("not-finite", f"{int((~np.isfinite(values)).sum()):,} voxels")
    if float(values.min()) == float(values.max()):
        raise ReadingError("constant")
    is_oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    return Grid(_scaled(values, window), np.asarray(image.affine, dtype=np.float64), is_oriented=is_oriented)


def _image(content: bytes) -> tuple[Any, Any]:
    """The image, and its header as it stands in the file: nibabel repairs its own, so that a spacing of 0 becomes 1."""
    sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
    kind = next((kind for size, kind in _HEADS.items() if size in sizes), None)
    if kind is None or len(content) < 348:
        raise ReadingError("not-nifti")
    try:
        size = kind.header_class.sizeof_hdr
        return kind.from_bytes(content), kind.header_class(content[:size], check=False)
    except Exception as error:
        raise ReadingError("not-nifti", type(error).__name__) from None


def _shape(header: Any, limits: Limits, size: int, time: int | None) -> tuple[int, ...]:
    """Three lengths; further axes of length 1 are dropped.

    Raises:
        ReadingError: There are more, or more voxels than the limit or the file can hold.
    """
    dims = [int(one) for one in header["dim"][1 : 1 + max(0, min(7, int(header["dim"][0])))]]
    if len(dims) < 3 or min(dims) < 1:
        raise ReadingError("pixel-header", f"lengths {dims}")
    times = dims[3] if len(dims) > 3 else 1
    if any(length > 1 for length in dims[4:]) or (times > 1 and time is None):
        raise ReadingError("four-dimensional", f"lengths {dims}")
    if time is not None and not (len(dims) > 3 and 0 <= time < times):
        raise ReadingError("four-dimensional", f"no time point {time} among {times}")
    if min(dims[:3]) == 1:
        raise ReadingError("one-slice")
    count = dims[0] * dims[1] * dims[2]  # Python's integers: NumPy's would overflow where a header lies
    check_voxels(count, limits.voxels)
    kind = header.get_data_dtype()
    if kind.kind not in _WHOLE:
        raise ReadingError("colour", f"voxels of {kind}")
    if int(header["vox_offset"]) + count * times * kind.itemsize > size:
        raise ReadingError("truncated", f"{size:,} bytes, {count * times * kind.itemsize:,} declared")
    return tuple(dims[:3])


def _check_zooms(header: Any) -> None:
    zooms = [float(one) for one in header["pixdim"][1:4]]
    if not np.isfinite(zooms).all() or min(zooms) <= 0:
        raise ReadingError("spacing", f"{zooms}")


def _scaled(values: np.ndarray, window: str) -> np.ndarray:
    """A preset means Hounsfield units; a NIfTI file has no window and no modality, so all else is by percentiles."""
    fixed = preset(window)
    return (fixed.apply(values) if fixed is not None else by_percentile(values)).astype(np.float32)
