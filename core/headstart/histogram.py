"""Histograms of pictures: how bright each colour is and how often, the plainest thing that a picture tells."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 16  # per channel: 16 levels of brightness each


def histogram(input: Any) -> np.ndarray[Any, Any]:
    """Shares of the pixels by brightness, channel after channel: [3 * BINS]; a grey picture counts as three equal channels.

    Args:
        input: A uint8 array [H, W] or [H, W, 3], a PIL image, or an object whose `load()` gives one of these. Duck-typed:
            the core imports no library of pictures.
    """
    loaded = input if hasattr(input, "__array_interface__") else input.load()
    pixels = np.asarray(loaded)
    channels = [pixels] * 3 if pixels.ndim == 2 else [pixels[:, :, channel] for channel in range(3)]
    counts = [np.bincount(channel.ravel() // (256 // BINS), minlength=BINS) for channel in channels]
    return np.concatenate(counts) / channels[0].size
