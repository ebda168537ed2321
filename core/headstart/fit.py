"""Fit: a recipe becomes a run. The main path, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.build import Built, build, make_model, prepare_model
from headstart.checkpoint import save_model
from headstart.data import Data
from headstart.device import Compute, choose
from headstart.errors import HeadstartError
from headstart.evaluating import evaluating
from headstart.events import Events, Tell
from headstart.example import Example
from headstart.feeds import Feeds
from headstart.files import MANIFEST, write_json
from headstart.floor import Floor
from headstart.forecast import warnings_of
from headstart.judge import judge, run_baselines
from headstart.layout import channels_first
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import HEAD, Model
from headstart.outcome import Outcome
from headstart.place import naming_folders
from headstart.predictions import write_predictions
from headstart.progress import trackers
from headstart.recipe import Recipe
from headstart.run import Run, create_folder, point_latest, write_recipe
from headstart.scratch_baseline import Against, against_scratch, check_scratch
from headstart.share import share_out
from headstart.training import answers, train

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
    check_scratch(recipe, built.model)
    evaluations = evaluating(recipe, built.data, built.data.target)
    shared = share_out(recipe, built.data)
    folder = create_folder(out, recipe)
    tell = Events(trackers(folder, quiet=quiet))
    with naming_the_log(folder, tell):
        write_recipe(folder, recipe)
        tell("start", name=recipe.name, folder=str(folder), backbone=recipe.backbone.use, strategy=recipe.strategy.use)
        shared.write(folder, tell)
        tell_cut(built, shared.used(), tell)
        for message in warnings_of(recipe, built, shared.used()):
            tell("warning", message=message)

        outcomes: list[Outcome] = []
        transfer: Mapping[str, Any] = {}
        for fold, parts in shared.rounds():
            trained = train_round(recipe, built, parts, compute, tell, fold=fold, settles=bool(evaluations.parts))
            outcomes += evaluations.decided(trained.outcomes)
            if parts["test"] and recipe.baselines != "none":
                outcomes += run_baselines(built, parts, seed=recipe.train.seed, fold=fold, tell=tell)
            if parts["test"] and recipe.baselines == "scratch":
                against = trained.against_scratch(recipe, built.data, parts, fold=fold)
                outcomes, transfer = [*outcomes, *against.outcomes], against.facts

        found = judge(built.data.target, outcomes, trained.model.head.score, sizes(trained, outcomes), seed=recipe.train.seed)
        tell("result", selected_by=found.selected_by, **found.values())
        built.strategy.finish(trained.model)
        save_model(trained.model, recipe, folder / "model", extra=evaluations.save)
        write_predictions(outcomes, folder / "predictions.parquet", excerpt=built.data.excerpt)
        write_json(folder / "ledger.json", trained.ledger)
        further = {"head": dict(trained.model.head.facts()), "evaluations": evaluations.measured, "transfer": transfer}
        write_json(folder / "metrics.json", {**found.as_json(), **further})
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
    seconds: float

    @property
    def model(self) -> Model:
        """The model with its best weights."""
        return self.training.model

    def against_scratch(self, recipe: Recipe, data: Data, parts: Mapping[str, Sequence[Example]], *, fold: int) -> Against:
        """The same network from random weights, with as much computation as this one's training had."""
        return against_scratch(recipe, data, self.training, self.ledger["phases"], parts, seconds=self.seconds, fold=fold)


def train_round(
    recipe: Recipe,
    built: Built,
    parts: Mapping[str, Sequence[Example]],
    compute: Compute,
    tell: Tell,
    *,
    fold: int,
    settles: bool = False,
) -> Trained:
    """Train on one division of the examples; each fold begins with a model of its own.

    `settles`: also predict a fold's validation part, which evaluations learn from.
    """
    model = built.model
    if fold != FINAL:
        tell = partial(tell, fold=fold + 1)
        tell("fold")
        model = make_model(recipe, built.data.target)
        prepare_model(recipe, built.strategy, model)
    training = Training(model.to(compute.device), built.strategy, recipe.train, compute, tell)
    feeds = Feeds(training, built.data, dict(parts), recipe)
    started = time.perf_counter()
    ledger = train(training, feeds)
    seconds = time.perf_counter() - started
    asked = [split for split in ("val", "test") if parts[split] and (fold == FINAL or split == "test" or settles)]
    outcomes = [Outcome("run", split, parts[split], answers(training, feeds, split), fold) for split in asked]
    n = {name: len(part) for name, part in parts.items()}
    channels_first(model.backbone.network)
    floor = feeds.floor(ledger.entries)
    if floor is not None:
        tell("floor", message=str(floor), **floor.as_json())
    return Trained(training, outcomes, _ledger(training, ledger, feeds, floor), n, seconds)


def sizes(trained: Trained, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Examples by split, for the model that is kept; those tested are counted over all folds."""
    tested = sum(len(outcome.examples) for outcome in outcomes if (outcome.model, outcome.split) == ("run", "test"))
    return {**trained.n, "test": tested}


def tell_cut(built: Built, examples: Sequence[Example], tell: Tell) -> None:
    """Tell how many inputs are too long for the backbone."""
    lost = built.model.backbone.lost_tokens([example.input for example in examples])
    if lost is not None and any(lost):
        tell("truncated", examples=sum(1 for count in lost if count), of=len(lost))


def _ledger(training: Training, ledger: Ledger, feeds: Feeds, floor: Floor | None) -> dict[str, Any]:
    return {
        "stages": [*training.model.stage_names, HEAD],
        "total_steps": sum(entry["steps"] for entry in ledger.entries),
        "phases": ledger.entries,
        "kept": ledger.kept,
        "drift": ledger.drift(),
        "executions": dict(feeds.tally.executions),
        "floor": None if floor is None else {name: floor.as_json()[name] for name in ("times", "gflop", "least_gflop")},
    }
