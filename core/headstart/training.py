"""Training a model through all phases of its strategy, with the ledger open and nothing frozen computed twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from headstart.course import Course
from headstart.errors import UsageError
from headstart.faults import reach
from headstart.feed import Feed
from headstart.feeds import Feeds
from headstart.freezing import train_only, trains_batchnorm
from headstart.head import Prediction
from headstart.idle import idle_ports
from headstart.ledger import Ledger
from headstart.loop import Training, predict, run_phase, validate
from headstart.passage import Passage
from headstart.phases import Phase
from headstart.resume_keeper import Keeper
from headstart.shared_step import check_weights, counted_together


def train(training: Training, feeds: Feeds, keeper: Keeper | None = None) -> Ledger:
    """Carry out every phase; afterwards the model holds the best weights that validation saw in any of them.

    A phase goes on from the best epoch of the one before it, even where that phase made things worse: thawing often
    loses a little before it gains. A training that was stopped goes on where its `keeper` says.

    Raises:
        UsageError: A BatchNorm trains on batches of one example.
        FreezingError: A frozen tensor moved.
        TrainingError: The loss is not finite.
    """
    keeper = keeper or Keeper()
    training.model.head.settle([example.target for example in feeds.splits["train"]])
    course = Course(training, feeds)
    feeds.asked = keeper.asked
    feeds.count()
    keeper.resume(course)
    with keeper.watching(course):
        while (phase := course.phase) is not None:
            with training.stop.held():
                passage = course.passage or begin_phase(course, phase)
            with feeds.tally.timing():
                found = _carry_out(course, passage, partial(keeper.offer, course))
            with training.stop.held():
                end_phase(course, passage, found)
            keeper.offer(course, is_phase_end=True)
    _keep_best(course)
    feeds.tally.go_on(counted_together(training.ranks, feeds.tally.as_json()))
    return course.ledger


def begin_phase(course: Course, phase: Phase) -> Passage:
    """Thaw what trains and open the ledger."""
    reach("phase")
    model, tell = course.training.model, course.training.tell
    passage = course.thaw(phase)
    check_batches(course.training, phase)
    capped = {"steps": phase.steps} if phase.steps else {}
    trainable = sum(weight.numel() for group in passage.chosen for weight in group.values())
    tell("phase", phase=phase.name, epochs=phase.epochs, trainable=trainable, groups=len(passage.chosen), **capped)
    if idle := idle_ports(model):
        tell("idle", phase=phase.name, ports=idle)
    course.look_on()
    course.ledger.open(phase, passage.chosen)
    for kept in (passage.best, course.overall):
        kept.watch(model, passage.chosen)
    course.passage = passage
    return passage


def end_phase(course: Course, passage: Passage, found: dict[str, Any]) -> None:
    """Prove what did not move, and let the best weights stand."""
    model, ledger = course.training.model, course.ledger
    ledger.entries[-1].update(found)
    ledger.prove(passage.chosen)
    course.step += found["steps"]
    course.feeds.forget(course.moved(passage))
    if model.head.by_gradient:
        passage.best.restore(model)
        check_weights(course.training, passage)
        course.overall.consider(passage.best.score, passage.best.loss, passage.phase.name, model)
    course.end_phase()


def _keep_best(course: Course) -> None:
    """The best weights of all phases, nothing trainable, and no feed that is no longer true."""
    model = course.training.model
    if model.head.by_gradient:
        course.overall.restore(model)
        course.ledger.kept = str(course.overall.where)
        course.feeds.forget(
            {stage for stages in course.trained() for stage in stages}
        )  # may be those of an earlier phase again
    train_only(model, ())
    course.feeds.begin(())


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


def _carry_out(course: Course, passage: Passage, keep: Callable[[], None]) -> dict[str, Any]:
    training, feeds = course.training, course.feeds
    train_feed, val_feed = feeds.get("train"), feeds.get("val") if feeds.splits["val"] else None
    stored = feeds.stored("train")
    feeds.rest()
    if training.plan.mix != "none" and not training.model.head.by_gradient:
        raise UsageError(
            f"train.mix is '{training.plan.mix}': a head that learns in one go cannot learn shares; write mix: none"
        )
    if training.model.head.by_gradient:
        with training.ranks.holding(training.stop):
            return {**run_phase(training, passage, (train_feed, val_feed), keep), "stored": stored}
    return {**_fit_closed(training, passage.phase, train_feed, val_feed, course.step), "stored": stored}


def _fit_closed(training: Training, phase: Phase, train_feed: Feed, val_feed: Feed | None, step: int) -> dict[str, Any]:
    """A head that learns in one go: all features at once, no steps, nothing to choose a best epoch from."""
    head = training.model.head
    head.fit(train_feed.batch(range(len(train_feed.examples))), [example.target for example in train_feed.examples])
    figures = validate(training, val_feed)
    training.tell(
        "epoch", phase=phase.name, epoch=1, epochs=1, step=step, seconds=0.0, train_loss=None, val=figures, lr={}, best=True
    )
    return {"start_step": step, "steps": 0, "epochs": 1, "best_epoch": 1, "schedule": []}
