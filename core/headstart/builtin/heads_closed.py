"""Heads that learn in one go on frozen features: logistic regression, support vectors, nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from headstart.builtin.closed import ClosedClassifier, logger
from headstart.errors import DataError, UsageError
from headstart.example import Target

C_GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
MOST_FOLDS = 5
ITERATIONS = 5000  # lbfgs and liblinear stop far earlier on standardised features; raw ones of large scale need many


class Logistic(ClosedClassifier):
    """Logistic regression on the pooled features of a frozen backbone (scikit-learn, lbfgs).

    Args:
        c: Inverse strength of the L2 penalty, > 0; None chooses among 0.01, 0.1, 1, 10 and 100 by the log loss of a
            stratified cross-validation within the training examples (at most 5 folds), and takes 1 where a label has
            fewer than 2 examples.
        class_weights: "balanced" weighs each class by n / (classes x its count); "none" counts each example once.
        standardise: Bring each feature to mean 0 and deviation 1 over the training examples first.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = False

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        c: float | None = None,
        class_weights: Literal["none", "balanced"] = "none",
        standardise: bool = True,
    ) -> None:
        super().__init__(ports, target)
        if c is not None:
            _positive("c", c)
        self.c, self.class_weights, self.standardise = c, class_weights, standardise

    def learnt(self, features: np.ndarray, positions: np.ndarray) -> Any:
        """The fitted pipeline; where c is chosen, the winner fitted again to all training examples."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        _several_labels(positions, self.index.labels)
        classifier = LogisticRegression(C=self.c or 1.0, class_weight=_weights(self.class_weights), max_iter=ITERATIONS)
        pipeline = _pipeline(classifier, standardise=self.standardise)
        folds = _folds(positions)
        if self.c is not None or folds is None:
            return pipeline.fit(features, positions)
        grid = {"classifier__C": list(C_GRID)}
        search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=folds, error_score="raise")
        return search.fit(features, positions).best_estimator_


class SVM(ClosedClassifier):
    """A support vector machine on the pooled features of a frozen backbone (scikit-learn).

    Probabilities come from Platt's sigmoid, fitted to cross-validated decision values; where a label has fewer than 2
    examples there are none, only labels.

    Args:
        kernel: "linear" (LinearSVC, quick for many examples) or "rbf" (SVC, cost grows with the square of the examples).
        c: Inverse strength of the penalty, > 0.
        gamma: Width of the rbf kernel, > 0; None = 1 / (features x their variance), scikit-learn's "scale".
        class_weights: "balanced" weighs each class by n / (classes x its count); "none" counts each example once.
        standardise: Bring each feature to mean 0 and deviation 1 over the training examples first.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = False

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        kernel: Literal["linear", "rbf"] = "linear",
        c: float = 1.0,
        gamma: float | None = None,
        class_weights: Literal["none", "balanced"] = "none",
        standardise: bool = True,
    ) -> None:
        super().__init__(ports, target)
        _positive("c", c)
        if gamma is not None:
            _positive("gamma", gamma)
        self.kernel, self.c, self.gamma = kernel, c, gamma
        self.class_weights, self.standardise = class_weights, standardise

    def learnt(self, features: np.ndarray, positions: np.ndarray) -> Any:
        """The fitted machine, calibrated where the labels' counts allow it."""
        from sklearn.calibration import CalibratedClassifierCV

        _several_labels(positions, self.index.labels)
        pipeline = _pipeline(self._machine(), standardise=self.standardise)
        folds = _folds(positions)
        if folds is None:
            logger.warning("a label has fewer than 2 examples: the head svm gives no probabilities")
            return pipeline.fit(features, positions)
        # ensemble=False: one machine on all examples, whose decision values of cross-validation fit the sigmoid
        return CalibratedClassifierCV(pipeline, method="sigmoid", cv=folds, ensemble=False).fit(features, positions)

    def _machine(self) -> Any:
        from sklearn.svm import SVC, LinearSVC

        weights = _weights(self.class_weights)
        if self.kernel == "linear":
            return LinearSVC(C=self.c, class_weight=weights, dual="auto", max_iter=ITERATIONS, random_state=0)
        return SVC(C=self.c, gamma="scale" if self.gamma is None else self.gamma, class_weight=weights)


class KNN(ClosedClassifier):
    """The vote of the nearest training examples in the pooled features of a frozen backbone (scikit-learn, exact search).

    Args:
        neighbours: How many vote, >= 1; all training examples where there are fewer.
        metric: "cosine" compares directions, "euclidean" distances.
        weights: "uniform" = one vote each; "distance" = a vote counts by the inverse of its distance.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = False
    precision: ClassVar[torch.dtype] = torch.float32  # the features' own; they are kept whole, at half the size of float64

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        neighbours: int = 5,
        metric: Literal["cosine", "euclidean"] = "cosine",
        weights: Literal["uniform", "distance"] = "uniform",
    ) -> None:
        super().__init__(ports, target)
        _positive("neighbours", neighbours)
        self.neighbours, self.metric, self.weights = neighbours, metric, weights

    def learnt(self, features: np.ndarray, positions: np.ndarray) -> Any:
        """The training features and labels themselves."""
        from sklearn.neighbors import KNeighborsClassifier

        count = min(self.neighbours, len(features))
        if count < self.neighbours:
            logger.warning("the head knn asks for %d neighbours; there are %d examples, all vote", self.neighbours, count)
        # brute force: trees do not pay beyond some 15 dimensions (scikit-learn's user guide, 1.6.4.4), and cosine has none
        searcher = KNeighborsClassifier(count, metric=self.metric, weights=self.weights, algorithm="brute")
        return searcher.fit(features, positions)


def _pipeline(classifier: Any, *, standardise: bool) -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    scaler = [("scaler", StandardScaler())] if standardise else []
    return Pipeline([*scaler, ("classifier", classifier)])


def _folds(positions: np.ndarray) -> Any:
    """Stratified folds in which every label that occurs is learnt and tested; None where a label has a single example."""
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(positions)
    folds = min(MOST_FOLDS, int(counts[counts > 0].min()))
    return StratifiedKFold(folds, shuffle=True, random_state=0) if folds >= 2 else None


def _several_labels(positions: np.ndarray, labels: tuple[str, ...]) -> None:
    if len(np.unique(positions)) < 2:
        raise DataError(
            f"all {len(positions)} training examples have the label '{labels[int(positions[0])]}'; there is nothing to tell "
            f"apart; known labels: {', '.join(labels)}"
        )


def _weights(name: str) -> str | None:
    return None if name == "none" else name


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise UsageError(f"the head's option {name} is {value}; it must be greater than 0")
