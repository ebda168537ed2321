"""Training views of pictures and volumes: small turns, shifts and changes of brightness; nothing is ever mirrored."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Views = Literal["none", "geometry", "intensity", "both"]

_DEGREES = 10.0  # either way
_SHIFT = 0.1  # of a side, either way
_SCALE = 0.1  # either way
_GAMMA = 0.3  # exponents from e^-0.3 to e^0.3
_CONTRAST = 0.2  # about the picture's own mean, either way
_BRIGHTNESS = 0.1  # of the whole range, either way


def picture_view(input: Any, rng: np.random.Generator, *, how: str, strength: float = 1.0) -> np.ndarray:
    """A view of anything with `pixels()` or a PIL image: float32 [H, W] in [0, 1], or uint8 [H, W, 3] of a colour picture.

    Args:
        input: What is changed.
        rng: Draws by how much.
        how: "geometry", "intensity" or "both".
        strength: Share of the usual amounts; 1 = up to 10 degrees and a tenth of a side.
    """
    pixels = np.asarray(input.pixels() if hasattr(input, "pixels") else input)
    is_bytes = pixels.dtype == np.uint8
    values = torch.from_numpy(pixels.astype(np.float32) / (255 if is_bytes else 1))
    values = values[None] if values.ndim == 2 else values.permute(2, 0, 1)
    found = _view(values, rng, how, strength)
    if found.shape[0] == 1:
        return found[0].contiguous().numpy()
    return (found.permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()


def volume_view(input: Any, rng: np.random.Generator, *, how: str, strength: float = 1.0) -> np.ndarray:
    """A view of anything with `open()`: float32 [1, D, H, W] in [0, 1]; turned about each of the three axes."""
    return _view(torch.from_numpy(input.open()), rng, how, strength).contiguous().numpy()


def _view(values: Tensor, rng: np.random.Generator, how: str, strength: float = 1.0) -> Tensor:
    """[C, H, W] or [C, D, H, W] in [0, 1] -> the same shape and range."""
    if how in ("geometry", "both"):
        values = _moved(values, rng, strength)
    if how in ("intensity", "both"):
        values = _relit(values, rng, strength)
    return values.clamp(0, 1)


def _moved(values: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Turned, scaled and shifted, linearly interpolated; what comes in from outside is black (0)."""
    sides = values.shape[1:]
    axes = len(sides)
    turn = _turn(axes, np.deg2rad(strength * rng.uniform(-_DEGREES, _DEGREES, 3)))
    stretch = np.array(sides[::-1], dtype=float)  # grid_sample counts x first, each axis in [-1, 1]
    matrix = turn * (stretch[None, :] / stretch[:, None]) / (1 + strength * rng.uniform(-_SCALE, _SCALE))
    shift = strength * rng.uniform(-2 * _SHIFT, 2 * _SHIFT, axes)
    theta = torch.from_numpy(np.concatenate([matrix, shift[:, None]], axis=1)).float()
    grid = F.affine_grid(theta[None], [1, *values.shape], align_corners=False)
    return F.grid_sample(values[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _turn(axes: int, angles: np.ndarray) -> np.ndarray:
    """A rotation in the plane, or about three axes in turn [axes, axes]."""
    found = np.eye(axes)
    for number, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)][: 1 if axes == 2 else 3]):
        one = np.eye(axes)
        c, s = np.cos(angles[number]), np.sin(angles[number])
        one[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        found = found @ one
    return found


def _relit(values: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    gamma = float(np.exp(strength * rng.uniform(-_GAMMA, _GAMMA)))
    contrast = 1 + strength * rng.uniform(-_CONTRAST, _CONTRAST)
    brightness = strength * rng.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    bent = values.clamp(0, 1) ** gamma
    mean = bent.mean()
    return (bent - mean) * contrast + mean + brightness
