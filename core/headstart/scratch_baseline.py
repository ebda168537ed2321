"""The baseline "scratch": the same network from random weights, trained with as much computation as the run had.

What the run scores above it is what transfer is worth. Both see the same examples, augmentation and head; the budget is
counted in floating-point operations of training (`work.py`), since a run that stores what is frozen takes cheap steps and
training from random weights takes dear ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from statistics import median
from typing import Any, Literal

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.build import make_model, part_class, prepare_model
from headstart.data import Data
from headstart.errors import TrainingError, UsageError
from headstart.example import Example
from headstart.feed import Feed
from headstart.feeds import Feeds
from headstart.freezing import set_modes, train_only
from headstart.loop import Training, predict, validate
from headstart.measuring import measured, usual_example
from headstart.model import Model
from headstart.order import seed_of, training_batches
from headstart.outcome import Outcome
from headstart.phases import Phase
from headstart.recipe import Part, Recipe
from headstart.schedule import factor
from headstart.scores import LOWER_IS_BETTER
from headstart.step import make_optimizer, set_rates, take_step
from headstart.strategy import Strategy
from headstart.training import check_batches
from headstart.work import PhaseWork, mean_batch, training_work

NAME = "scratch"
LEAST_STEPS = 20
LEAST_SHARE = 0.1  # of the training examples, seen at least once
TIMED_STEPS = 4  # after these the time of a step is known; the first is slower and not counted
LONGER, LEAST_SECONDS = 1.5, 20.0  # it may take this many times the run's own training time, and always this long
LOOKS = (0.25, 0.5, 0.75, 1.0)  # shares of the training after which validation is scored
WARMUP = 0.25
MOMENTUM = 0.1  # torch's own; networks made for days of training follow the statistics ten times slower, too slow for this one

Bound = Literal["work", "least", "time"]
Parts = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class Budget:
    """What the baseline may spend.

    Attributes:
        flops: As many operations of training as the run took.
        seconds: Of training, at most.
    """

    flops: int
    seconds: float

    @classmethod
    def like(cls, work: Sequence[PhaseWork], seconds: float) -> Budget:
        """As much work as the run, and a limit in time that follows from the run's own."""
        return cls(sum(phase.total for phase in work), max(LONGER * seconds, LEAST_SECONDS))


@dataclass(frozen=True)
class Against:
    """The baseline's predictions, and what both trainings cost.

    Attributes:
        outcomes: One, on the test examples; none where training from random weights diverged.
        facts: What `metrics.json` holds under "transfer".
    """

    outcomes: Sequence[Outcome]
    facts: Mapping[str, Any]


def check_scratch(recipe: Recipe, model: Model) -> None:
    """Refuse what cannot be trained from random weights, before anything is written.

    Raises:
        UsageError: The head learns in one go, so nothing would reach the backbone.
    """
    if recipe.baselines == NAME and not model.head.by_gradient:
        raise UsageError(
            f"baselines: scratch trains the whole network through the head, but head '{recipe.head.use}' learns in one go; "
            "use a head that is trained by gradient (linear, mlp) or leave out --baseline scratch"
        )


def against_scratch(
    recipe: Recipe,
    data: Data,
    training: Training,
    entries: Sequence[Mapping[str, Any]],
    parts: Parts,
    *,
    seconds: float,
    fold: int,
) -> Against:
    """Train the baseline beside a trained run, on the same division of the examples.

    Args:
        recipe: The run's.
        data: Its data part.
        training: How the run trained; its model is left alone.
        entries: The run's ledger.
        parts: The examples by split.
        seconds: Time of the run's training.
        fold: Number of the fold, -1 without.
    """
    work = run_work(training, data, entries, parts["train"])
    budget = Budget.like(work, seconds)
    facts: dict[str, Any] = {
        "fold": fold + 1 or None,
        "run": {"flops": budget.flops, "seconds": round(seconds, 3), "phases": [asdict(phase) for phase in work]},
    }
    try:
        scratch = Scratch(recipe, data, training, parts, budget)
        facts[NAME] = scratch.train()
    except TrainingError as error:
        training.tell("warning", message=f"training from random weights failed, so there is no baseline scratch: {error}")
        return Against((), facts)
    training.tell(NAME, **{name: value for name, value in facts[NAME].items() if name != "curve"})
    return Against([Outcome(NAME, "test", parts["test"], scratch.predictions(), fold)], facts)


def run_work(
    training: Training, data: Data, entries: Sequence[Mapping[str, Any]], examples: Sequence[Example]
) -> list[PhaseWork]:
    """What the run's training took."""
    model, plan = training.model.to(training.compute.device), training.plan  # a frozen backbone may have left the device
    usual = usual_example(model, examples)
    views = max(1, plan.views) if data.augments else 1
    batch = mean_batch(len(examples), plan.batch_size)
    phases = training.strategy.phases(model)
    return training_work(measured(model, usual), model, phases, entries, views * len(examples), batch)


