"""Windows: which stored values become black and white; said by a preset, by the file, or by the declared bits."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from headstart.errors import UsageError

PRESETS = {
    "full": (0.0, 2048.0),
    "lung": (-600.0, 1500.0),
    "soft-tissue": (40.0, 400.0),
    "mediastinum": (50.0, 350.0),
    "liver": (60.0, 160.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
}
"""Preset -> centre and width in Hounsfield units."""

WORDS = ("auto", "file", "bits", "percentile", *PRESETS)
PERCENTILES = (0.5, 99.5)  # of one picture or volume, padding apart; MR values have no unit

_NUMBERS = re.compile(r"(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Window:
    """Values from centre - width / 2 to centre + width / 2, as DICOM PS3.3 C.11.2.1.2 means them.

    Attributes:
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    centre: float
    width: float
    function: str = "LINEAR_EXACT"

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Values -> [0, 1]."""
        if self.function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(-4 * (values - self.centre) / self.width)))
        if self.function == "LINEAR":  # the formula of the standard, with its half values: C.11.2.1.2.1
            share = (values - (self.centre - 0.5)) / max(self.width - 1, 1e-9) + 0.5
        else:
            share = (values - self.centre) / self.width + 0.5
        return np.asarray(np.clip(share, 0, 1))


def check_window(word: str) -> str:
    """The option `window`, if it is one.

    Raises:
        UsageError: It is no preset and no CENTRE/WIDTH.
    """
    if word not in WORDS and preset(word) is None:
        raise UsageError(f"data.window: '{word}' is none of {', '.join(WORDS)} and no CENTRE/WIDTH such as -600/1500")
    return word


def preset(word: str) -> Window | None:
    """The window that a preset or "CENTRE/WIDTH" names; None = it depends on the file."""
    if word in PRESETS:
        return Window(*PRESETS[word])
    match = _NUMBERS.fullmatch(word)
    return Window(float(match[1]), float(match[2])) if match and float(match[2]) > 0 else None


def between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values -> [0, 1] from a range that is declared or measured."""
    return np.asarray(np.clip((values - low) / (high - low), 0, 1)) if high > low else np.zeros_like(values)


def by_percentile(values: np.ndarray, is_meant: np.ndarray | None = None) -> np.ndarray:
    """Values -> [0, 1] between two percentiles of those that are meant (padding is not)."""
    meant = values if is_meant is None else values[is_meant]
    low, high = np.percentile(meant, PERCENTILES) if meant.size else (0.0, 0.0)
    return between(values, float(low), float(high))
