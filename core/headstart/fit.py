"""Fit: a recipe becomes a run. The main path, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.build import Built, build, make_model
from headstart.checkpoint import save_model
from headstart.data import Data
from headstart.device import Compute, choose
from headstart.errors import HeadstartError
from headstart.events import Events, Tell
from headstart.example import Example
from headstart.files import MANIFEST, write_json
from headstart.judge import judge, run_baselines
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import HEAD, Model
from headstart.outcome import Outcome
from headstart.place import naming_folders
from headstart.predictions import write_predictions
from headstart.progress import trackers
from headstart.recipe import Recipe
from headstart.run import Run, create_folder, point_latest, write_recipe
from headstart.share import share_out
from headstart.training import Feeds, answers, train

FINAL = -1  # number of the round that makes the model which is kept; folds count from 0


def fit(recipe: Recipe, out: Path, *, data: Data | None = None, report: bool = True, quiet: bool = False) -> Run:
    """Train, evaluate and report one recipe.

    Args:
        recipe: What to run.
        out: Folder that gets the run's own, uniquely named folder.
        data: Examples in memory in place of the recipe's data part.
        report: Whether `report.html` is written.
        quiet: Whether nothing is written to stderr; the log files tell it all the same.

    Raises:
        UsageError: Parts do not fit. DataError: Data is unfit or leaks. MissingError: Weights or a package are absent.
        TrainingError, FreezingError: Training failed.
    """
    started = time.perf_counter()
    compute = choose(recipe.train)
    with naming_folders(recipe):
        built = build(recipe, data=data)
    recipe = replace(recipe, data=replace(recipe.data, options={**recipe.data.options, **built.data.pinned()}))
    shared = share_out(recipe, built.data)
    folder = create_folder(out, recipe)
    tell = Events(trackers(folder, quiet=quiet))
    with naming_the_log(folder, tell):
        write_recipe(folder, recipe)
        tell("start", name=recipe.name, folder=str(folder), backbone=recipe.backbone.use, strategy=recipe.strategy.use)
        shared.write(folder, tell)
        tell_cut(built, shared.used(), tell)

        outcomes: list[Outcome] = []
        for fold, parts in shared.rounds():
            trained = train_round(recipe, built, parts, compute, tell, fold=fold)
            outcomes += trained.outcomes
            if parts["test"] and recipe.baselines != "none":
                outcomes += run_baselines(built, parts, seed=recipe.train.seed, fold=fold, tell=tell)

        found = judge(built.data.target, outcomes, trained.model.head.score, sizes(trained, outcomes), seed=recipe.train.seed)
        tell("result", selected_by=found.selected_by, **found.values())
        save_model(trained.model, recipe, folder / "model")
        write_predictions(outcomes, folder / "predictions.parquet", excerpt=built.data.excerpt)
        write_json(folder / "ledger.json", trained.ledger)
        write_json(folder / "metrics.json", {**found.as_json(), "head": dict(trained.model.head.facts())})
        run = Run(folder)
        if report:
            run.report()
        point_latest(folder)
        tell("end", folder=str(folder), seconds=round(time.perf_counter() - started, 1))
    return run


@contextmanager
def naming_the_log(folder: Path, tell: Tell) -> Iterator[None]:
    """Whatever ends the run inside: the log tells it, and its message tells where the log is and what was kept."""
    try:
        yield
    except BaseException as error:
        tell("stopped", error=type(error).__name__, message=str(error))
        is_saved = (folder / "model" / MANIFEST).exists()
        kept = "what was finished was kept beside its log" if is_saved else "nothing of this run was kept but its log"
        note = f"{kept}: {folder / 'events.jsonl'}"
        if isinstance(error, HeadstartError | KeyboardInterrupt):
            error.args = (f"{str(error) or 'interrupted'}; {note}",)
        else:
            error.add_note(note)
        raise


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


def train_round(
    recipe: Recipe, built: Built, parts: Mapping[str, Sequence[Example]], compute: Compute, tell: Tell, *, fold: int
) -> Trained:
    """Train on one division of the examples; each fold begins with a model of its own."""
    model = built.model
    if fold != FINAL:
        tell = partial(tell, fold=fold + 1)
        tell("fold")
        model = make_model(recipe, built.data.target)
        built.strategy.prepare(model)
    training = Training(model.to(compute.device), built.strategy, recipe.train, compute, tell)
    feeds = Feeds(training, built.data, dict(parts))
    ledger = train(training, feeds)
    asked = [split for split in ("val", "test") if parts[split] and (fold == FINAL or split == "test")]
    outcomes = [Outcome("run", split, parts[split], answers(training, feeds, split), fold) for split in asked]
    return Trained(training, outcomes, _ledger(training, ledger, feeds), {name: len(part) for name, part in parts.items()})


def sizes(trained: Trained, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Examples by split, for the model that is kept; those tested are counted over all folds."""
    tested = sum(len(outcome.examples) for outcome in outcomes if (outcome.model, outcome.split) == ("run", "test"))
    return {**trained.n, "test": tested}


def tell_cut(built: Built, examples: Sequence[Example], tell: Tell) -> None:
    """Tell how many inputs are too long for the backbone."""
    lost = built.model.backbone.lost_tokens([example.input for example in examples])
    if lost is not None and any(lost):
        tell("truncated", examples=sum(1 for count in lost if count), of=len(lost))


def _ledger(training: Training, ledger: Ledger, feeds: Feeds) -> dict[str, Any]:
    return {
        "stages": [*training.model.stage_names, HEAD],
        "total_steps": sum(entry["steps"] for entry in ledger.entries),
        "phases": ledger.entries,
        "kept": ledger.kept,
        "drift": ledger.drift(),
        "forward": dict(feeds.passes),
    }
