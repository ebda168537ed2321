"""Ensembles: several finished runs that answer together, and how far they disagree; Lakshminarayanan et al. 2017.

The members are runs of one recipe with other training seeds (`--set train.seed=1`) or other networks, on the same division of
the same data. Their calibrated probabilities are averaged. What the evaluations settle of that mean (calibration, threshold,
the limit of disagreement) comes from the validation examples that all members share, as their `predictions.parquet` tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.build import part_class
from headstart.errors import DataError, UsageError
from headstart.evaluating import Evaluating, evaluating
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.infer import ABSTAIN, evaluations_of, head_predictions, tell_answers
from headstart.intervals import score_intervals
from headstart.outcome import Outcome
from headstart.predictions import SavedOutcome
from headstart.run_files import RunFiles
from headstart.spread import spread_of

if TYPE_CHECKING:
    from headstart.run import Run

DISAGREEMENT = "disagreement"
"""Key of a prediction's details: standard deviation of the members' probabilities, of the label where it is largest."""


@dataclass(frozen=True)
class Ensemble:
    """Two finished runs or more that answer together."""

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot answer together.

        Raises:
            UsageError: There is one run, one twice, or they were made on other data or for other labels.
        """
        folders = [run.folder.resolve() for run in self.runs]
        if len(set(folders)) < max(2, len(folders)):
            raise UsageError("an ensemble is of two different runs or more")
        first = self.runs[0]
        for other in self.runs[1:]:
            if other.recipe.data != first.recipe.data or _target(other) != _target(first):
                raise UsageError(
                    f"'{other.folder.name}' was trained on other data, or for other labels, than '{first.folder.name}'; an "
                    "ensemble is of runs of one recipe with other training seeds or networks"
                )

    @cached_property
    def evaluations(self) -> Evaluating:
        """Settled on the validation examples that all members share.

        Raises:
            DataError: They share none, so that nothing can be settled.
        """
        recipe, target = self.runs[0].recipe, _target(self.runs[0])
        found = evaluating(recipe, part_class("data", recipe.data.use), target)
        outcome = self._shared("val")
        for name, part in found.parts.items():
            found.settled[name] = part.settle(outcome, target)
            outcome = replace(outcome, predictions=found.decide_by(name, outcome.predictions))
        return found

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """The members' mean, decided by what was settled, with `disagreement` among the details.

        An example that the greater part of the members would rather not answer is not answered, either.
        """
        if not examples:
            return []
        settled, said = self.evaluations, [_answers(run, examples) for run in self.runs]
        own = settled.decide([_mean(answers) for answers in zip(*said, strict=True)])
        found = [_doubting(one, answers) for one, answers in zip(own, zip(*said, strict=True), strict=True)]
        for run in self.runs:
            others = [other.folder.name for other in self.runs if other is not run]
            tell_answers(run.folder, examples, found, together_with=others)
        return found

    def evaluate(self) -> dict[str, Any]:
        """Scores with intervals and figures on the test examples that all members share, by their saved predictions."""
        raw = self._shared("test")
        decided = replace(raw, predictions=self.evaluations.decide(raw.predictions))
        scores = {name: asdict(one) for name, one in score_intervals(self.runs[0].model.head.score, decided).items()}
        return {"n": len(raw.examples), "test": scores, "evaluations": self.evaluations.measure(raw)}

    def _shared(self, split: str) -> Outcome:
        parts = [_saved(run, split) for run in self.runs]
        at = [{example.id: i for i, example in enumerate(part.examples)} for part in parts]
        kept = [example for example in parts[0].examples if all(example.id in place for place in at)]
        if not kept:
            raise DataError(
                f"these runs share no example of the split '{split}': give them the same data and split.seed, and only another "
                "train.seed"
            )
        rows = [[part.predictions[place[example.id]] for part, place in zip(parts, at, strict=True)] for example in kept]
        members = [[Prediction(one.value, one.probabilities, one.details) for one in row] for row in rows]
        return Outcome("run", split, kept, [_mean(row) for row in members])


def _target(run: Run) -> Target:
    given = run.metrics["target"]
    return Target(given["kind"], tuple(given["labels"]), given.get("positive"))


def _saved(run: Run, split: str) -> SavedOutcome:
    found = [one for one in RunFiles(run.folder).outcomes if (one.model, one.split, one.fold) == ("run", split, -1)]
    return found[0] if found else SavedOutcome("run", split, -1, [], [])


def _answers(run: Run, examples: Sequence[Example]) -> list[Prediction]:
    evaluations = evaluations_of(run)
    return evaluations.decide(head_predictions(run, examples, evaluations))


def _mean(answers: Sequence[Prediction]) -> Prediction:
    """The mean of the members' probabilities; the value is only right for one label of several, and decided anew elsewhere.

    Raises:
        UsageError: A member gives no probabilities.
    """
    rows: list[Mapping[str, float]] = [answer.probabilities for answer in answers if answer.probabilities]
    if len(rows) < len(answers):
        raise UsageError("an ensemble is of runs whose heads give probabilities")
    mean = {label: float(np.mean([row[label] for row in rows])) for label in rows[0]}
    is_set = isinstance(answers[0].value, (tuple, list))
    value: Any = tuple(label for label, share in mean.items() if share >= 0.5) if is_set else max(mean, key=lambda k: mean[k])
    return Prediction(value, mean, {DISAGREEMENT: round(spread_of(answers) or 0.0, 4)})


def _doubting(own: Prediction, answers: Sequence[Prediction]) -> Prediction:
    """With the reasons of the first member that would rather not answer, where more than half would not."""
    doubting = [list(answer.details[ABSTAIN]) for answer in answers if answer.details.get(ABSTAIN)]
    if 2 * len(doubting) <= len(answers):
        return own
    return replace(own, details={**own.details, ABSTAIN: [*own.details.get(ABSTAIN, ()), *doubting[0]]})
