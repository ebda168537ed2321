"""Light: pictures of one brightness and contrast, so that how they were exposed tells a network nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np

Light = Literal["stored", "own"]
"""Options of reading: as the file has it, or by the picture's own mean and deviation."""

MEAN, DEVIATION = 0.45, 0.22  # of the grey values of ImageNet's photographs, which networks on pictures have learnt from


def in_light(pixels: np.ndarray, light: Light) -> np.ndarray:
    """Pixels with the mean and deviation of photographs, where asked for, cut off at black and white.

    Args:
        pixels: uint8 or float32 in [0, 1], [H, W] or [H, W, 3], not all equal.
        light: "stored" changes nothing.

    Returns:
        float32 [H, W] in [0, 1], or uint8 [H, W, 3].
    """
    if light == "stored":
        return pixels
    values = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    lit: np.ndarray = np.clip((values - values.mean()) / values.std() * DEVIATION + MEAN, 0, 1).astype(np.float32)
    return lit if lit.ndim == 2 else np.round(lit * 255).astype(np.uint8)
