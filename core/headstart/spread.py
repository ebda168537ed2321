"""Spread: how far the answers to slightly changed versions of one input lie apart; an answer that hangs on them is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.data import Data
from headstart.device import Compute
from headstart.example import Example
from headstart.feed import LiveFeed
from headstart.head import Prediction
from headstart.loop import predict
from headstart.model import Model
from headstart.tally import Tally

PIECE = 16
"""Examples whose changed versions are in memory at one time."""

Views = Callable[[Any], Sequence[Any]]


@dataclass(frozen=True)
class Asking:
    """Who is asked about the changed versions, and how.

    Attributes:
        data: Of the run; nothing is augmented here.
        exact: As in `TrainPlan.exact`.
        tally: Hears of every pass.
    """

    model: Model
    data: Data
    compute: Compute
    exact: bool = False
    tally: Tally | None = None

    def answers(self, examples: Sequence[Example]) -> list[Prediction]:
        """The model's own predictions, without any distance or trait."""
        feed = LiveFeed(self.model, self.data, examples, self.compute, exact=self.exact, tally=self.tally)
        return predict(self.model, feed)


def with_spread(
    predictions: Sequence[Prediction], examples: Sequence[Example], views: Views, asking: Asking
) -> list[Prediction]:
    """The predictions with `spread` among their details, where there are changed versions and the head gives probabilities.

    Costs a pass of the whole backbone for each version of each example.

    Args:
        predictions: Of the examples, in their order.
        examples: As they are.
        views: Changed versions of an input; none = nothing is asked about it.
        asking: Who is asked.
    """
    found: list[Prediction] = []
    for start in range(0, len(examples), PIECE):
        piece = examples[start : start + PIECE]
        versions = [list(views(example.input)) for example in piece]
        changed = [replace(one, input=version) for one, own in zip(piece, versions, strict=True) for version in own]
        answers = iter(asking.answers(changed) if changed else ())
        for prediction, own in zip(predictions[start : start + PIECE], versions, strict=True):
            found.append(_told(prediction, [next(answers) for _ in own]))
    return found


def spread_of(answers: Sequence[Prediction]) -> float | None:
    """Standard deviation of the probability over the answers, of the label where it is largest, in [0, 0.5].

    None where there are fewer than two, or one without probabilities.
    """
    rows = [answer.probabilities for answer in answers]
    if len(rows) < 2 or not all(rows):
        return None
    table = np.array([[(row or {})[label] for label in rows[0] or {}] for row in rows])  # [answers, labels]
    return float(table.std(axis=0).max())


def _told(prediction: Prediction, others: Sequence[Prediction]) -> Prediction:
    spread = spread_of([prediction, *others])
    return prediction if spread is None else replace(prediction, details={**prediction.details, "spread": round(spread, 4)})
