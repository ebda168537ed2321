"""Cases: the few texts of a test part that are worth a look, chosen by rule and not by eye."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headstart.predictions import SavedOutcome, SavedPrediction

WRONG, CLOSE, SURE = "surest of those that are wrong", "closest call", "surest of those that are right"


@dataclass(frozen=True)
class Case:
    """One text to be explained.

    Attributes:
        id: Of the example.
        label: What is explained: the answer, or the most probable label of a set; "" = a number.
        answer: What the run said.
        truth: In the user's terms; None = not known.
        probability: That the run gave the label; None = it gives none.
        why: By which rule it was chosen.
    """

    id: str
    label: str
    answer: Any
    truth: Any
    probability: float | None
    why: str


def case_of(name: str, truth: Any, prediction: Any, kind: str, why: str) -> Case:
    """The case of one prediction for a target of this kind."""
    shares = prediction.probabilities or {}
    label = max(shares, key=lambda one: shares[one], default="") if kind == "labels" else str(prediction.value)
    return Case(name, "" if kind == "number" else label, prediction.value, truth, shares.get(label), why)


def choose_cases(outcome: SavedOutcome, kind: str, count: int) -> list[Case]:
    """A third of them the surest errors, a third the closest calls, the rest the surest right ones; numbers: the largest
    errors, then the smallest.
    """
    pairs = [(e, p) for e, p in zip(outcome.examples, outcome.predictions, strict=True) if e.target is not None]
    third = max(1, count // 3)
    if kind == "number":
        ranked = sorted(pairs, key=lambda pair: -abs(float(pair[1].value) - float(pair[0].target)))
        chosen = [(WRONG, pair) for pair in ranked[:third]] + [(SURE, pair) for pair in ranked[::-1]]
    else:
        is_right: Callable[[Any], bool] = lambda pair: _as_set(pair[0].target) == _as_set(pair[1].value)  # noqa: E731
        sure = sorted(pairs, key=lambda pair: -_margin(pair[1]))
        chosen = [(WRONG, pair) for pair in sure if not is_right(pair)][:third]
        chosen += [(CLOSE, pair) for pair in sure[::-1][:third]] + [(SURE, pair) for pair in sure if is_right(pair)]
    cases: dict[str, Case] = {}
    for why, (example, prediction) in chosen:
        cases.setdefault(example.id, case_of(example.id, example.target, prediction, kind, why))
    return list(cases.values())[:count]


def _as_set(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, (tuple, list, set)) else {str(value)}


def _margin(prediction: SavedPrediction) -> float:
    """How far the answer is from another one: the gap of the two highest probabilities, or of one from a half."""
    shares = sorted((prediction.probabilities or {}).values(), reverse=True)
    if len(shares) > 1 and abs(sum(shares) - 1) < 1e-6:
        return shares[0] - shares[1]
    return abs(shares[0] - 0.5) if shares else 0.0
