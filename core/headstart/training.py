"""Training a model through all phases of its strategy, with the ledger open and nothing frozen computed twice."""

from __future__ import annotations

from typing import Any

from headstart.best import Best
from headstart.errors import UsageError
from headstart.feed import Feed
from headstart.feeds import Feeds
from headstart.freezing import train_only, trains_batchnorm
from headstart.head import Prediction
from headstart.idle import idle_ports
from headstart.ledger import Chosen, Ledger
from headstart.loop import Training, predict, run_phase, validate
from headstart.model import HEAD
from headstart.outlook import look_ahead
from headstart.phases import Phase


def train(training: Training, feeds: Feeds) -> Ledger:
    """Carry out every phase; afterwards the model holds the best weights that validation saw in any of them.

    A phase goes on from the best epoch of the one before it, even where that phase made things worse: thawing often
    loses a little before it gains.

    Raises:
        UsageError: A BatchNorm trains on batches of one example.
        FreezingError: A frozen tensor moved.
        TrainingError: The loss is not finite.
    """
    model, ledger, overall = training.model, Ledger(training.model), Best()
    model.head.settle([example.target for example in feeds.splits["train"]])
    phases = list(training.strategy.phases(model))
    coming = look_ahead(model, phases)
    feeds.count()
    step = 0
    for number, phase in enumerate(phases):
        chosen, best = model.select(phase.groups), Best()
        train_only(model, [name for group in chosen for name in group])
        check_batches(training, phase)
        capped = {"steps": phase.steps} if phase.steps else {}
        training.tell(
            "phase", phase=phase.name, epochs=phase.epochs, trainable=_trainable(chosen), groups=len(chosen), **capped
        )
        if idle := idle_ports(model):
            training.tell("idle", phase=phase.name, ports=idle)
        feeds.begin(coming[number:])
        ledger.open(phase, chosen)
        for kept in (best, overall):
            kept.watch(model, chosen)
        with feeds.tally.timing():
            ledger.entries[-1].update(_carry_out(training, phase, chosen, feeds, best=best, step=step))
        ledger.prove(chosen)
        step += ledger.entries[-1]["steps"]
        feeds.forget({model.owner[name] for group in chosen for name in group} - {HEAD})
        if model.head.by_gradient:
            best.restore(model)
            overall.consider(best.score, best.loss, phase.name, model)
    if model.head.by_gradient:
        overall.restore(model)
        ledger.kept = str(overall.where)
        feeds.forget({stage for phase in coming for stage in phase.trains})  # they may be those of an earlier phase again
    train_only(model, ())
    feeds.begin(())
    return ledger


def check_batches(training: Training, phase: Phase) -> None:
    """Torch stops at a single example with an error that names no option, or learns statistics of nothing.

    Raises:
        UsageError: A BatchNorm trains on single examples.
    """
    plan = training.plan
    name = "batch_size" if plan.batch_size < 2 else "micro_batch"
    if (plan.batch_size < 2 or plan.micro_batch == 1) and trains_batchnorm(training.model):
        raise UsageError(
            f"train.{name} is 1; it must be at least 2, as a BatchNorm trains in phase '{phase.name}' and takes its mean and "
            "variance over a batch"
        )


def answers(training: Training, feeds: Feeds, split: str) -> list[Prediction]:
    """Predictions of the trained model for a split; stored features are used where they are still true."""
    with feeds.tally.timing():
        return predict(training.model, feeds.get(split))


def _carry_out(training: Training, phase: Phase, chosen: Chosen, feeds: Feeds, *, best: Best, step: int) -> dict[str, Any]:
    train_feed, val_feed = feeds.get("train"), feeds.get("val") if feeds.splits["val"] else None
    stored = feeds.stored("train")
    feeds.rest()
    if training.plan.mix != "none" and not training.model.head.by_gradient:
        raise UsageError(
            f"train.mix is '{training.plan.mix}': a head that learns in one go cannot learn shares; write mix: none"
        )
    if training.model.head.by_gradient:
        return {**run_phase(training, phase, chosen, (train_feed, val_feed), best=best, first_step=step), "stored": stored}
    return {**_fit_closed(training, phase, train_feed, val_feed, step), "stored": stored}


def _fit_closed(training: Training, phase: Phase, train_feed: Feed, val_feed: Feed | None, step: int) -> dict[str, Any]:
    """A head that learns in one go: all features at once, no steps, nothing to choose a best epoch from."""
    head = training.model.head
    head.fit(train_feed.batch(range(len(train_feed.examples))), [example.target for example in train_feed.examples])
    figures = validate(training, val_feed)
    training.tell(
        "epoch", phase=phase.name, epoch=1, epochs=1, step=step, seconds=0.0, train_loss=None, val=figures, lr={}, best=True
    )
    return {"start_step": step, "steps": 0, "epochs": 1, "best_epoch": 1, "schedule": []}


def _trainable(chosen: Chosen) -> int:
    return sum(weight.numel() for group in chosen for weight in group.values())
