"""Scores of saved predictions, equal to scikit-learn's on the same examples, and quick enough for a thousand resamples.

Every function takes `weights`, the number of times each example counts. A score that is undefined (one class only, no
positive example, a constant truth) is left out: never NaN, never 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from headstart.ranking import Ranking

LOWER_IS_BETTER = frozenset({"mae", "rmse", "log_loss", "brier", "ece", "hamming_loss", "loss", "perplexity"})
BINS = 15  # of the expected calibration error: equal widths, confidence of the top label; Guo et al. 2017, section 3

Scorer = Callable[[np.ndarray], dict[str, float]]


class Predicted(Protocol):
    """What scoring reads of a prediction; `headstart.head.Prediction` and the rows of a saved table both have it."""

    @property
    def value(self) -> Any:
        """A label, a number or several labels."""

    @property
    def probabilities(self) -> Mapping[str, float] | None:
        """Label -> probability, where there are any."""


HeadScore = Callable[[Sequence[Any], Sequence[Any], np.ndarray | None], dict[str, float]]
T = TypeVar("T")


class Remembered(list[T]):
    """A list of predictions that keeps what scoring made of it, so that a bootstrap encodes labels and sorts once."""

    def __init__(self, items: Sequence[T]) -> None:
        super().__init__(items)
        self.scorers: dict[Hashable, tuple[Sequence[Any], Scorer]] = {}


def classification_scores(
    labels: Sequence[str],
    targets: Sequence[Any],
    predictions: Sequence[Predicted],
    weights: np.ndarray | None = None,
    *,
    positive: str | None = None,
) -> dict[str, float]:
    """Accuracy first, then macro F1, balanced accuracy, MCC and, with probabilities, ranking and calibration scores.

    Args:
        labels: All labels in their fixed order; a target that is not among them counts as a label of probability 0.
        targets: The truth.
        predictions: In the order of `targets`.
        weights: Count of each example; None = once each.
        positive: The label of interest where there are two (average precision); None = the last one.
    """
    key = ("class", tuple(labels), positive)
    scorer = _scorer(key, targets, predictions, lambda: _ClassScorer(labels, targets, predictions, positive))
    return scorer(_counts(targets, weights))


def regression_scores(
    targets: Sequence[float], predictions: Sequence[Predicted], weights: np.ndarray | None = None
) -> dict[str, float]:
    """R squared first, then mean absolute error, root mean squared error and Spearman's rank correlation."""
    scorer = _scorer(("number",), targets, predictions, lambda: _NumberScorer(targets, predictions))
    return scorer(_counts(targets, weights))


def multilabel_scores(
    labels: Sequence[str],
    targets: Sequence[Sequence[str]],
    predictions: Sequence[Predicted],
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Micro F1 first, then macro F1 (labels that occur), subset accuracy, Hamming loss and mean average precision."""
    key = ("labels", tuple(labels))
    scorer = _scorer(key, targets, predictions, lambda: _LabelsScorer(labels, targets, predictions))
    return scorer(_counts(targets, weights))


def scores_for(kind: str, labels: Sequence[str] = (), positive: str | None = None) -> HeadScore | None:
    """The scores that fit a kind of target, for those who have saved predictions but no head; None = an unknown kind."""
    by_kind: dict[str, HeadScore] = {
        "class": lambda p, t, w: classification_scores(labels, t, p, w, positive=positive),
        "number": lambda p, t, w: regression_scores(t, p, w),
        "labels": lambda p, t, w: multilabel_scores(labels, t, p, w),
    }
    return by_kind.get(kind)


def probability_matrix(predictions: Sequence[Predicted], labels: Sequence[str]) -> np.ndarray | None:
    """Probabilities [N, K] in the order of `labels`; None where a prediction has none. A label nobody knows gets 0."""
    rows = [prediction.probabilities for prediction in predictions]
    if not rows or any(not row for row in rows):
        return None
    return np.array([[row.get(label, 0.0) for label in labels] for row in rows if row is not None], dtype=float)


def expected_calibration_error(
    confidence: np.ndarray, is_right: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy over bins of equal width, weighted by the bins' sizes (Guo et al. 2017)."""
    weight = np.ones(len(confidence)) if weights is None else weights
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(index, weight * (is_right - confidence), minlength=bins)
    return float(np.abs(gap).sum() / weight.sum())


def _scorer(key: Hashable, targets: Sequence[Any], predictions: Sequence[Predicted], make: Callable[[], Scorer]) -> Scorer:
    if not isinstance(predictions, Remembered):
        return make()
    known = predictions.scorers.get(key)
    if known is None or known[0] is not targets:
        known = predictions.scorers[key] = (targets, make())
    return known[1]


def _counts(targets: Sequence[Any], weights: np.ndarray | None) -> np.ndarray:
    return np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)


