"""Scoring: what heads of this package make of predictions once, so that a bootstrap of a thousand weightings stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from headstart.head import Prediction
from headstart.ranking import Ranking
from headstart.scores import Remembered, Scorer
from headstart_healthcare.heads.findings import unknown_of


def remembered(key: Hashable, predictions: Sequence[Prediction], targets: Sequence[Any], make: Callable[[], Scorer]) -> Scorer:
    """The scorer of these predictions and targets, made once where the predictions can remember it."""
    if not isinstance(predictions, Remembered):
        return make()
    known = predictions.scorers.get(key)
    if known is None or known[0] is not targets:
        known = predictions.scorers[key] = (targets, make())
    return known[1]


class KnownFindings:
    """Scores of findings, each over the examples of which it is known.

    Args:
        labels: In their fixed order, K.
        targets: Of N examples, `Findings` or plain collections of labels.
        predictions: In the order of `targets`.
    """

    def __init__(self, labels: Sequence[str], targets: Sequence[Any], predictions: Sequence[Prediction]) -> None:
        self.truth = np.array([[label in set(target) for label in labels] for target in targets], dtype=float)  # [N, K]
        self.known = np.array([[label not in unknown_of(target) for label in labels] for target in targets], dtype=float)
        self.called = np.array(
            [[label in set(prediction.value) for label in labels] for prediction in predictions], dtype=float
        )
        self.rankings: list[Ranking] = []
        rows = [prediction.probabilities for prediction in predictions]
        if rows and all(rows):
            scores = np.array([[(row or {}).get(label, 0.0) for label in labels] for row in rows])
            self.rankings = [Ranking(self.truth[:, k], scores[:, k]) for k in range(len(labels))]

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        """Mean AUROC over the findings where it is defined, mean average precision, and F1 over all that is known."""
        seen = weights[:, None] * self.known  # [N, K]
        areas = [ranking.auroc(seen[:, k]) for k, ranking in enumerate(self.rankings)]
        precisions = [ranking.average_precision(seen[:, k]) for k, ranking in enumerate(self.rankings)]
        size = float((seen * (self.truth + self.called)).sum())
        scores = {
            "auroc": _mean(areas),
            "mean_average_precision": _mean(precisions),
            "micro_f1": 2 * float((seen * self.truth * self.called).sum()) / size if size else None,
        }
        return {name: value for name, value in scores.items() if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
