"""Evaluating: the evaluations of one run, settled on validation, measured on the test, kept beside the model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors.torch import load_file, save_file

from headstart.build import part_class
from headstart.data import Data
from headstart.errors import DataError, UsageError
from headstart.evaluation import Evaluation
from headstart.example import Example, Target
from headstart.familiar import Familiar
from headstart.files import read_json, write_json
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.recipe import Part, Recipe

FILE = "evaluations.json"
"""In `model/`: name -> what was settled on validation."""

REPORT, FIGURES = "report.html", "figures"

FAMILIAR = "familiar.safetensors"
"""In `model/`: what the features of the training examples look like."""


@dataclass
class Evaluating:
    """The evaluations that a run goes through.

    Attributes:
        parts: Name -> evaluation, in the order in which they decide.
        settled: Name -> what was settled in the last round, the one whose model is kept.
        measured: Name -> split or "fold N" -> figures.
    """

    parts: Mapping[str, Evaluation]
    target: Target
    settled: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    familiar: Familiar | None = None

    @property
    def looks(self) -> bool:
        """Whether one of them wants to know more than predictions."""
        return any(part.looks for part in self.parts.values())

    def traits(self, input: Any) -> dict[str, float]:
        """What all of them tell of an input."""
        return {name: value for part in self.parts.values() for name, value in part.traits(input).items()}

    def views(self, input: Any) -> list[Any]:
        """The changed versions of an input that all of them ask for."""
        return [view for part in self.parts.values() for view in part.views(input)]

    def look(self, features: Mapping[str, tuple[np.ndarray, Sequence[Example]]]) -> None:
        """Hear of the untouched backbone's features."""
        for name, part in self.parts.items():
            if features and (found := part.look(features, self.target)):
                self.measured.setdefault(name, {})["frozen"] = dict(found)

    def warnings(self) -> list[str]:
        """What is to be warned of, after everything was measured."""
        return [text for name, part in self.parts.items() for text in part.warn(self.measured.get(name, {}), self.target)]

    def decided(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Settle on the validation outcome of one round, measure, and give back what is judged, as decided.

        The validation parts of folds only settle: they are not judged.
        """
        found = list(outcomes)
        for name, part in self.parts.items():
            val = next((outcome for outcome in found if outcome.split == "val"), Outcome("run", "val", [], []))
            self.settled[name] = part.settle(val, self.target)
            for outcome in found:
                where = outcome.split if outcome.fold < 0 else f"fold {outcome.fold + 1}"
                if outcome.examples and (outcome.split == "test" or outcome.fold < 0):
                    measured = part.measure(outcome, self.target, self.settled[name])
                    self.measured.setdefault(name, {})[where] = measured
            found = [replace(outcome, predictions=self.decide_by(name, outcome.predictions)) for outcome in found]
        return [outcome for outcome in found if outcome.fold < 0 or outcome.split == "test"]

    def decide(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions as they are given out, by what was settled."""
        for name in self.parts:
            predictions = self.decide_by(name, predictions)
        return list(predictions)

    def decide_by(self, name: str, predictions: Sequence[Prediction]) -> list[Prediction]:
        """What one evaluation makes of predictions."""
        return self.parts[name].decide(predictions, self.target, self.settled[name])

    def measure(self, outcome: Outcome) -> dict[str, Any]:
        """Name -> figures of a further outcome, by what was settled; nothing is fitted."""
        found = {}
        for name, part in self.parts.items():
            found[name] = dict(part.measure(outcome, self.target, self.settled[name]))
            outcome = replace(outcome, predictions=self.decide_by(name, outcome.predictions))
        return found

    def guard(self, folder: Path) -> None:
        """Let each look at what was written, before anybody is led to it.

        Raises:
            DataError: It may not be given out; the report and its figures were taken away.
        """
        reasons = [reason for part in self.parts.values() for reason in part.guard(folder)]
        if reasons:
            (folder / REPORT).unlink(missing_ok=True)
            shutil.rmtree(folder / FIGURES, ignore_errors=True)
            raise DataError(f"{folder}: {' '.join(reasons)} The report was not kept; do not pass this folder on")

    def save(self, folder: Path) -> None:
        """Write what was settled into the model's folder, before its manifest."""
        if self.settled:
            write_json(folder / FILE, self.settled)
        if self.familiar is not None:
            save_file(self.familiar.tensors(), str(folder / FAMILIAR))


def evaluating(recipe: Recipe, data: type[Data] | Data, target: Target) -> Evaluating:
    """The evaluation that the data part prescribes, and the one that the recipe names.

    Raises:
        UsageError: One does not know this kind of target.
    """
    chosen = [Part(data.evaluation)] if data.evaluation else []
    if recipe.evaluation is not None:
        chosen = [part for part in chosen if part.use != recipe.evaluation.use] + [recipe.evaluation]
    parts = {part.use: cast(Evaluation, part_class("evaluation", part.use)(**part.options)) for part in chosen}
    for name, part in parts.items():
        if target.kind not in part.kinds:
            raise UsageError(f"evaluation '{name}' knows targets of kind {', '.join(part.kinds)}, not '{target.kind}'")
    return Evaluating(parts, target)


def saved_evaluating(recipe: Recipe, target: Target, folder: Path) -> Evaluating:
    """The evaluations of a finished run with what was settled then; `folder` is its checked `model/`."""
    found = evaluating(recipe, part_class("data", recipe.data.use), target)
    if found.parts:
        found.settled = read_json(folder / FILE)
        if (folder / FAMILIAR).is_file():
            found.familiar = Familiar.of_tensors(load_file(str(folder / FAMILIAR)))
    return found
