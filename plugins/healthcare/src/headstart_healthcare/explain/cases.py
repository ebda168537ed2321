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
        label: What is explained: the answer, or the most probable finding.
        truth: In the user's terms.
        probability: That the run gave the label; None = it gives none.
        why: By which rule it was chosen.
    """

    id: str
    label: str
    truth: Any
    probability: float | None
    why: str


def choose_cases(outcome: SavedOutcome, kind: str, count: int) -> list[Case]:
    """At most `count` cases: a third of them the surest errors, a third the closest calls, the rest the surest of each answer.

    Those that the run would not answer are left out: a heat map would look like an answer.

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
    found = [
        (_case(example.id, example.target, prediction, kind), _is_right(example.target, prediction, kind), _margin(prediction))
        for example, prediction in pairs
    ]
    wrong = sorted((one for one in found if not one[1]), key=lambda one: -one[2])
    close = sorted(found, key=lambda one: one[2])
    sure = _by_turns(sorted((one for one in found if one[1]), key=lambda one: -one[2]))
    third = max(1, count // 3)
    ranked = [(WRONG, one) for one in wrong[:third]] + [(CLOSE, one) for one in close[:third]] + [(SURE, one) for one in sure]
    chosen: dict[str, Case] = {}
    for why, (case, _, _) in ranked:
        chosen.setdefault(case.id, Case(case.id, case.label, case.truth, case.probability, why))
    return list(chosen.values())[:count]


def _case(name: str, truth: Any, prediction: SavedPrediction, kind: str) -> Case:
    shares = prediction.probabilities or {}
    label = str(prediction.value) if kind != "labels" else max(shares, key=lambda one: shares[one], default="")
    return Case(name, label, list(truth) if isinstance(truth, tuple) else truth, shares.get(label), "")


def _is_right(truth: Any, prediction: SavedPrediction, kind: str) -> bool:
    return set(truth) == set(prediction.value) if kind == "labels" else bool(truth == prediction.value)


def _margin(prediction: SavedPrediction) -> float:
    """How far the answer is from another one: the gap of the two highest probabilities, or of a single one from a half."""
    shares = sorted((prediction.probabilities or {}).values(), reverse=True)
    if len(shares) > 1 and abs(sum(shares) - 1) < 1e-6:
        return shares[0] - shares[1]
    return abs(shares[0] - 0.5) if shares else 0.0


def _by_turns(found: Sequence[tuple[Case, bool, float]]) -> list[tuple[Case, bool, float]]:
    """One of each label after the other, so that one class does not fill the page."""
    rows: dict[str, list[tuple[Case, bool, float]]] = {}
    for one in found:
        rows.setdefault(one[0].label, []).append(one)
    turns = max((len(row) for row in rows.values()), default=0)
    return [row[at] for at in range(turns) for row in rows.values() if at < len(row)]
