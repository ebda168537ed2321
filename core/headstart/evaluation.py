"""The interface of an evaluation: measures beyond a head's own scores, and decisions that are settled on validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.predictions import SavedOutcome


class Evaluation(ABC):
    """What a domain asks of predictions. Keyword-only arguments of `__init__` are the recipe's options.

    A data part can prescribe one (`Data.evaluation`); then no recipe can leave it out.

    Class attributes:
        kinds: Kinds of target that it knows: ("class",), ...
        looks: Whether it asks for `look`, and for a `distance` among each prediction's details: how far the example's
            features lie from those of training, about 1 for examples like them.
    """

    kinds: ClassVar[tuple[str, ...]]
    looks: ClassVar[bool] = False

    def settle(self, outcome: Outcome, target: Target) -> Mapping[str, Any]:
        """What is learnt from the validation part (calibration, thresholds): plain JSON that travels with the model.

        Without a validation part the outcome holds no examples. The test part never comes here.
        """
        return {}

    def traits(self, input: Any) -> Mapping[str, float]:
        """What an input is like before any network sees it, for each prediction's details; the default tells nothing."""
        return {}

    def views(self, input: Any) -> Sequence[Any]:
        """Slightly changed versions of an input, as many of each; the default has none, and then nothing is computed.

        How far the answers to them lie apart comes back as `spread` among the prediction's details (`headstart.spread`).
        """
        return ()

    def look(self, features: Mapping[str, tuple[np.ndarray, Sequence[Example]]], target: Target) -> Mapping[str, Any]:
        """What the untouched backbone's features [N, C] of some examples of each split say, as plain JSON.

        It is kept beside what was measured, under "frozen".
        """
        return {}

    def warn(self, measured: Mapping[str, Any], target: Target) -> list[str]:
        """Sentences of warning, from what was measured on "val" and "test" and found "frozen"."""
        return []

    def guard(self, folder: Path) -> list[str]:
        """Why what a run has written may not be given out, whole sentences; the default finds nothing.

        Asked when all files are there. Where there is a reason, the report is taken away again and the run fails.
        """
        return []

    def compare(
        self, first: SavedOutcome, second: SavedOutcome, target: Target, measured: tuple[Mapping[str, Any], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Paired tests of two runs on the same test examples in the same order, as plain JSON; the default has none.

        Args:
            first: Predictions of one run as they were given out.
            second: Of the other.
            target: Of both.
            measured: What this evaluation measured on the test part of each.
        """
        return {}

    @abstractmethod
    def measure(self, outcome: Outcome, target: Target, settled: Mapping[str, Any]) -> Mapping[str, Any]:
        """Figures as plain JSON, by what was settled before; nothing is fitted here.

        The outcome holds the head's own predictions, as `settle` got them.
        """

    def decide(self, predictions: Sequence[Prediction], target: Target, settled: Mapping[str, Any]) -> list[Prediction]:
        """The head's predictions as they are given out; the default changes nothing."""
        return list(predictions)