def _defined(scores: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items() if value is not None and np.isfinite(value)}


class _ClassScorer:
    def __init__(
        self, labels: Sequence[str], targets: Sequence[Any], predictions: Sequence[Predicted], positive: str | None
    ) -> None:
        values = [prediction.value for prediction in predictions]
        names = list(dict.fromkeys([*labels, *targets, *values]))
        index = {name: i for i, name in enumerate(names)}
        self.size = len(names)
        self.truth = np.array([index[target] for target in targets], dtype=int)
        self.cell = self.truth * self.size + np.array([index[value] for value in values], dtype=int)
        self.probabilities = probability_matrix(predictions, names)
        self.positive = index.get(positive, len(labels) - 1) if positive is not None else len(labels) - 1
        if self.probabilities is not None:
            self._rank(self.probabilities)

    def _rank(self, probabilities: np.ndarray) -> None:
        columns = [self.positive] if self.size == 2 else range(self.size)
        self.rankings = [Ranking(self.truth == k, probabilities[:, k]) for k in columns]
        self.top = probabilities.max(axis=1)
        self.is_top_right = (probabilities.argmax(axis=1) == self.truth).astype(float)
        given = probabilities[np.arange(len(self.truth)), self.truth]
        self.log_losses = -np.log(np.clip(given, np.finfo(float).eps, 1.0))  # scikit-learn's clipping
        squares = ((probabilities - np.eye(self.size)[self.truth]) ** 2).sum(axis=1)
        self.briers = squares / 2 if self.size == 2 else squares  # scikit-learn: [0, 1] for two classes, else [0, 2]

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        if weights.sum() <= 0:
            return {}
        table = np.bincount(self.cell, weights, minlength=self.size**2).reshape(self.size, self.size)
        scores = _table_scores(table)
        if self.probabilities is not None:
            scores |= self._probability_scores(weights, table.sum(axis=1))
        return _defined(scores)

    def _probability_scores(self, weights: np.ndarray, support: np.ndarray) -> dict[str, float | None]:
        total = weights.sum()
        scores: dict[str, float | None] = {}
        if (support > 0).all() and self.size > 1:
            areas = [ranking.auroc(weights) for ranking in self.rankings]
            scores["auroc"] = None if None in areas else float(np.mean([area for area in areas if area is not None]))
            if self.size == 2:
                scores["average_precision"] = self.rankings[0].average_precision(weights)
        scores["log_loss"] = float(weights @ self.log_losses / total)
        scores["brier"] = float(weights @ self.briers / total)
        scores["ece"] = expected_calibration_error(self.top, self.is_top_right, weights)
        return scores


def _table_scores(table: np.ndarray) -> dict[str, float | None]:
    """Scores that follow from a confusion table [truth, prediction] alone."""
    right, support, called, total = np.diag(table), table.sum(axis=1), table.sum(axis=0), table.sum()
    occurs = (support + called) > 0
    f1 = 2 * right[occurs] / (support + called)[occurs]
    several = (support > 0).sum() > 1
    recall = right[support > 0] / support[support > 0]
    return {
        "accuracy": right.sum() / total,
        "macro_f1": f1.mean(),
        "balanced_accuracy": recall.mean() if several else None,
        "mcc": _matthews(right.sum(), support, called, total),
    }


