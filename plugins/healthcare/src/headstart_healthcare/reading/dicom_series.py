"""DICOM series: files of one SeriesInstanceUID, or frames of one object, stacked by position into a volume."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart_healthcare.reading.dicom_files import Header, check_pixels, group, read_dicom
from headstart_healthcare.reading.dicom_pixels import Colour, Frames, decode, is_inverted, windowed
from headstart_healthcare.reading.errors import ReadingError, reading
from headstart_healthcare.reading.geometry import Plane, Spacing, affine_of, order_of, plane_of, spacing_of
from headstart_healthcare.reading.grid import Grid
from headstart_healthcare.reading.limits import Limits, check_voxels

_ALIKE = 1e-3  # relative; spacing of slices is written with few digits


def series_in(paths: Sequence[Path], limits: Limits) -> dict[str, list[Path]]:
    """Files by SeriesInstanceUID, each series in the order of the paths; objects without pixels (DICOMDIR, reports) apart.

    A file that cannot be read belongs to the only series beside it, which is then refused as a whole: a slice would be
    missing; beside several it stands alone.
    """
    found: dict[str, list[Path]] = {}
    lost: list[Path] = []
    for path in paths:
        try:
            header = reading("", partial(read_dicom, path, limits, pixels=False))
        except ReadingError:
            lost.append(path)
            continue
        if "Rows" in header:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(path)
    for number, path in enumerate(lost):
        found.setdefault(next(iter(found)) if len(found) == 1 else f"unreadable {number}", []).append(path)
    return found


def read_series(paths: Sequence[Path], limits: Limits, *, window: str, colour: Colour) -> Grid:
    """One series as a volume.

    Raises:
        ReadingError: See `REASONS`: a broken file, several series, no or one position, gaps, duplicates, mixed slices.
    """
    headers = [_sound(path, limits) for path in paths]
    if len({str(header.get("SeriesInstanceUID", "")) for header in headers}) > 1:
        raise ReadingError("series", "several in one volume")
    if len(headers) == 1:
        return _of_frames(headers[0], window=window, colour=colour)
    if any(int(header.get("NumberOfFrames") or 1) > 1 for header in headers):
        raise ReadingError("multi-frame", "several files of several frames")
    check_voxels(sum(int(header.Rows) * int(header.Columns) for header in headers), limits.voxels)
    _check_alike(headers)
    planes = [plane_of(header, header) for header in headers]
    _check_known(planes)
    frames = [decode(header, colour) for header in headers]
    return _stacked(frames, headers[0], planes, _common([spacing_of(header) for header in headers]), window)


def _sound(path: Path, limits: Limits) -> Header:
    header = read_dicom(path, limits)
    check_pixels(header, limits, path.stat().st_size)
    return header


def _check_alike(headers: Sequence[Header]) -> None:
    if len({(int(header.Rows), int(header.Columns)) for header in headers}) > 1:
        raise ReadingError("mixed-shape")
    kinds = {
        (is_inverted(h), str(h.get("Modality", "")), h.get("BitsStored"), h.get("PixelRepresentation"), str(h.get("Units", "")))
        for h in headers
    }
    if len(kinds) > 1:
        raise ReadingError("mixed-intensity")


def _of_frames(header: Header, *, window: str, colour: Colour) -> Grid:
    """A multi-frame object: positions per frame, or a vector of offsets (RT dose)."""
    count = int(header.get("NumberOfFrames") or 1)
    if count == 1:
        raise ReadingError("one-slice")
    planes, spacings = _planes(header, count)
    _check_known(planes)
    return _stacked([decode(header, colour)], header, planes, _common(spacings), window)


def _check_known(planes: Sequence[Plane | None]) -> None:
    lost = sum(plane is None for plane in planes)
    if lost:
        raise ReadingError("no-position", f"{lost} of {len(planes)} slices")


def _planes(header: Header, count: int) -> tuple[list[Plane | None], list[Spacing | None]]:
    own = list(getattr(header, "PerFrameFunctionalGroupsSequence", None) or ())
    shared = group(header, "SharedFunctionalGroupsSequence")
    offsets = getattr(header, "GridFrameOffsetVector", None)
    if not own and offsets is not None and len(offsets) == count:
        first = plane_of(header, header)
        return [_moved(first, float(step)) for step in offsets], [spacing_of(header)]
    if len(own) != count:
        raise ReadingError("no-position")
    places = [group(one, "PlanePositionSequence") or group(shared, "PlanePositionSequence") for one in own]
    turns = [group(one, "PlaneOrientationSequence") or group(shared, "PlaneOrientationSequence") for one in own]
    measures = [group(one, "PixelMeasuresSequence") or group(shared, "PixelMeasuresSequence") for one in own]
    planes = [plane_of(place, turn) for place, turn in zip(places, turns, strict=True)]
    return planes, [spacing_of(measure, header) for measure in measures]


def _moved(plane: Plane | None, step: float) -> Plane | None:
    if plane is None:
        return None
    position = np.array(plane.position) + plane.normal * step
    return Plane(tuple(float(one) for one in position), plane.across, plane.down)


def _common(spacings: Sequence[Spacing | None]) -> Spacing | None:
    """The spacing that all slices share; None where one does not say it."""
    known = [one for one in spacings if one is not None]
    if len(known) < len(spacings):
        return None
    pairs = np.array([(one.rows, one.columns) for one in known])
    if not np.allclose(pairs, pairs[0], rtol=_ALIKE):
        raise ReadingError("mixed-spacing")
    return known[0]


def _stacked(
    frames: Sequence[Frames], header: Header, planes: Sequence[Plane | None], spacing: Spacing | None, window: str
) -> Grid:
    known = [plane for plane in planes if plane is not None]
    order, step = order_of(known)
    seen = windowed(_joined(frames), header, window)[order]  # [S, H, W]
    affine = affine_of(known[order[0]], spacing or Spacing(1, 1, ""), step)
    return Grid(np.ascontiguousarray(seen.transpose(2, 1, 0)), affine, is_spaced=spacing is not None)


def _joined(frames: Sequence[Frames]) -> Frames:
    if len(frames) == 1:
        return frames[0]
    masks: list[Any] = [one.is_meant if one.is_meant is not None else np.ones(one.values.shape, bool) for one in frames]
    has_padding = any(one.is_meant is not None for one in frames)
    ends = (min(one.declared[0] for one in frames), max(one.declared[1] for one in frames))  # slopes differ by slice in PET
    headers = tuple(places for one in frames for places in one.headers)
    return Frames(np.concatenate([one.values for one in frames]), np.concatenate(masks) if has_padding else None, headers, ends)
