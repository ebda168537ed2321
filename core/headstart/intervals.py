"""Intervals: how far a score may be off, given the examples it was measured on (95 %)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headstart.errors import UsageError
from headstart.example import Example
from headstart.scores import HeadScore, Predicted, Remembered

LEVEL = 0.95
PROPORTIONS = ("accuracy", "subset_accuracy")  # shares of examples that are right: Wilson needs no resampling
LEAST_DEFINED = 0.9  # a score that fewer resamples define gets no interval: its percentiles would be of the lucky ones


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval.

    Attributes:
        value: On all examples, not the mean of the resamples.
        low: Lower end.
        high: Upper end.
        n: Examples that it was measured on.
        method: How the ends were found, in words for people.
    """

    value: float
    low: float
    high: float
    n: int
    method: str


class Judged(Protocol):
    """Predictions beside the truth: an `Outcome`, or a table read from `predictions.parquet`."""

    @property
    def examples(self) -> Sequence[Example]:
        """Examples with targets and groups."""

    @property
    def predictions(self) -> Sequence[Predicted]:
        """In the order of the examples."""


def score_intervals(head_score: HeadScore, outcome: Judged, *, seed: int = 0, resamples: int = 1000) -> dict[str, Interval]:
    """Each score with its interval; examples without a target are left out.

    Wilson's for shares of right examples where there are no groups; else the percentile bootstrap, of whole groups where
    there are groups (one patient's pictures are not independent).

    Args:
        head_score: `Head.score` or a function of the same form.
        outcome: What was predicted of which examples.
        seed: Of the resampling.
        resamples: Number of bootstrap samples.
    """
    examples, predictions = _labelled(outcome)
    if not examples:
        return {}
    targets, kept = [example.target for example in examples], Remembered(predictions)
    scores, n = head_score(kept, targets, None), len(examples)
    groups = group_numbers(examples)
    drawn = [head_score(kept, targets, weights) for weights in bootstrap_weights(n, groups, seed, resamples)]
    found: dict[str, Interval] = {}
    for name, value in scores.items():
        if groups is None and name in PROPORTIONS and _is_count(value * n):
            found[name] = wilson(round(value * n), n)
        elif (ends := _percentiles([draw.get(name) for draw in drawn])) is not None:
            found[name] = Interval(value, *ends, n, _method("percentile bootstrap", groups))
    return found


def paired_difference(
    head_score: HeadScore, first: Judged, second: Judged, *, seed: int = 0, resamples: int = 1000
) -> dict[str, Interval]:
    """First minus second for each score that both have, on the same examples, resampled together.

    Raises:
        UsageError: The two do not hold the same examples.
    """
    examples, ours, theirs = _matched(first, second)
    if not examples:
        return {}
    targets, kept_ours, kept_theirs = [example.target for example in examples], Remembered(ours), Remembered(theirs)

    def difference(weights: np.ndarray | None) -> dict[str, float]:
        a, b = head_score(kept_ours, targets, weights), head_score(kept_theirs, targets, weights)
        return {name: a[name] - b[name] for name in a if name in b}

    groups = group_numbers(examples)
    drawn = [difference(weights) for weights in bootstrap_weights(len(examples), groups, seed, resamples)]
    method = _method("paired bootstrap", groups)
    return {
        name: Interval(value, *ends, len(examples), method)
        for name, value in difference(None).items()
        if (ends := _percentiles([draw.get(name) for draw in drawn])) is not None
    }


def wilson(right: int, n: int) -> Interval:
    """Wilson's interval of a share; good for small n and near 0 and 1 (Brown, Cai and DasGupta 2001, section 3.1.1).

    The formula of `scipy.stats.binomtest`, to the bit; importing that takes 0.8 CPU-seconds of every run.
    """
    from scipy.special import ndtri

    share, z = right / n, float(ndtri(0.5 + 0.5 * LEVEL))
    whole = 2 * (n + z**2)
    middle, reach = (2 * n * share + z**2) / whole, z / whole * math.sqrt(4 * n * share * (1 - share) + z**2)
    return Interval(share, 0.0 if right == 0 else middle - reach, 1.0 if right == n else middle + reach, n, "Wilson")


def group_numbers(examples: Sequence[Example]) -> np.ndarray | None:
    """Number of each example's group [N], one without a group being its own; None where no two examples share one."""
    names = [example.group if example.group is not None else ("alone", i) for i, example in enumerate(examples)]
    index = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([index[name] for name in names]) if len(index) < len(names) else None


def bootstrap_weights(n: int, groups: np.ndarray | None, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Counts of each example [N] in each resample, drawn by example or by whole group."""
    rng = np.random.default_rng(seed)
    size = n if groups is None else int(groups.max()) + 1
    for _ in range(resamples):
        counts = np.bincount(rng.integers(0, size, size), minlength=size).astype(float)
        yield counts if groups is None else counts[groups]


def _labelled(outcome: Judged) -> tuple[list[Example], list[Predicted]]:
    pairs = zip(outcome.examples, outcome.predictions, strict=True)
    kept = [(example, prediction) for example, prediction in pairs if example.target is not None]
    return [example for example, _ in kept], [prediction for _, prediction in kept]


def _matched(first: Judged, second: Judged) -> tuple[list[Example], list[Predicted], list[Predicted]]:
    examples, ours = _labelled(first)
    others, theirs = _labelled(second)
    by_id = {example.id: prediction for example, prediction in zip(others, theirs, strict=True)}
    ids = [example.id for example in examples]
    if len(by_id) != len(ids) or any(id not in by_id for id in ids):
        raise UsageError(
            f"a paired difference needs the same examples on both sides; {len(set(ids) & set(by_id))} of "
            f"{len(ids)} and {len(by_id)} are shared"
        )
    return examples, ours, [by_id[id] for id in ids]


def _percentiles(values: Sequence[float | None]) -> tuple[float, float] | None:
    defined = [value for value in values if value is not None]
    if not defined or len(defined) < LEAST_DEFINED * len(values):
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)


def _is_count(value: float) -> bool:
    return abs(value - round(value)) < 1e-6


def _method(name: str, groups: np.ndarray | None) -> str:
    return name if groups is None else f"{name} of {int(groups.max()) + 1} groups"
