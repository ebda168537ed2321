"""Scores of grades that have an order: kappa with quadratic weights, and the mean gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.scores import Predicted, Remembered


def grade_scores(
    order: Sequence[str], targets: Sequence[Any], predictions: Sequence[Predicted], weights: np.ndarray | None = None
) -> dict[str, float]:
    """Quadratic kappa first, left out where all is one grade, then the mean gap in grades (mae).

    Args:
        order: Grades, lowest first.
        targets: The truth.
        predictions: In the order of `targets`.
        weights: Count of each example; None = once each.
    """
    counts = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    if not isinstance(predictions, Remembered):
        return Grades(order, targets, predictions)(counts)
    key = ("grades", tuple(order))
    known = predictions.scorers.get(key)
    if known is None or known[0] is not targets:
        known = predictions.scorers[key] = (targets, Grades(order, targets, predictions))
    return known[1](counts)


class Grades:
    """Scores of grades that have an order.

    Args:
        order: Grades, lowest first, K.
        targets: The truth of N examples.
        predictions: In the order of `targets`.
    """

    def __init__(self, order: Sequence[str], targets: Sequence[Any], predictions: Sequence[Predicted]) -> None:
        places: Mapping[str, int] = {grade: at for at, grade in enumerate(order)}
        self.size = len(order)
        truth = np.array([places[str(target)] for target in targets], dtype=int)
        said = np.array([places[str(prediction.value)] for prediction in predictions], dtype=int)
        self.cell, self.gap = truth * self.size + said, np.abs(truth - said).astype(float)

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        """Cohen's kappa with quadratic weights (Cohen 1968), left out where all is one grade, and the mean gap in grades."""
        total = float(weights.sum())
        if total <= 0:
            return {}
        table = np.bincount(self.cell, weights, minlength=self.size**2).reshape(self.size, self.size)
        steps = np.arange(self.size)
        cost = (steps[:, None] - steps[None]) ** 2
        chance = float((cost * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / total
        kappa = {"quadratic_kappa": 1 - float((cost * table).sum()) / chance} if chance > 0 else {}
        return {**kappa, "mae": float(weights @ self.gap) / total}
