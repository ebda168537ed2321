"""Fit: a recipe becomes a run. The main path, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.build import Built, build, make_model
from headstart.checkpoint import save_model
from headstart.data import Data
from headstart.device import choose
from headstart.events import Events, Tell
from headstart.example import Example
from headstart.files import write_json
from headstart.judge import judge, run_baselines
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import HEAD, Model
from headstart.outcome import Outcome
from headstart.predictions import write_predictions
from headstart.progress import trackers
from headstart.recipe import Recipe
from headstart.run import Run, create_folder, point_latest, write_recipe
from headstart.share import share_out
from headstart.training import Feeds, answers, train

FINAL = -1  # number of the round that makes the model which is kept; folds count from 0


def fit(recipe: Recipe, out: Path, *, data: Data | None = None, report: bool = True) -> Run:
    """Train, evaluate and report one recipe.

    Args:
        recipe: What to run.
        out: Folder that gets the run's own, uniquely named folder.
        data: Examples in memory in place of the recipe's data part.
        report: Whether `report.html` is written.

    Raises:
        UsageError: Parts do not fit. DataError: Data is unfit or leaks. MissingError: Weights or a package are absent.
        TrainingError, FreezingError: Training failed.
    """
    started = time.perf_counter()
    built = build(recipe, data=data)
    shared = share_out(recipe, built.data)
    folder = create_folder(out, recipe)
    tell = Events(trackers(folder))
    write_recipe(folder, recipe)
    tell("start", name=recipe.name, folder=str(folder), backbone=recipe.backbone.use, strategy=recipe.strategy.use)
    shared.write(folder, tell)

    outcomes: list[Outcome] = []
    for fold, parts in shared.rounds(recipe):
        trained = train_round(recipe, built, parts, tell, fold=fold)
        outcomes += trained.outcomes
        if parts["test"] and recipe.baselines != "none":
            outcomes += run_baselines(built, parts, seed=recipe.train.seed, fold=fold, tell=tell)

    found = judge(built.data.target, outcomes, trained.model.head.score, trained.n, seed=recipe.train.seed)
    save_model(trained.model, recipe, folder / "model")
    write_predictions(outcomes, folder / "predictions.parquet", excerpt=built.data.excerpt)
    write_json(folder / "ledger.json", trained.ledger)
    write_json(folder / "metrics.json", found.as_json())
    run = Run(folder)
    if report:
        run.report()
    point_latest(folder)
    tell("end", folder=str(folder), seconds=round(time.perf_counter() - started, 1))
    return run


@dataclass(frozen=True)
class Trained:
    """One trained model with what it says of the validation and test examples."""

    training: Training
    outcomes: Sequence[Outcome]
    ledger: Mapping[str, Any]
    n: Mapping[str, int]

    @property
    def model(self) -> Model:
        """The model with its best weights."""
        return self.training.model


def train_round(recipe: Recipe, built: Built, parts: Mapping[str, Sequence[Example]], tell: Tell, *, fold: int) -> Trained:
    """Train on one division of the examples; each fold begins with a model of its own."""
    if fold != FINAL:
        tell("fold", fold=fold + 1)
    compute = choose(recipe.train)
    model = built.model if fold == FINAL else make_model(recipe, built.data.target)
    training = Training(model.to(compute.device), built.strategy, recipe.train, compute, tell)
    built.strategy.prepare(training.model)
    feeds = Feeds(training, built.data, dict(parts))
    ledger = train(training, feeds)
    asked = [split for split in ("val", "test") if parts[split] and (fold == FINAL or split == "test")]
    outcomes = [Outcome("run", split, parts[split], answers(training, feeds, split), fold) for split in asked]
    return Trained(training, outcomes, _ledger(training, ledger, feeds), {name: len(part) for name, part in parts.items()})


def _ledger(training: Training, ledger: Ledger, feeds: Feeds) -> dict[str, Any]:
    return {
        "stages": [*training.model.stage_names, HEAD],
        "total_steps": sum(entry["steps"] for entry in ledger.entries),
        "phases": ledger.entries,
        "kept": ledger.kept,
        "drift": ledger.drift(),
        "forward": dict(feeds.passes),
    }
