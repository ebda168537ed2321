"""Sureness: how the share of wrong answers falls when only the surer ones are given; El-Yaniv and Wiener 2010."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST = 20  # examples; fewer make no curve
COVERAGES = tuple(round(0.5 + 0.05 * step, 2) for step in range(11))


def risk_coverage(is_positive: np.ndarray, probability: np.ndarray, threshold: float) -> dict[str, Any] | None:
    """Share of wrong answers among the surest part of [N] examples; None where there are too few.

    An answer is the surer the further its probability lies from the threshold, as a share of the way to 0 or 1. `area` is the
    mean over all parts (Geifman, Uziel and El-Yaniv 2019), lower is better.
    """
    count = len(probability)
    if count < LEAST:
        return None
    called = probability >= threshold
    way = np.where(called, 1 - threshold, threshold)
    sure = np.abs(probability - threshold) / np.maximum(way, np.finfo(float).eps)
    wrong = (called != is_positive.astype(bool))[np.argsort(-sure, kind="stable")]
    among = np.cumsum(wrong) / np.arange(1, count + 1)
    points = [{"coverage": share, "wrong": float(among[max(1, round(share * count)) - 1])} for share in COVERAGES]
    return {"points": points, "area": float(among.mean())}
