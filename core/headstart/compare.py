"""Comparing two runs on the test examples that they share, and saying what differs between their recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.intervals import Interval, paired_difference
from headstart.own_scores import fitting_score
from headstart.predictions import SavedOutcome
from headstart.run_files import RunFiles, open_run
from headstart.scores import LOWER_IS_BETTER, HeadScore, scores_for

LINES = "lines"
"""Key under which an evaluation's comparison holds sentences for a terminal."""


@dataclass(frozen=True)
class ScoreChange:
    """One score of both runs on the shared examples; `difference` is the first minus the second."""

    name: str
    first: float
    second: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """The first is "better" or "worse" where the interval leaves out zero, else "not shown to differ"."""
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high:
            return "not shown to differ"
        return "better" if (low > 0) != (self.name in LOWER_IS_BETTER) else "worse"


@dataclass(frozen=True)
class McNemar:
    """Examples that only one of two classifiers gets right, and the exact two-sided p of such an uneven split."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class RecipeChange:
    """One key of the recipe that differs; None = the key is absent."""

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common and where they differ; "first" and "second" are as given on the command line."""

    first: str
    second: str
    shared: int
    only_first: int
    only_second: int
    scores: tuple[ScoreChange, ...]
    mcnemar: McNemar | None
    recipe: tuple[RecipeChange, ...]
    evaluations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For a terminal."""
        return [self._head(), *self._score_lines(), *self._test_lines(), *self._recipe_lines()]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        scores = {
            change.name: {
                "first": change.first,
                "second": change.second,
                "difference": asdict(change.difference),
                "verdict": change.verdict,
            }
            for change in self.scores
        }
        examples = {"shared": self.shared, "only_first": self.only_first, "only_second": self.only_second}
        return {
            "first": self.first,
            "second": self.second,
            "examples": examples,
            "scores": scores,
            "mcnemar": asdict(self.mcnemar) if self.mcnemar else None,
            "recipe": {change.key: [change.first, change.second] for change in self.recipe},
            "evaluations": {name: {key: one[key] for key in one if key != LINES} for name, one in self.evaluations.items()},
        }

    def _head(self) -> str:
        text = f"{self.first} (first) against {self.second} (second): {self.shared} shared test examples"
        rest = f" ({self.only_first} only in the first, {self.only_second} only in the second)"
        return text + (rest if self.only_first or self.only_second else "")

    def _score_lines(self) -> Iterator[str]:
        width = max(len(change.name) for change in self.scores)
        yield f"  {'':<{width}}  first   second  first minus second, 95 % interval"
        for change in self.scores:
            ends = f"{change.difference.value:+.4f} [{change.difference.low:+.4f}, {change.difference.high:+.4f}]"
            yield f"  {change.name:<{width}}  {change.first:.4f}  {change.second:.4f}  {ends}  first is {change.verdict}"

    def _test_lines(self) -> Iterator[str]:
        if self.mcnemar:
            only = f"{self.mcnemar.only_first} right only in the first, {self.mcnemar.only_second} only in the second"
            yield f"  McNemar's exact test: p = {self.mcnemar.p:.3g} ({only})"
        for found in self.evaluations.values():
            yield from (f"  {line}" for line in found.get(LINES, ()))

    def _recipe_lines(self) -> Iterator[str]:
        yield "recipes differ in:" if self.recipe else "the recipes are the same"
        for change in self.recipe:
            yield f"  {change.key}: {_shown(change.first)} | {_shown(change.second)}"


def compare(first: Path, second: Path) -> Comparison:
    """Compare two run folders by a paired bootstrap over the test examples with the same id.

    Raises:
        UsageError: A folder holds no run, or the two predict different things.
        DataError: There are no saved predictions, no shared examples, or a shared example has another truth.
    """
    runs = open_run(first), open_run(second)
    generic = _common_score(*runs)
    a, b = (_test_outcome(run) for run in runs)
    ours, theirs = _shared(a, b, runs)
    score = fitting_score(runs, generic, ours)
    values = [score(list(outcome.predictions), outcome.targets, None) for outcome in (ours, theirs)]
    reported = _reported(runs)
    differences = paired_difference(score, ours, theirs)
    changes = tuple(
        ScoreChange(name, values[0][name], values[1][name], found) for name, found in differences.items() if name in reported
    )
    if not changes:
        raise UsageError(f"'{runs[0].folder.name}' and '{runs[1].folder.name}' report no score in common")
    n = len(ours.examples)
    return Comparison(
        first=runs[0].folder.name,
        second=runs[1].folder.name,
        shared=n,
        only_first=len(a.examples) - n,
        only_second=len(b.examples) - n,
        scores=changes,
        mcnemar=mcnemar(ours, theirs) if runs[0].metrics.get("target", {}).get("kind") == "class" else None,
        recipe=recipe_changes(runs[0].lock, runs[1].lock),
        evaluations=_by_evaluations(runs, ours, theirs),
    )


def mcnemar(first: SavedOutcome, second: SavedOutcome) -> McNemar:
    """Exact McNemar test of two classifiers on the same examples in the same order (binomial, two-sided)."""
    from scipy.stats import binomtest

    triples = zip(first.targets, first.predictions, second.predictions, strict=True)
    right = [(ours.value == truth, theirs.value == truth) for truth, ours, theirs in triples]
    only_first, only_second = right.count((True, False)), right.count((False, True))
    discordant = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, discordant).pvalue) if discordant else 1.0)


def recipe_changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[RecipeChange, ...]:
    """Keys whose values differ, as dotted paths ("train.seed"), in the order of the first recipe."""
    a, b = dict(_flat(first)), dict(_flat(second))
    return tuple(RecipeChange(key, a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))


def _shown(value: Any) -> str:
    return "(absent)" if value is None else str(value)


def _common_score(first: RunFiles, second: RunFiles) -> HeadScore | None:
    """The scores of the kind of target; None = only a head knows them."""
    targets = [run.metrics.get("target", {}) for run in (first, second)]
    kinds = [target.get("kind") for target in targets]
    labels = [sorted(target.get("labels") or ()) for target in targets]
    if kinds[0] != kinds[1] or labels[0] != labels[1]:
        raise UsageError(
            f"the runs predict different things: {kinds[0]} {labels[0]} in '{first.folder.name}', "
            f"{kinds[1]} {labels[1]} in '{second.folder.name}'"
        )
    return scores_for(str(kinds[0]), targets[0].get("labels") or (), targets[0].get("positive"))


def _by_evaluations(runs: tuple[RunFiles, RunFiles], ours: SavedOutcome, theirs: SavedOutcome) -> dict[str, Mapping[str, Any]]:
    """Paired tests of the evaluations that both runs went through, by their names."""
    measured = [run.metrics.get("evaluations") or {} for run in runs]
    names = [name for name in measured[0] if name in measured[1]]
    if not names:
        return {}
    from headstart.build import part_class

    given = runs[0].metrics["target"]
    target = Target(given["kind"], tuple(given["labels"]), given.get("positive"))
    found = {}
    for name in names:
        both = (measured[0][name].get("test") or {}, measured[1][name].get("test") or {})
        found[name] = part_class("evaluation", name)().compare(ours, theirs, target, both)
    return {name: one for name, one in found.items() if one}


def _test_outcome(run: RunFiles) -> SavedOutcome:
    outcome = run.outcome()
    if outcome is None:
        raise DataError(f"'{run.folder}' holds no predictions of test examples to compare")
    return outcome


def _shared(a: SavedOutcome, b: SavedOutcome, runs: tuple[RunFiles, RunFiles]) -> tuple[SavedOutcome, SavedOutcome]:
    at = {example.id: i for i, example in enumerate(b.examples)}
    pairs = [(i, at[example.id]) for i, example in enumerate(a.examples) if example.id in at]
    names = f"'{runs[0].folder.name}' and '{runs[1].folder.name}'"
    if not pairs:
        raise DataError(f"{names} share no test example: were they split alike (same data, same split.seed)?")
    changed = [a.examples[i].id for i, j in pairs if a.examples[i].target != b.examples[j].target]
    if changed:
        raise DataError(
            f"{len(changed)} shared test examples of {names} have another truth, the first is '{changed[0]}': not the same data"
        )
    return _taken(a, [i for i, _ in pairs]), _taken(b, [j for _, j in pairs])


def _taken(outcome: SavedOutcome, rows: list[int]) -> SavedOutcome:
    examples, predictions = [outcome.examples[i] for i in rows], [outcome.predictions[i] for i in rows]
    return SavedOutcome(outcome.model, outcome.split, outcome.fold, examples, predictions)


def _reported(runs: tuple[RunFiles, RunFiles]) -> set[str]:
    """Scores that both runs report: the clusters of k-means have no accuracy, though their names could be compared."""
    return set(runs[0].metrics.get("test") or {}) & set(runs[1].metrics.get("test") or {})
