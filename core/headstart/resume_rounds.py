"""Rounds that are complete: what one gave, as JSON that comes back equal, so that a run that goes on need not repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.evaluating import Evaluating
from headstart.example import Example
from headstart.familiar import Familiar
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.resume_folder import Saved

TUPLE, MAP = "()", "{}"
FAMILIAR = "familiar"

Parts = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class RoundResult:
    """What one round gave.

    Attributes:
        outcomes: Of the run and its baselines, as decided.
        ledger: What `ledger.json` holds.
        n: Examples by split.
        transfer: What training from random weights gave; empty = it was not asked for.
    """

    outcomes: Sequence[Outcome]
    ledger: Mapping[str, Any]
    n: Mapping[str, int]
    transfer: Mapping[str, Any] = field(default_factory=dict)

    def saved(self, evaluations: Evaluating, lines: int) -> Saved:
        """With what the evaluations know by now.

        Raises:
            TypeError: A prediction holds something that is no plain value.
        """
        facts = {
            "outcomes": [_as_json(outcome) for outcome in self.outcomes],
            "ledger": self.ledger,
            "n": dict(self.n),
            "transfer": self.transfer,
            "settled": evaluations.settled,
            "measured": evaluations.measured,
            "lines": lines,
        }
        return Saved(facts, evaluations.familiar.tensors() if evaluations.familiar else {})


def result_of(saved: Saved, parts: Parts, evaluations: Evaluating) -> RoundResult:
    """What `saved` gave, with the examples of the round; the evaluations know again what they knew."""
    facts = saved.facts
    evaluations.settled, evaluations.measured = facts["settled"], facts["measured"]
    evaluations.familiar = Familiar.of_tensors(dict(saved.tensors)) if saved.tensors else None
    outcomes = [_outcome(item, parts) for item in facts["outcomes"]]
    return RoundResult(outcomes, facts["ledger"], facts["n"], facts["transfer"])


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "model": outcome.model,
        "split": outcome.split,
        "fold": outcome.fold,
        "predictions": [[_code(p.value), _code(p.probabilities), _code(p.details)] for p in outcome.predictions],
    }


def _outcome(item: Mapping[str, Any], parts: Parts) -> Outcome:
    predictions = [Prediction(*(_decode(value) for value in triple)) for triple in item["predictions"]]
    return Outcome(item["model"], item["split"], parts[item["split"]], predictions, item["fold"])


def _code(value: Any) -> Any:
    """Plain values as JSON; what JSON has not (tuples, mappings with any key) under a name of its own."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {MAP: [[_code(key), _code(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {TUPLE: [_code(item) for item in value]}
    if isinstance(value, list):
        return [_code(item) for item in value]
    raise TypeError(f"a prediction holds a {type(value).__name__}, which is no plain value")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, dict) and TUPLE in value:
        return tuple(_decode(item) for item in value[TUPLE])
    if isinstance(value, dict):
        return {_decode(key): _decode(item) for key, item in value[MAP]}
    return value
