"""Grid: voxels with the directions and distances that they have in the patient, turned to a stated orientation and spacing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nibabel import orientations as _untyped

from headstart.errors import UsageError
from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.limits import check_voxels

STORED = "stored"
"""In place of an orientation: the axes as the file has them."""

_PAIRS = ("RL", "AP", "SI")

orientations: Any = _untyped  # nibabel has no types


@dataclass(frozen=True)
class Grid:
    """A volume.

    Attributes:
        values: float32 [X, Y, Z] in [0, 1].
        affine: Index -> millimetres in RAS axes [4, 4].
        is_spaced: The file states its spacing; else the affine tells directions only, and `spacing` is None.
        is_oriented: The file states its directions; else the affine tells spacing only.
    """

    values: np.ndarray
    affine: np.ndarray
    is_spaced: bool = True
    is_oriented: bool = True

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Millimetres between voxels along each axis; None = unknown, never 1 for want of better."""
        if not self.is_spaced:
            return None
        x, y, z = (float(one) for one in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z


def oriented(grid: Grid, codes: str) -> Grid:
    """Axes exchanged and turned round, no voxel interpolated, so that they grow towards `codes` ("RAS": right, front, top).

    Raises:
        ReadingError: The file does not state its directions.
    """
    if codes == STORED:
        return grid
    if not grid.is_oriented:
        raise ReadingError("no-orientation")
    now = orientations.io_orientation(grid.affine)
    if np.isnan(now).any():
        raise ReadingError("spacing", "the affine does not tell three directions")
    turn = orientations.ornt_transform(now, orientations.axcodes2ornt(tuple(codes)))
    values = orientations.apply_orientation(grid.values, turn)
    affine = grid.affine @ orientations.inv_ornt_aff(turn, grid.values.shape)
    return replace(grid, values=np.ascontiguousarray(values), affine=affine)


def respaced(grid: Grid, spacing: Sequence[float], limit: int) -> Grid:
    """Trilinear to another spacing, by MONAI; voxels outside repeat the border.

    Raises:
        ReadingError: The file does not state its spacing, or the result is over the limit of voxels.
    """
    import torch
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.spatial.array import Spacing

    if grid.spacing is None:
        raise ReadingError("spacing", "unknown, so it cannot be brought to another one")
    sides = zip(grid.values.shape, grid.spacing, spacing, strict=True)
    check_voxels(int(np.prod([max(count * old / new, 1.0) for count, old, new in sides])), limit)
    move = Spacing(pixdim=tuple(spacing), mode="bilinear", padding_mode="border")
    volume = MetaTensor(torch.from_numpy(grid.values)[None], affine=torch.from_numpy(grid.affine))
    with torch.no_grad():
        found: Any = move(volume)
    values = found.as_tensor()[0].numpy().astype(np.float32)
    return replace(grid, values=values, affine=np.asarray(found.affine))


def check_codes(codes: str) -> str:
    """The option `orientation`, if it names each axis once.

    Raises:
        UsageError: It does not.
    """
    if codes == STORED:
        return codes
    if len(codes) != 3 or any(sum(code in pair for code in codes.upper()) != 1 for pair in _PAIRS):
        raise UsageError(f"data.orientation: '{codes}' does not name three axes; for example RAS (right, front, top) or LPS")
    return codes.upper()


def check_spacing(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    """The option `spacing`, if it is three lengths.

    Raises:
        UsageError: It is not.
    """
    if spacing is None:
        return None
    if len(spacing) != 3 or not all(np.isfinite(one) and one > 0 for one in spacing):
        raise UsageError(f"data.spacing: {list(spacing)} is no list of three lengths in millimetres, such as [1, 1, 1]")
    return tuple(float(one) for one in spacing)