def _matthews(right: float, support: np.ndarray, called: np.ndarray, total: float) -> float | None:
    """Gorodkin's R_K (2004), the form of scikit-learn; undefined where truth or predictions are constant."""
    spread = (total**2 - (called**2).sum()) * (total**2 - (support**2).sum())
    return float((right * total - support @ called) / np.sqrt(spread)) if spread > 0 else None


class _NumberScorer:
    def __init__(self, targets: Sequence[float], predictions: Sequence[Predicted]) -> None:
        self.truth = np.asarray(targets, dtype=float)
        self.values = np.asarray([prediction.value for prediction in predictions], dtype=float)
        self.ranks = (_Ranks(self.truth), _Ranks(self.values))

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        total = weights.sum()
        if total <= 0:
            return {}
        error = self.values - self.truth
        squares = weights @ error**2
        spread = weights @ (self.truth - weights @ self.truth / total) ** 2
        correlation = _correlation(self.ranks[0](weights), self.ranks[1](weights), weights)
        r2 = 1 - squares / spread if spread > 1e-12 * max(1.0, weights @ self.truth**2) else None
        mae, rmse = weights @ np.abs(error) / total, np.sqrt(squares / total)
        return _defined({"r2": r2, "mae": mae, "rmse": rmse, "spearman": correlation})


class _Ranks:
    """Mean ranks of values under counts: what ranking the repeated examples would give."""

    def __init__(self, values: np.ndarray) -> None:
        _, self.tie = np.unique(values, return_inverse=True)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        per_tie = np.bincount(self.tie, weights)
        ranks: np.ndarray = (np.cumsum(per_tie) - per_tie + (per_tie + 1) / 2)[self.tie]
        return ranks


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float | None:
    total = weights.sum()
    a, b = a - weights @ a / total, b - weights @ b / total
    spread = (weights @ a**2) * (weights @ b**2)
    return float(weights @ (a * b) / np.sqrt(spread)) if spread > 1e-12 else None


class _LabelsScorer:
    def __init__(self, labels: Sequence[str], targets: Sequence[Sequence[str]], predictions: Sequence[Predicted]) -> None:
        values = [prediction.value for prediction in predictions]
        names = list(dict.fromkeys([*labels, *(name for row in [*targets, *values] for name in row)]))
        self.truth, self.called = _indicators(targets, names), _indicators(values, names)
        self.right = self.truth * self.called
        self.wrong = np.abs(self.truth - self.called).mean(axis=1)
        matrix = probability_matrix(predictions, names)
        columns = range(len(names)) if matrix is not None else ()
        self.rankings = [Ranking(self.truth[:, k] > 0, matrix[:, k]) for k in columns if matrix is not None]

    def __call__(self, weights: np.ndarray) -> dict[str, float]:
        total = weights.sum()
        if total <= 0:
            return {}
        right, size = weights @ self.right, weights @ self.truth + weights @ self.called
        areas = [area for ranking in self.rankings if (area := ranking.average_precision(weights)) is not None]
        return _defined(
            {
                "micro_f1": 2 * right.sum() / size.sum() if size.sum() > 0 else None,
                "macro_f1": (2 * right[size > 0] / size[size > 0]).mean() if size.sum() > 0 else None,
                "subset_accuracy": weights @ (self.wrong == 0) / total,
                "hamming_loss": weights @ self.wrong / total,
                "mean_average_precision": float(np.mean(areas)) if areas else None,
            }
        )


def _indicators(rows: Sequence[Sequence[str]], names: Sequence[str]) -> np.ndarray:
    index = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(rows), len(names)))
    for i, row in enumerate(rows):
        table[i, [index[name] for name in row]] = 1.0
    return table
