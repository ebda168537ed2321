"""Cases: the few examples of a test part that are worth a look, chosen by rule and not by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.predictions import SavedOutcome, SavedPrediction

WRONG, CLOSE, SURE = "surest of those that are wrong", "closest call", "surest of those that are right"


@dataclass(frozen=True)
class Case:
    """One example to be explained.

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


Found = tuple[Case, bool, float]
"""A case, whether the run is right, and how far its answer is from another one."""


def case_of(name: str, truth: Any, prediction: Any, kind: str, why: str) -> Case:
    """The case of one prediction for a target of this kind."""
    shares = prediction.probabilities or {}
    label = max(shares, key=lambda one: shares[one], default="") if kind == "labels" else str(prediction.value)
    return Case(name, "" if kind == "number" else label, prediction.value, truth, shares.get(label), why)


def choose_cases(outcome: SavedOutcome, kind: str, count: int) -> list[Case]:
    """At most `count` cases: a third of them the surest errors, a third the closest calls, the rest the surest of each answer.

    Of numbers the largest errors, then the smallest. Those that the run would not answer are left out: an explanation would
    look like an answer.

    Args:
        outcome: Of the test part.
        kind: Of the target: "class", "labels" or "number".
        count: >= 1.
    """
    pairs = [
        (example, prediction)
        for example, prediction in zip(outcome.examples, outcome.predictions, strict=True)
        if example.target is not None and not prediction.details.get("abstain")
    ]
    third = max(1, count // 3)
    if kind == "number":
        far = sorted(pairs, key=lambda pair: -abs(float(pair[1].value) - float(pair[0].target)))
        ranked = [(WRONG, pair) for pair in far[:third]] + [(SURE, pair) for pair in far[::-1]]
        cases = [case_of(example.id, example.target, prediction, kind, why) for why, (example, prediction) in ranked]
    else:
        cases = _of_labels([_found(example.id, example.target, prediction, kind) for example, prediction in pairs], third)
    chosen: dict[str, Case] = {}
    for case in cases:
        chosen.setdefault(case.id, case)
    return list(chosen.values())[:count]


def _of_labels(found: Sequence[Found], third: int) -> list[Case]:
    surest = sorted(found, key=lambda one: -one[2])
    wrong = [one for one in surest if not one[1]][:third]
    close = sorted(found, key=lambda one: one[2])[:third]
    ranked = ((WRONG, wrong), (CLOSE, close), (SURE, _by_turns([one for one in surest if one[1]])))
    return [
        Case(case.id, case.label, case.answer, case.truth, case.probability, why) for why, row in ranked for case, *_ in row
    ]


def _found(name: str, truth: Any, prediction: SavedPrediction, kind: str) -> Found:
    return case_of(name, truth, prediction, kind, ""), _as_set(truth) == _as_set(prediction.value), _margin(prediction)


def _as_set(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, (tuple, list, set)) else {str(value)}


def _margin(prediction: SavedPrediction) -> float:
    """How far the answer is from another one: the gap of the two highest probabilities, or of a single one from a half."""
    shares = sorted((prediction.probabilities or {}).values(), reverse=True)
    if len(shares) > 1 and abs(sum(shares) - 1) < 1e-6:
        return shares[0] - shares[1]
    return abs(shares[0] - 0.5) if shares else 0.0


def _by_turns(found: Sequence[Found]) -> list[Found]:
    """One of each label after the other, so that one class does not fill the page."""
    rows: dict[str, list[Found]] = {}
    for one in found:
        rows.setdefault(one[0].label, []).append(one)
    turns = max((len(row) for row in rows.values()), default=0)
    return [row[at] for at in range(turns) for row in rows.values() if at < len(row)]
