"""The interface of an evaluation: measures beyond a head's own scores, and decisions that are settled on validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from headstart.example import Target
from headstart.head import Prediction
from headstart.outcome import Outcome


class Evaluation(ABC):
    """What a domain asks of predictions. Keyword-only arguments of `__init__` are the recipe's options.

    A data part can prescribe one (`Data.evaluation`); then no recipe can leave it out.

    Class attributes:
        kinds: Kinds of target that it knows: ("class",), ...
    """

    kinds: ClassVar[tuple[str, ...]]

    def settle(self, outcome: Outcome, target: Target) -> Mapping[str, Any]:
        """What is learnt from the validation part (calibration, thresholds): plain JSON that travels with the model.

        Without a validation part the outcome holds no examples. The test part never comes here.
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
