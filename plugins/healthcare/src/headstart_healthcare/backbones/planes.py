"""Planes: three cuts through a volume, at right angles to each other, as one picture for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

GAP = 2  # pixels between two planes


def three_planes(volume: np.ndarray, at: Sequence[int] | None = None) -> np.ndarray:
    """Cuts at right angles to depth, height and width, side by side, dark between them.

    Args:
        volume: [D, H, W], or [D, H, W, 3] in colour.
        at: Where to cut, an index along each axis; None = through the middle.

    Returns:
        [max(H, D), W + W + H + gaps] of the same kind.
    """
    cuts = planes_of(volume, at)
    height = max(cut.shape[0] for cut in cuts)
    gap = np.zeros((height, GAP, *volume.shape[3:]), volume.dtype)
    return np.concatenate([_filled(cuts[0], height), gap, _filled(cuts[1], height), gap, _filled(cuts[2], height)], axis=1)


def planes_of(volume: np.ndarray, at: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three cuts: [H, W] at a depth, [D, W] at a height, [D, H] at a width; upside down.

    Volumes on disk come with indices that grow towards top, front and right: turned over, front and top are up.
    """
    depth, height, width = (side // 2 for side in volume.shape[:3]) if at is None else at
    return volume[depth][::-1], volume[:, height][::-1], volume[:, :, width][::-1]


def _filled(cut: np.ndarray, height: int) -> np.ndarray:
    missing = height - cut.shape[0]
    sides = [(missing // 2, missing - missing // 2), *[(0, 0)] * (cut.ndim - 1)]
    return np.pad(cut, sides)
