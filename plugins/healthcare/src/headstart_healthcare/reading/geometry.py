"""Geometry: spacing and position out of DICOM headers; what a file does not say is unknown, never invented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart_healthcare.reading.errors import ReadingError

_GAP = 0.05  # of the median distance; above, slices are missing or uneven
_SAME = 1e-3  # of the median distance; below, two slices lie at one position
_ALIKE = 1e-3  # of direction cosines and of relative spacing
_PLACES = (("PixelSpacing", "patient"), ("ImagerPixelSpacing", "detector"), ("NominalScannedPixelSpacing", "scanner"))


@dataclass(frozen=True)
class Spacing:
    """Millimetres between rows and between columns.

    Attributes:
        at: Where they hold: "patient", "detector" (the body is smaller by the magnification) or "scanner".
    """

    rows: float
    columns: float
    at: str


@dataclass(frozen=True)
class Plane:
    """Where one slice lies in the patient, in millimetres, LPS axes.

    Attributes:
        position: Centre of the first pixel [3].
        across: Direction of growing column index [3].
        down: Direction of growing row index [3].
    """

    position: tuple[float, ...]
    across: tuple[float, ...]
    down: tuple[float, ...]

    @property
    def normal(self) -> np.ndarray:
        """Across x down [3]."""
        return np.cross(self.across, self.down)

    @property
    def depth(self) -> float:
        """Position along the normal: what slices are ordered by, whatever their InstanceNumber says."""
        return float(np.dot(self.position, self.normal))


def spacing_of(*headers: Any, is_needed: bool = True) -> Spacing | None:
    """The first spacing that one of the headers (or functional groups) states; None = unknown.

    Raises:
        ReadingError: It is zero, negative or no number, and it is needed; else it counts as unknown.
    """
    for name, at in _PLACES:
        for header in headers:
            found = numbers(header, name, 2)
            if found is not None:
                if min(found) <= 0:
                    if not is_needed:
                        return None
                    raise ReadingError("spacing", name)
                return Spacing(found[0], found[1], at)
    return None


def plane_of(position: Any, orientation: Any) -> Plane | None:
    """The plane of a slice; None where the header does not say it, or says what is no pair of right angles."""
    where, cosines = numbers(position, "ImagePositionPatient", 3), numbers(orientation, "ImageOrientationPatient", 6)
    if where is None or cosines is None:
        return None
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    is_sound = abs(float(across @ down)) < 1e-2 and all(abs(float(np.linalg.norm(v)) - 1) < 1e-2 for v in (across, down))
    return Plane(where, cosines[:3], cosines[3:]) if is_sound else None


def numbers(header: Any, name: str, count: int) -> tuple[float, ...] | None:
    """Finite numbers of an element; None where it is absent or holds anything else."""
    value = getattr(header, name, None)
    if value is None:
        return None
    try:
        found = tuple(float(one) for one in (value if isinstance(value, Iterable) else (value,)))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and np.isfinite(found).all() else None


def order_of(planes: list[Plane]) -> tuple[list[int], float]:
    """Order of slices along their common normal, and the distance between them in millimetres.

    Raises:
        ReadingError: One slice, mixed orientation, two slices at one position, a gap, or a stack that is not straight.
    """
    if len(planes) < 2:
        raise ReadingError("one-slice")
    first = planes[0]
    for plane in planes:
        if not np.allclose((plane.across, plane.down), (first.across, first.down), atol=_ALIKE):
            raise ReadingError("mixed-orientation")
    depths = np.array([float(np.dot(plane.position, first.normal)) for plane in planes])
    order = [int(i) for i in np.argsort(depths, kind="stable")]
    steps = np.diff(depths[order])
    _check_steps(steps)
    _check_straight([planes[i] for i in order], float(np.median(steps)))
    return order, float(np.median(steps))


def affine_of(first: Plane, spacing: Spacing, step: float) -> np.ndarray:
    """Index (column, row, slice) -> millimetres in RAS axes [4, 4], for slices in the order of `order_of`."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.across) * spacing.columns
    affine[:3, 1] = np.array(first.down) * spacing.rows
    affine[:3, 2] = first.normal * step
    affine[:3, 3] = first.position
    affine[:2] *= -1  # DICOM's x and y grow to the left and back, NIfTI's to the right and front
    return affine


def _check_steps(steps: np.ndarray) -> None:
    median = float(np.median(steps))
    if median <= 0 or (steps < _SAME * median).any():
        raise ReadingError("duplicate-slice", f"{int((steps <= max(_SAME * median, 0)).sum())} of {len(steps) + 1} slices")
    uneven = np.abs(steps - median) > _GAP * median
    if uneven.any():
        worst = float(np.abs(steps - median).max() / median)
        raise ReadingError("gap", f"{int(uneven.sum())} of {len(steps)} distances, by up to {worst:.0%} of the median")


def _check_straight(planes: list[Plane], step: float) -> None:
    """A tilted gantry moves each slice sideways; stacking them as they are would shear the body."""
    offset = np.array(planes[-1].position) - np.array(planes[0].position)
    sideways = offset - (offset @ planes[0].normal) * planes[0].normal
    if float(np.linalg.norm(sideways)) > _GAP * step * (len(planes) - 1):
        raise ReadingError("tilt")
