"""The loop: one phase of training, from the chosen parameters to the best weights that validation saw."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headstart.best import Best
from headstart.device import Compute
from headstart.ema import Average
from headstart.errors import TrainingError
from headstart.events import Tell
from headstart.example import Example
from headstart.feed import Feed, pass_batches
from headstart.freezing import set_modes
from headstart.head import Prediction
from headstart.ledger import Chosen
from headstart.mixing import losses_of
from headstart.model import HEAD, Model
from headstart.order import batch_count, micro_batches, seed_of, training_batches
from headstart.phases import Group, Phase
from headstart.recipe import TrainPlan
from headstart.schedule import factors, lengths
from headstart.scores import LOWER_IS_BETTER
from headstart.strategy import Strategy


@dataclass(frozen=True)
class Training:
    """What every phase of one training shares."""

    model: Model
    strategy: Strategy
    plan: TrainPlan
    compute: Compute
    tell: Tell


def run_phase(
    training: Training, phase: Phase, chosen: Chosen, feeds: tuple[Feed, Feed | None], *, best: Best, first_step: int
) -> dict[str, Any]:
    """Train one phase and leave its weights as they are after the last epoch; `best` holds the best ones seen.

    Args:
        training: The model and how it trains.
        phase: What trains and how long.
        chosen: The phase's parameters by group, already made trainable.
        feeds: Features of the training and the validation examples; None = no validation, the last epoch counts as best.
        best: Gets the phase's best weights.
        first_step: Optimiser steps done before.

    Returns:
        Entries for the ledger: start_step, steps, epochs, best_epoch, schedule.
    """
    train, val = feeds
    plan, model = training.plan, training.model
    optimizer, average = make_optimizer(phase.groups, chosen, training.compute), Average(chosen, plan.ema)
    steps, epochs = lengths(phase, batch_count(len(train.examples), plan.batch_size))
    rates = factors(phase, steps)
    step = epoch = 0
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        torch.manual_seed(seed_of("dropout", plan.seed, phase.name, epoch))
        set_modes(model)
        batches = training_batches(seed_of(plan.seed, phase.name), epoch, train.sizes, plan.batch_size)[: steps - step]
        loss = 0.0
        train.expect([part for indices in batches for part in micro_batches(indices, plan.micro_batch)], epoch=epoch)
        for indices in batches:
            set_rates(optimizer, rates[step])
            loss += take_step(training, optimizer, train, indices, epoch) * len(indices)
            average.update()
            step += 1
            training.tell("step", phase=phase.name, step=step, steps=steps)
        with average.standing_in():
            figures = validate(training, val)
            score = _selecting({} if plan.keep == "last" else figures, otherwise=first_step + step)
            is_best = best.consider(score, figures.get("loss", 0.0), epoch, model)
        training.tell(
            "epoch",
            phase=phase.name,
            epoch=epoch,
            epochs=epochs,
            step=first_step + step,
            seconds=round(time.perf_counter() - started, 3),
            train_loss=loss / sum(map(len, batches)),
            val=figures,
            lr=_stage_rates(model, phase.groups, chosen, rates[step - 1]),
            best=is_best,
        )
        if val is not None and phase.patience and best.age >= phase.patience:
            break
    done = rates[:step]
    picture = [[first_step + at, done[at]] for at in sorted({*range(0, step, max(1, step // 50)), step - 1})]
    return {"start_step": first_step, "steps": step, "epochs": epoch, "best_epoch": best.where, "schedule": picture}


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
                total += _finite(loss, "on validation", [feed.examples[index] for index in indices]) * len(indices)
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


def make_optimizer(groups: Sequence[Group], chosen: Chosen, compute: Compute) -> torch.optim.AdamW:
    """AdamW over the chosen parameters only; tensors of one dimension (biases, norms) are not decayed."""
    entries = []
    for group, weights in zip(groups, chosen, strict=True):
        for decays in (True, False):
            part = [weight for weight in weights.values() if (weight.ndim > 1) == decays]
            if part:
                decay = group.weight_decay if decays else 0.0
                entries.append({"params": part, "lr": group.lr, "peak": group.lr, "weight_decay": decay})
    return torch.optim.AdamW(entries, fused=compute.device.type in ("cpu", "cuda"))


def take_step(training: Training, optimizer: torch.optim.Optimizer, feed: Feed, indices: list[int], epoch: int) -> float:
    """One optimiser step on a batch, in micro-batches; the loss before it, the mean over the batch.

    Raises:
        TrainingError: The loss is not finite.
    """
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in micro_batches(indices, training.plan.micro_batch):
        loss = _loss(training, feed, part, epoch) * (len(part) / len(indices))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += float(loss.detach())
    if training.plan.clip:
        torch.nn.utils.clip_grad_norm_(
            [weight for group in optimizer.param_groups for weight in group["params"]], training.plan.clip
        )
    optimizer.step()
    return total


def _loss(training: Training, feed: Feed, indices: list[int], epoch: int) -> Tensor:
    examples = [feed.examples[index] for index in indices]
    features = feed.batch(indices, epoch=epoch)
    losses = losses_of(training.model.head, features, [example.target for example in examples], feed)
    loss = torch.stack(list(losses.values())).sum() + training.strategy.penalty(training.model)
    _finite(loss, f"at epoch {epoch}", examples)
    return loss


def _finite(loss: Tensor, where: str, examples: Sequence[Example]) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        ids = ", ".join(example.id for example in examples)
        raise TrainingError(f"the loss is {value} {where}, in the batch of examples {ids}; try a smaller lr")
    return value


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its peak rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate


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
