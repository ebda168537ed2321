"""Test views: the same picture or volume a little turned, moved and relit, to see whether the answer hangs on that.

Test-time augmentation as a measure of doubt, after Wang et al. 2019 (Neurocomputing 338). Nothing is mirrored: the heart is on
the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STRENGTH = 0.4
"""Of a training view's changes: up to 4 degrees, 4 % of a side and 4 % of the brightness, as one patient is taken twice."""


def views_of(input: Any, count: int) -> list[Any]:
    """So many views, the same for every input of its size and in every run; none of what is neither picture nor volume."""
    from headstart_healthcare.data.views import picture_view, volume_view
    from headstart_healthcare.reading.pixel_array import PixelArray

    if count and callable(getattr(input, "pixels", None)):
        seen = PixelArray(np.asarray(input.pixels()), fit=getattr(input, "fit", PixelArray.fit))
        draws = (picture_view(seen, _rng(number), how="both", strength=STRENGTH) for number in range(count))
        return [PixelArray(view, fit=seen.fit) for view in draws]
    if count and callable(getattr(input, "open", None)):
        opened = _Opened(input.open())
        return [volume_view(opened, _rng(number), how="both", strength=STRENGTH) for number in range(count)]
    return []


class _Opened:
    """A volume that was read once."""

    def __init__(self, voxels: np.ndarray) -> None:
        self._voxels = voxels

    def open(self) -> np.ndarray:
        """float32 [1, D, H, W]."""
        return self._voxels


def _rng(number: int) -> np.random.Generator:
    return np.random.default_rng(number)
