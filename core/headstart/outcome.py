"""Outcomes: predictions of one split beside the truth, the only thing from which metrics, comparison and report are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.example import Example
from headstart.head import Prediction


@dataclass(frozen=True)
class Outcome:
    """Examples and predictions in the same order.

    Attributes:
        model: "run" for the run's own model, else the name of a baseline.
        split: "train", "val" or "test".
        fold: Number of the fold, -1 without cross-validation.
    """

    model: str
    split: str
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    fold: int = -1

    @property
    def targets(self) -> list[Any]:
        """The truth, in the user's terms."""
        return [example.target for example in self.examples]
