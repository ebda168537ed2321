"""The loop: one phase of training, from the chosen parameters to the best weights that validation saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from headstart.device import Compute
from headstart.divergence import watch
from headstart.events import Tell
from headstart.faults import reach
from headstart.feed import Feed, pass_batches
from headstart.freezing import set_modes
from headstart.head import Prediction
from headstart.ledger import Chosen
from headstart.model import HEAD, Model
from headstart.order import seed_of, training_batches
from headstart.passage import Passage
from headstart.phases import Group
from headstart.ranks import Ranks
from headstart.recipe import TrainPlan
from headstart.room import Room
from headstart.scores import LOWER_IS_BETTER
from headstart.shared_step import seed_apart
from headstart.step import finite, parts_of, set_rates, take_step
from headstart.stopping import Stop
from headstart.strategy import Strategy


@dataclass(frozen=True)
class Training:
    """What every phase of one training shares."""

    model: Model
    strategy: Strategy
    plan: TrainPlan
    compute: Compute
    tell: Tell
    stop: Stop = field(default_factory=Stop)
    room: Room = field(default_factory=Room)
    ranks: Ranks = field(default_factory=Ranks)


def run_phase(
    training: Training, passage: Passage, feeds: tuple[Feed, Feed | None], keep: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Train one phase from where it stands, and leave its weights as they are after the last epoch.

    Args:
        training: The model and how it trains.
        passage: The phase; its `best` gets the best weights.
        feeds: Features of the training and the validation examples; None = no validation, the last epoch counts as best.
        keep: Called wherever the training could be saved.

    Returns:
        Entries for the ledger: start_step, steps, epochs, best_epoch, schedule.
    """
    train, val = feeds
    while not training.ranks.share(passage.is_over(is_validated=val is not None)):
        started = time.perf_counter()
        train_epoch(training, passage, train, keep)
        reach("validate")
        with training.stop.held(), passage.average.standing_in(), training.stop.released():
            figures = training.ranks.share(validate(training, val))
        with training.stop.held():
            close_epoch(training, passage, figures, time.perf_counter() - started)
        keep()
    step, first_step = passage.step, passage.first_step
    done = passage.rates[:step]
    picture = [[first_step + at, done[at]] for at in sorted({*range(0, step, max(1, step // 50)), step - 1})]
    epochs = passage.epoch - 1
    return {"start_step": first_step, "steps": step, "epochs": epochs, "best_epoch": passage.best.where, "schedule": picture}


def train_epoch(training: Training, passage: Passage, feed: Feed, keep: Callable[[], None]) -> None:
    """The batches of an epoch that are not done yet."""
    plan, phase = training.plan, passage.phase
    left = len(passage.rates) - (passage.step - passage.batch)
    batches = training_batches(seed_of(plan.seed, phase.name), passage.epoch, feed.sizes, plan.batch_size)
    batches = batches[passage.batch : left]
    passage.seed_dropout(plan.seed)
    seed_apart(training, phase.name, passage.epoch, passage.batch)
    set_modes(training.model)
    parts = [part for indices in batches for part in parts_of(training, feed, training.ranks.part(indices))]
    feed.expect(parts, epoch=passage.epoch)
    for indices in batches:
        with training.stop.held():
            set_rates(passage.optimizer, passage.rates[passage.step])
            loss = take_step(training, passage.optimizer, feed, indices, passage.epoch)
            watch(training, passage, loss)
            passage.loss += loss * len(indices)
            reach("ema")
            passage.average.update()
            passage.count(len(indices))
        training.tell("step", phase=phase.name, step=passage.step, steps=len(passage.rates))
        keep()
        training.stop.obey_agreed()


def close_epoch(training: Training, passage: Passage, figures: dict[str, float], seconds: float) -> None:
    """Keep the weights if they are the best so far, and tell what the epoch gave."""
    plan, model, phase = training.plan, training.model, passage.phase
    step = passage.first_step + passage.step
    score = _selecting({} if plan.keep == "last" else figures, otherwise=step)
    reach("best")
    with passage.average.standing_in():
        is_best = passage.best.consider(score, figures.get("loss", 0.0), passage.epoch, model)
    training.tell(
        "epoch",
        phase=phase.name,
        epoch=passage.epoch,
        epochs=passage.epochs,
        step=step,
        seconds=round(seconds, 3),
        train_loss=passage.loss / passage.seen,
        val=figures,
        lr=_stage_rates(model, phase.groups, passage.chosen, passage.rates[passage.step - 1]),
        best=is_best,
    )
    reach("epoch")
    passage.end_epoch()


def validate(training: Training, feed: Feed | None) -> dict[str, float]:
    """Loss and scores on the validation examples; empty where there are none.

    Raises:
        TrainingError: The loss is not finite.
    """
    if feed is None or not feed.examples:
        return {}
    model, total = training.model, 0.0
    answers: dict[int, Prediction] = {}
    model.eval()
    with torch.no_grad():
        batches = pass_batches(feed.sizes, feed.compute)
        feed.expect(batches)
        for indices in batches:
            features, targets = feed.batch(indices), [feed.examples[index].target for index in indices]
            if model.head.by_gradient:
                loss = torch.stack(list(model.head.loss(features, targets).values())).sum()
                total += finite(loss, "on validation", [feed.examples[index] for index in indices]) * len(indices)
            answers.update(zip(indices, model.head.predict(features), strict=True))
    scores = model.head.score([answers[index] for index in range(len(answers))], [example.target for example in feed.examples])
    return {"loss": total / len(feed.examples), **scores} if model.head.by_gradient else scores


def predict(model: Model, feed: Feed) -> list[Prediction]:
    """Predictions of all examples of a feed, in their order."""
    answers: dict[int, Prediction] = {}
    model.eval()
    with torch.no_grad():
        batches = pass_batches(feed.sizes, feed.compute)
        feed.expect(batches)
        for indices in batches:
            answers.update(zip(indices, model.head.predict(feed.batch(indices)), strict=True))
    return [answers[index] for index in range(len(feed.examples))]


def _selecting(figures: dict[str, float], *, otherwise: int) -> float:
    """The first score of those that are better when higher (R squared is undefined where all targets are equal), else the
    loss; without validation the later step is the better one.
    """
    scores = [value for name, value in figures.items() if name not in LOWER_IS_BETTER]
    return scores[0] if scores else -figures["loss"] if figures else float(otherwise)


def _stage_rates(model: Model, groups: Sequence[Group], chosen: Chosen, rate: float) -> dict[str, float]:
    rates = dict.fromkeys((*model.stage_names, HEAD), 0.0)
    for group, weights in zip(groups, chosen, strict=True):
        for name in weights:
            rates[model.owner[name]] = max(rates[model.owner[name]], group.lr * rate)
    return rates
