"""Judging: the run's predictions against the truth and against the baselines, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headstart.baselines import baseline_names, predict_baseline
from headstart.build import Built
from headstart.events import Tell
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.intervals import Interval, paired_difference, score_intervals
from headstart.outcome import Outcome
from headstart.plain_views import plainly_seen
from headstart.scores import LOWER_IS_BETTER, HeadScore, scores_for

Intervals = Mapping[str, Interval]


@dataclass
class Judgement:
    """Scores of the run and its baselines.

    Attributes:
        selected_by: The score that chose the best epoch.
        scores: Split -> the run's scores.
        baselines: Baseline -> its scores on the test examples.
        differences: Baseline -> run minus baseline, paired.
        folds: The scores of each fold, in order; empty without cross-validation.
    """

    target: Target
    selected_by: str
    n: Mapping[str, int]
    scores: dict[str, Intervals] = field(default_factory=dict)
    baselines: dict[str, Intervals] = field(default_factory=dict)
    differences: dict[str, Intervals] = field(default_factory=dict)
    folds: list[dict[str, float]] = field(default_factory=list)

    def values(self) -> dict[str, dict[str, float]]:
        """Split -> score -> value: what a line of progress needs."""
        return {split: {name: interval.value for name, interval in scores.items()} for split, scores in self.scores.items()}

    def as_json(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return {
            "target": {"kind": self.target.kind, "labels": list(self.target.labels), "positive": self.target.positive},
            "selected_by": self.selected_by,
            "n": dict(self.n),
            **{split: _plain(scores) for split, scores in self.scores.items()},
            "baselines": {name: _plain(scores) for name, scores in self.baselines.items()},
            "differences": {name: _plain(scores) for name, scores in self.differences.items()},
            "folds": self.folds,
        }


def judge(target: Target, outcomes: Sequence[Outcome], head_score: HeadScore, n: Mapping[str, int], *, seed: int) -> Judgement:
    """Score all outcomes; outcomes of several folds are pooled, every example counting once.

    Args:
        target: What was predicted.
        outcomes: Of the run ("run") and of baselines, on "val" and "test".
        head_score: `Head.score`; baselines are scored by the same function, or by the kind's own where it is foreign.
        n: Examples by split.
        seed: Of the bootstrap.
    """
    found = Judgement(target, "", n)
    baseline_score = scores_for(target.kind, target.labels, target.positive) or head_score
    for split in ("test", "val"):
        parts = [outcome for outcome in outcomes if outcome.model == "run" and outcome.split == split]
        if parts:
            found.scores[split] = score_intervals(head_score, pool(parts), seed=seed)
            found.folds = found.folds or [head_score(p.predictions, p.targets, None) for p in parts if p.fold >= 0]
    ours = pool([outcome for outcome in outcomes if outcome.model == "run" and outcome.split == "test"])
    for name in dict.fromkeys(outcome.model for outcome in outcomes if outcome.model != "run"):
        theirs = pool([outcome for outcome in outcomes if outcome.model == name])
        found.baselines[name] = score_intervals(baseline_score, theirs, seed=seed)
        found.differences[name] = paired_difference(baseline_score, ours, theirs, seed=seed)
    names = [name for name in found.scores.get("val") or found.scores.get("test") or {} if name not in LOWER_IS_BETTER]
    found.selected_by = next(iter(names), "")
    return found


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Several folds as one."""
    examples = [example for outcome in outcomes for example in outcome.examples]
    predictions = [prediction for outcome in outcomes for prediction in outcome.predictions]
    return Outcome(outcomes[0].model, outcomes[0].split, examples, predictions) if outcomes else Outcome("", "", [], [])


def run_baselines(built: Built, parts: Mapping[str, Sequence[Example]], *, seed: int, fold: int, tell: Tell) -> list[Outcome]:
    """Every baseline for this kind of data, trained on the same examples and tested on the same ones; then its plain ways."""
    outcomes, target = [], built.data.target
    modality, seen = plainly_seen(built.data, parts)
    for name in baseline_names(modality, target):
        predictions = predict_baseline(name, seen["train"], seen["val"], seen["test"], target, seed)
        outcomes.append(Outcome(name, "test", parts["test"], predictions, fold))
        tell("baseline", name=name, examples=len(predictions))
    for name, answer in built.data.plain().items():
        predictions = [Prediction(answer(example)) for example in parts["test"]]
        outcomes.append(Outcome(name, "test", parts["test"], predictions, fold))
        tell("baseline", name=name, examples=len(predictions))
    return outcomes


def _plain(scores: Intervals) -> dict[str, dict[str, Any]]:
    return {name: asdict(interval) for name, interval in scores.items()}
