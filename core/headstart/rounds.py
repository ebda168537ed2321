"""Rounds: a training on one division of the examples, with what its model and the baselines say of validation and test."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from headstart.build import Built, make_model, prepare_model
from headstart.collapse import collapsed
from headstart.data import Data
from headstart.device import Compute
from headstart.evaluating import Evaluating
from headstart.events import Tell
from headstart.example import Example
from headstart.faults import reach
from headstart.feeds import Feeds
from headstart.floor import Floor
from headstart.job import Job
from headstart.judge import run_baselines
from headstart.layout import channels_first
from headstart.ledger import Ledger
from headstart.looking import Onlooker
from headstart.loop import Training
from headstart.model import HEAD, Model
from headstart.outcome import Outcome
from headstart.ranks import Ranks
from headstart.recipe import Recipe
from headstart.resume_folder import ResumeFolder
from headstart.resume_keeper import Keeper, lines_of
from headstart.resume_rounds import RoundResult, result_of
from headstart.scratch_baseline import Against, against_scratch
from headstart.stopping import Stop
from headstart.training import train

FINAL = -1  # number of the round that makes the model which is kept; folds count from 0


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


def carry_out_round(
    job: Job, fold: int, parts: Mapping[str, Sequence[Example]], tell: Tell, folder: ResumeFolder | None
) -> tuple[RoundResult, Model]:
    """Train, predict, run the baselines; what was complete before the run was stopped is taken as it was.

    Of a round that is complete only the model that is kept is made again, from its last checkpoint.
    """
    known = folder.read_round(fold, tell) if folder is not None else None
    job.ranks.share(known is not None)
    if known is not None and fold != FINAL:
        return result_of(known, parts, job.evaluations), job.built.model
    keeper = Keeper(folder, fold, job.recipe.train.checkpoint, tell, job.stop)
    if known is not None:
        training = _training(job.recipe, job.built, job.compute, tell, fold, job.stop, job.ranks)
        train(training, Feeds(training, job.built.data, dict(parts), job.recipe), keeper)
        channels_first(training.model.backbone.network)
        return result_of(known, parts, job.evaluations), training.model
    trained = train_round(
        job.recipe,
        job.built,
        parts,
        job.compute,
        tell,
        fold=fold,
        evaluations=job.evaluations,
        keeper=keeper,
        ranks=job.ranks,
    )
    result = _judged(job, fold, parts, tell, trained)
    reach("round")
    if folder is not None:
        _keep(folder, fold, result, job, tell)
    return result, trained.model


def train_round(
    recipe: Recipe,
    built: Built,
    parts: Mapping[str, Sequence[Example]],
    compute: Compute,
    tell: Tell,
    *,
    fold: int,
    evaluations: Evaluating | None = None,
    keeper: Keeper | None = None,
    ranks: Ranks | None = None,
) -> Trained:
    """Train on one division of the examples; each fold begins with a model of its own.

    `evaluations`: where there are any, a fold's validation part is predicted, too: they learn from it.
    """
    keeper = keeper or Keeper()
    training = _training(recipe, built, compute, tell, fold, keeper.stop, ranks or Ranks())
    feeds = Feeds(training, built.data, dict(parts), recipe)
    onlooker = Onlooker(evaluations, training, feeds, is_final=fold == FINAL)
    onlooker.before()
    started = time.perf_counter()
    ledger = train(training, feeds, keeper)
    seconds = time.perf_counter() - started
    reach("evaluate")
    onlooker.after()
    settles = evaluations is not None and bool(evaluations.parts)
    asked = [split for split in ("val", "test") if parts[split] and (fold == FINAL or split == "test" or settles)]
    outcomes = [Outcome("run", split, parts[split], onlooker.answers(split), fold) for split in asked]
    for warning in filter(None, map(collapsed, outcomes)):
        training.tell("warning", message=warning)
    n = {name: len(part) for name, part in parts.items()}
    channels_first(training.model.backbone.network)
    floor = feeds.floor(ledger.entries)
    if floor is not None:
        training.tell("floor", message=str(floor), **floor.as_json())
    return Trained(training, outcomes, _ledger(training, ledger, feeds, floor), n, seconds)


def follow_round(job: Job, fold: int, parts: Mapping[str, Sequence[Example]]) -> None:
    """What the processes but the first do of a round: train with it, if there is anything to divide."""
    is_known = job.ranks.share()
    if job.built.model.head.by_gradient and (fold == FINAL or not is_known):
        training = _training(job.recipe, job.built, job.compute, lambda *_, **__: None, fold, job.stop, job.ranks)
        train(training, Feeds(training, job.built.data, {"train": parts["train"], "val": (), "test": ()}, job.recipe))


def sizes(result: RoundResult, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Examples by split, for the model that is kept; those tested are counted over all folds."""
    tested = sum(len(outcome.examples) for outcome in outcomes if (outcome.model, outcome.split) == ("run", "test"))
    return {**result.n, "test": tested}


def _training(  # noqa: PLR0917 - what a round has, in the order of `Training`
    recipe: Recipe, built: Built, compute: Compute, tell: Tell, fold: int, stop: Stop, ranks: Ranks
) -> Training:
    model = built.model
    if fold != FINAL:
        tell = partial(tell, fold=fold + 1)
        tell("fold")
        model = make_model(recipe, built.data.target)
        prepare_model(recipe, built.strategy, model)
    ranks = ranks if model.head.by_gradient else Ranks()  # a head that learns in one go leaves nothing to divide
    return Training(model.to(compute.device), built.strategy, recipe.train, compute, tell, stop, ranks=ranks)


def _judged(job: Job, fold: int, parts: Mapping[str, Sequence[Example]], tell: Tell, trained: Trained) -> RoundResult:
    """With what the evaluations decided, and the baselines."""
    recipe, data = job.recipe, job.built.data
    outcomes = list(job.evaluations.decided(trained.outcomes))
    if parts["test"] and recipe.baselines != "none":
        outcomes += run_baselines(job.built, parts, seed=recipe.train.seed, fold=fold, tell=tell)
    if not (parts["test"] and recipe.baselines == "scratch"):
        return RoundResult(outcomes, trained.ledger, trained.n)
    against = trained.against_scratch(recipe, data, parts, fold=fold)
    return RoundResult([*outcomes, *against.outcomes], trained.ledger, trained.n, against.facts)


def _keep(folder: ResumeFolder, fold: int, result: RoundResult, job: Job, tell: Tell) -> None:
    """Where it cannot be kept, a run that is stopped later carries the round out again."""
    try:
        with job.stop.held():
            folder.write_round(fold, result.saved(job.evaluations, lines_of(folder.run)))
    except (OSError, TypeError) as error:
        tell("warning", message=f"what round {fold} gave could not be kept for a resumption: {error}")


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