class Scratch:
    """The same network with random weights, and its training within a budget."""

    def __init__(self, recipe: Recipe, data: Data, like: Training, parts: Parts, budget: Budget) -> None:
        strategy: Strategy = part_class("strategy", NAME)()
        plain = replace(recipe, strategy=Part(NAME))
        model = make_model(plain, data.target)
        prepare_model(plain, strategy, model)
        _follow_statistics(model)
        plan = replace(like.plan, store="off", ema=0.0)
        self._told = like.tell
        self._training = Training(model.to(like.compute.device), strategy, plan, like.compute, _silent)
        self._feeds = Feeds(self._training, data, dict(parts))
        self._parts, self._budget = parts, budget
        [phase] = strategy.phases(model)
        self._phase: Phase = replace(phase, schedule="one-cycle", warmup=WARMUP)

    def train(self) -> dict[str, Any]:
        """Carry it out; returns work, steps, passes, seconds, what ended it, and validation over work."""
        training, examples = self._training, self._parts["train"]
        model = training.model
        model.head.settle([example.target for example in examples])
        usual = usual_example(model, examples)
        chosen = model.select(self._phase.groups)
        names = [name for group in chosen for name in group]
        flops = measured(model, usual).epoch(names, is_stored=False)
        flops = round(flops * mean_batch(len(examples), training.plan.batch_size))
        train_only(model, names)
        self._feeds.count()
        check_batches(training, self._phase)
        steps, bound, seconds, curve = self._steps(make_optimizer(self._phase.groups, chosen, training.compute), flops)
        batches = len(examples) / mean_batch(len(examples), training.plan.batch_size)
        facts = {"flops": steps * flops, "steps": steps, "passes": round(steps / batches, 3), "seconds": round(seconds, 3)}
        return {**facts, "bound": bound, "curve": curve}

    def predictions(self) -> list[Any]:
        """Of the test examples."""
        return predict(self._training.model, self._feeds.get("test"))

    def _steps(self, optimizer: torch.optim.Optimizer, flops: int) -> tuple[int, Bound, float, list[dict[str, float]]]:
        training, feed = self._training, self._feeds.get("train")
        batch = mean_batch(len(feed.examples), training.plan.batch_size)
        steps, bound = planned_steps(self._budget.flops, flops, len(feed.examples) / batch)
        times: list[float] = []
        curve: list[dict[str, float]] = []
        for step, (epoch, indices) in enumerate(_batches(training, feed)):
            started = time.perf_counter()
            set_rates(optimizer, factor(self._phase.schedule, (step + 0.5) / steps, self._phase.warmup))
            take_step(training, optimizer, feed, indices, epoch)
            times.append(time.perf_counter() - started)
            if step + 1 == TIMED_STEPS and (most := within(self._budget.seconds, times)) < steps:
                steps, bound = most, "time"
            self._told("step", phase=NAME, step=step + 1, steps=steps)
            if step + 1 in {max(1, round(share * steps)) for share in LOOKS}:
                curve += self._look((step + 1) * flops)
            if step + 1 >= steps:
                break
        return steps, bound, sum(times), curve

    def _look(self, flops: int) -> list[dict[str, float]]:
        """Validation's selecting score after so much work; nothing without validation examples."""
        if not self._parts["val"]:
            return []
        figures = validate(self._training, self._feeds.get("val"))
        set_modes(self._training.model)
        name = next((name for name in figures if name not in LOWER_IS_BETTER), "loss")
        return [{"flops": flops, "value": figures[name]}]


def planned_steps(flops: int, per_step: int, batches: float) -> tuple[int, Bound]:
    """Steps for a number of operations, but never so few that nothing can be learnt."""
    least = max(LEAST_STEPS, round(LEAST_SHARE * batches))
    wanted = round(flops / max(1, per_step))
    return (wanted, "work") if wanted >= least else (least, "least")


def within(seconds: float, times: Sequence[float]) -> int:
    """Steps that fit in so many seconds, at the speed of those that were timed (s each); never fewer than those."""
    return max(len(times), int(seconds / max(median(times[1:]), 1e-9)))


def _batches(training: Training, feed: Feed) -> Iterator[tuple[int, list[int]]]:
    """Epoch and indices, without end, in an order of the seed."""
    plan = training.plan
    for epoch in count(1):
        torch.manual_seed(seed_of("dropout", plan.seed, NAME, epoch))
        for indices in training_batches(seed_of(plan.seed, NAME), epoch, feed.sizes, plan.batch_size):
            yield epoch, indices


def _follow_statistics(model: Model) -> None:
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, MOMENTUM)


def _silent(event: str, **facts: Any) -> None:
    """What the baseline's feeds would say of stores is not of the run."""
