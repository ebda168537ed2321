"""Rankings: examples ordered once by a score, from which ROC, precision-recall and their areas follow for any weights."""

from __future__ import annotations

import numpy as np


class Ranking:
    """Truth of a two-class question, ordered by falling score.

    Sorting is the only slow part and happens once, so that a bootstrap of a thousand weightings stays cheap. Equal scores
    form one threshold, as in scikit-learn.
    """

    def __init__(self, is_positive: np.ndarray, score: np.ndarray) -> None:
        self.order = np.argsort(-score, kind="stable")
        ranked = score[self.order]
        self.is_positive = is_positive[self.order].astype(float)
        self.ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # last example of each threshold
        self.thresholds = ranked[self.ends]

    def counts(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """False and true positives [T] at each of the T distinct thresholds, highest first."""
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        true = np.cumsum(weight * self.is_positive)[self.ends]
        return np.cumsum(weight)[self.ends] - true, true

    def auroc(self, weights: np.ndarray | None = None) -> float | None:
        """Area under the ROC curve; None where the weighted examples hold one class only."""
        false, true = self.counts(weights)
        if false[-1] <= 0 or true[-1] <= 0:
            return None
        widths = np.diff(false, prepend=0.0)
        heights = true + np.concatenate(([0.0], true[:-1]))  # trapezoids: ties count half
        return float(np.dot(widths, heights) / (2 * false[-1] * true[-1]))

    def average_precision(self, weights: np.ndarray | None = None) -> float | None:
        """Sum of precision times gain in recall (no interpolation); None without a positive example."""
        false, true = self.counts(weights)
        if true[-1] <= 0:
            return None
        called = false + true
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        return float(np.dot(np.diff(true, prepend=0.0), precision) / true[-1])

    def roc(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """False and true positive rates [T + 1], from (0, 0) to (1, 1)."""
        false, true = self.counts(weights)
        return _rates(false), _rates(true)

    def precision_recall(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision [<= T], highest threshold first, from the first one that calls an example of weight."""
        false, true = self.counts(weights)
        is_defined = false + true > 0
        return true[is_defined] / true[-1], true[is_defined] / (false + true)[is_defined]


def _rates(counts: np.ndarray) -> np.ndarray:
    rates: np.ndarray = np.concatenate(([0.0], counts / counts[-1]))
    return rates
