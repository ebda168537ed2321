"""Net benefit: whether deciding by the model does more good than treating all or none (Vickers and Elkin 2006)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 100))


def net_benefit(
    is_positive: np.ndarray, probability: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> list[dict[str, float]]:
    """Net benefit of the model and of treating all, at each threshold probability; treating none is 0.

    Net benefit = true positives / N - false positives / N x threshold / (1 - threshold).

    Args:
        is_positive: Truth [N].
        probability: Calibrated, of the positive class [N].
        thresholds: Probabilities in (0, 1) above which one would treat.
    """
    truth, share = is_positive.astype(bool), float(is_positive.mean())
    points = []
    for threshold in thresholds:
        called, odds = probability >= threshold, threshold / (1 - threshold)
        model = float((truth & called).mean() - (~truth & called).mean() * odds)
        points.append({"threshold": threshold, "model": model, "all": share - (1 - share) * odds})
    return points
