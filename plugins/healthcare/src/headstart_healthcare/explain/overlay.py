"""Overlay: heat over what the network saw, one picture per case; of a volume the three planes through the hottest place."""

from __future__ import annotations

import numpy as np

from headstart_healthcare.backbones.planes import GAP, three_planes

COLOUR = (213, 94, 0)  # vermilion of Okabe & Ito 2008, which colour-blind readers tell from grey
STRONGEST = 0.65  # share of the colour at the hottest place, so that what lies below stays visible


def overlay_picture(picture: np.ndarray, heats: list[np.ndarray], scales: list[float]) -> np.ndarray:
    """A picture, and beside it the same under each heat.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        heats: Each [H, W]; what is below zero is not shown.
        scales: The heat that is shown strongest, for each; 0 = there is none.

    Returns:
        uint8 [H, W * (1 + heats) + gaps, 3].
    """
    colour = _coloured(picture)
    return _joined([colour, *(_under(colour, heat, scale) for heat, scale in zip(heats, scales, strict=True))])


def overlay_volume(volume: np.ndarray, heats: list[np.ndarray], scales: list[float]) -> np.ndarray:
    """Three planes of a volume, side by side, and below them the same under each heat, cut where the first is hottest.

    Args:
        volume: uint8 [D, H, W].
        heats: Each [D, H, W]; what is below zero is not shown.
        scales: The heat that is shown strongest, for each; 0 = there is none.

    Returns:
        uint8 [rows, planes and gaps, 3].
    """
    at = [int(place) for place in np.unravel_index(int(heats[0].argmax()), heats[0].shape)]
    colour = _coloured(volume)
    rows = [colour, *(_under(colour, heat, scale) for heat, scale in zip(heats, scales, strict=True))]
    return _joined([three_planes(row, at) for row in rows], axis=0)


def grey_bytes(values: np.ndarray) -> np.ndarray:
    """Values of any range as uint8, the lowest black and the highest white."""
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.round((values - low) * (255 / (high - low) if high > low else 0.0)), dtype=np.uint8)


def _coloured(grey: np.ndarray) -> np.ndarray:
    is_colour = grey.shape[-1] == 3 and grey.ndim == 3 and grey.shape[0] != 3 and grey.shape[1] != 3
    return grey if is_colour else np.repeat(grey[..., None], 3, axis=-1)


def _under(colour: np.ndarray, heat: np.ndarray, scale: float) -> np.ndarray:
    share = STRONGEST * np.clip(heat / scale, 0, 1)[..., None] if scale > 0 else np.zeros((*heat.shape, 1))
    return np.asarray(np.round(colour * (1 - share) + np.array(COLOUR) * share), dtype=np.uint8)


def _joined(pictures: list[np.ndarray], axis: int = 1) -> np.ndarray:
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.zeros(shape, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=axis)
