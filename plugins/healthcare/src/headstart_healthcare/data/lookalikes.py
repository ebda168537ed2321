"""Lookalikes: pictures that are nearly the same though not equal to the byte: scaled, compressed or windowed anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE, KEPT = 32, 16  # pixels that are looked at, and frequencies of them along each axis that are kept
MOST = 20_000  # pictures, above which not all pairs are looked at: 200 million take some ten seconds
MOST_NAMED = 5
_ROWS = 256  # compared with all others at one time


def look_of(pixels: np.ndarray) -> np.ndarray:
    """What a picture looks like from afar, 32 bytes: whether each low frequency is above their median.

    The perceptual hash by the discrete cosine transform (Zauner 2010), with 16 frequencies along each axis in place of 8:
    X-rays of two chests look much more alike than two photographs do.

    Args:
        pixels: uint8 or float32 in [0, 1], [H, W] or [H, W, 3].
    """
    grey = pixels.astype(np.float32) if pixels.ndim == 2 else pixels.astype(np.float32).mean(axis=2)
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX))
    waves = dctn(small, norm="ortho")[:KEPT, :KEPT].ravel()
    return np.packbits(waves > np.median(waves[1:]))


def lookalikes(
    looks: np.ndarray, digests: Sequence[str], patients: Sequence[str | None], most: int
) -> tuple[list[tuple[int, int]], int]:
    """Pairs that differ in at most so many bits, are not equal, and are not known to be of one patient; and how many there are.

    Args:
        looks: uint8 [N, 32].
        digests: Equal for equal pictures [N].
        patients: None = not known [N].
        most: Of 256 bits.

    Returns:
        The first pairs in the order of the data, at most `MOST_NAMED`, and the number of all.
    """
    words = np.ascontiguousarray(looks).view(np.uint64)  # [N, 4]
    content = np.unique(np.array(digests), return_inverse=True)[1]
    who = np.unique([f"p{name}" if name is not None else f"n{at}" for at, name in enumerate(patients)], return_inverse=True)[1]
    found: list[tuple[int, int]] = []
    count = 0
    for start in range(0, len(words), _ROWS):
        rows = slice(start, start + _ROWS)
        apart = np.bitwise_count(words[rows, None] ^ words[None, start:]).sum(axis=2, dtype=np.uint16)
        differ = (content[rows, None] != content[None, start:]) & (who[rows, None] != who[None, start:])
        first, second = np.nonzero(np.triu((apart <= most) & differ, 1))
        count += len(first)
        found += [(start + int(a), start + int(b)) for a, b in zip(first[:MOST_NAMED], second[:MOST_NAMED], strict=True)]
    return found[:MOST_NAMED], count
