"""Labels: from what the data says ("pos", 1, True) to the positions of a head's outputs, and back to predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.head import Prediction

SHOWN = 20
"""Labels that an error lists before it says how many more there are."""


class LabelIndex:
    """The labels of a target in their fixed order; a value of another type counts as the label that it prints as.

    Raises:
        DataError: The target has no labels.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        if not labels:
            raise DataError("the target has no labels, so there is nothing to tell apart; does the data hold a target column?")
        self.labels = tuple(labels)
        self._positions = {label: position for position, label in enumerate(self.labels)}

    def position(self, value: Any) -> int:
        """Position of one label.

        Raises:
            DataError: The label is not one that the head knows.
        """
        position = self._positions.get(str(value))
        if position is None:
            known = ", ".join(repr(label) for label in self.labels[:SHOWN])
            more = f" and {len(self.labels) - SHOWN} more" if len(self.labels) > SHOWN else ""
            raise DataError(f"unknown label {str(value)!r}; known: {known}{more}")
        return position

    def positions(self, values: Iterable[Any]) -> list[int]:
        """Position of each label."""
        return [self.position(value) for value in values]

    def counts(self, values: Iterable[Any]) -> np.ndarray:
        """How often each label occurs, [labels]."""
        return np.bincount(self.positions(values), minlength=len(self.labels))


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """One weight per class, n / (k * count) over the k classes that occur, so that their mean over the examples is 1.

    A class without an example gets 1: it never weighs in training, and its validation loss stays finite. Formula: King &
    Zeng 2001, as scikit-learn's `compute_class_weight("balanced")`.
    """
    present = counts > 0
    weights = np.ones(len(counts), dtype=np.float64)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def class_predictions(labels: Sequence[str], probabilities: np.ndarray) -> list[Prediction]:
    """The most probable label of each row of `probabilities` [examples, labels]."""
    return [
        Prediction(labels[int(row.argmax())], dict(zip(labels, row.tolist(), strict=True)))
        for row in np.asarray(probabilities, dtype=np.float64)
    ]


def label_set(target: Any) -> list[Any]:
    """The labels of one example of kind "labels".

    Raises:
        DataError: It is a single label or nothing, not a collection.
    """
    if isinstance(target, str) or not hasattr(target, "__iter__"):
        raise DataError(f"the target {target!r} is not a collection of labels; give a tuple or list, such as ({target!r},)")
    return list(target)


def as_labels(targets: Sequence[Any]) -> Sequence[str]:
    """Targets as labels. Those that are strings come back as the same object: scoring remembers them by identity."""
    if all(isinstance(target, str) for target in targets):
        return targets
    return [str(target) for target in targets]
