"""The learning-rate range test: a throw-away model trains at rising rates until its loss diverges (Smith 2017, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import torch

from headstart.build import Built, build, part_class
from headstart.device import choose
from headstart.errors import TrainingError, UsageError
from headstart.example import Example
from headstart.feeds import Feeds
from headstart.freezing import train_only
from headstart.loop import Training
from headstart.order import batch_count, seed_of, training_batches
from headstart.outlook import look_ahead
from headstart.phases import Phase
from headstart.recipe import Recipe
from headstart.share import share_out
from headstart.step import make_optimizer, set_rates, take_step
from headstart.training import check_batches

SMOOTHING = 0.98  # of the loss per step, as fastai's recorder does
DIVERGED = 4.0  # times the smallest smoothed loss ends the test, as in fastai's lr_find
LEAST_STEPS = 20
SKIPPED = 10  # one in so many first steps, and the last five, are not looked at: fastai's `lr_find`
LAST_SKIPPED = 5
RATES = ("lr", "head_lr")  # what strategies call their peak rates

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Sweep:
    """A range test.

    Attributes:
        phase: Name of the phase whose parameters trained.
        rates: Learning rate of each step, of the phase's fastest group.
        losses: Training loss before each step.
        smoothed: The same, as a moving average without the pull of its start.
        is_diverged: Whether the loss ran away before the last rate.
        shares: Options of the strategy that are rates of this phase, each as a share of the fastest group's.
    """

    phase: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    is_diverged: bool
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def valley(self) -> float:
        """Two fifths into the longest fall of the loss; fastai's suggestion, and ours."""
        rates, losses = self._looked_at()
        return rates[valley_at(losses)]

    @property
    def steepest(self) -> float:
        """The middle of the quarter of the steps in which the loss falls most; a single step falls most by chance."""
        rates, losses = self._looked_at()
        window = max(1, len(rates) // 4)
        falls = np.asarray(losses[:-window]) - np.asarray(losses[window:])
        return rates[int(np.argmax(falls)) + window // 2]

    def settings(self) -> list[str]:
        """The suggestion as values of `--set`, rounded to two figures."""
        return [f"{option}={share * self.valley:.2g}" for option, share in self.shares.items()]

    def _looked_at(self) -> tuple[Sequence[float], Sequence[float]]:
        first, last = len(self.rates) // SKIPPED, len(self.rates) - LAST_SKIPPED
        return self.rates[first:last], self.smoothed[first:last]

    def as_json(self) -> dict[str, Any]:
        """Plain values, with both suggestions and the values of `--set`."""
        return {**asdict(self), "valley": self.valley, "steepest": self.steepest, "set": self.settings()}


def find_rate(  # noqa: PLR0917 - the recipe and the range, as the command takes them
    recipe: Recipe, steps: int = 100, low: float = 1e-7, high: float = 1.0, phase: str = "", told: Told = lambda *_: None
) -> Sweep:
    """Carry out the test on a model that is thrown away; nothing is written.

    Phases before the chosen one are not trained: their parameters are as the recipe begins with them.

    Args:
        recipe: Whose data, model and phase are used.
        steps: Optimiser steps in which the rate rises, >= 20.
        low: First rate of the phase's fastest group, > 0; the others keep their share of it.
        high: Last rate, > low.
        phase: Name of the phase; "" = the first.
        told: Called after each step with its number and the number of all.

    Raises:
        UsageError: The range is none, there is no such phase, or the head learns in one go.
        TrainingError: The loss was not finite or diverged too soon for a suggestion.
    """
    if not 0 < low < high or steps < LEAST_STEPS:
        raise UsageError(
            f"the rates go from {low:g} to {high:g} in {steps} steps; rates must rise, in {LEAST_STEPS} steps or more"
        )
    built = build(recipe)
    if not built.model.head.by_gradient:
        raise UsageError(f"head '{recipe.head.use}' learns in one go and has no learning rate")
    chosen = choose_phase(built, phase)
    examples = first_examples(recipe, built, steps)
    losses = list(_losses(recipe, built, chosen, examples, (steps, low, high), told))
    if len(losses) < LEAST_STEPS:
        raise TrainingError(f"the loss diverged after {len(losses)} steps; begin lower: --from {low / 100:g}")
    rates = ramp(steps, low, high)[: len(losses)]
    return Sweep(chosen.name, tuple(rates), tuple(losses), tuple(smooth(losses)), len(losses) < steps, shares(recipe, chosen))


def choose_phase(built: Built, name: str) -> Phase:
    """The phase of this name, or the first.

    Raises:
        UsageError: There is none of this name.
    """
    phases = built.strategy.phases(built.model)
    found = [phase for phase in phases if name in ("", phase.name)]
    if not found:
        raise UsageError(f"there is no phase '{name}'; phases: {', '.join(phase.name for phase in phases)}")
    return found[0]


def first_examples(recipe: Recipe, built: Built, steps: int) -> list[Example]:
    """As many training examples, by chance, as the steps can see: the rest need no features."""
    _, parts = next(iter(share_out(recipe, built.data).rounds()))
    rows = list(parts["train"])
    order = np.random.default_rng(seed_of("lr", recipe.train.seed)).permutation(len(rows))
    return [rows[index] for index in order[: steps * recipe.train.batch_size]]


def _losses(  # noqa: PLR0917 - what trains on what, then the range
    recipe: Recipe, built: Built, phase: Phase, examples: Sequence[Example], reach: tuple[int, float, float], told: Told
) -> Iterator[float]:
    model, compute = built.model, choose(recipe.train)
    training = Training(model.to(compute.device), built.strategy, replace(recipe.train, ema=0.0), compute, _silent)
    model.head.settle([example.target for example in examples])
    chosen = model.select(phase.groups)
    train_only(model, [name for group in chosen for name in group])
    check_batches(training, phase)
    feeds = Feeds(training, built.data, {"train": examples, "val": [], "test": []})
    epochs = -(-reach[0] // batch_count(len(examples), recipe.train.batch_size))
    feeds.begin(look_ahead(model, [replace(phase, epochs=epochs)]))
    feed = feeds.get("train")
    optimizer, losses = make_optimizer(phase.groups, chosen, compute), list[float]()
    fastest = max(group.lr for group in phase.groups)
    batches = _batches(training, phase, feed.sizes)
    for step, rate in enumerate(ramp(*reach)):
        epoch, indices = next(batches)
        set_rates(optimizer, rate / fastest)
        try:
            losses.append(take_step(training, optimizer, feed, indices, epoch))
        except TrainingError:  # a loss that is not finite has diverged
            return
        yield losses[-1]
        told(step + 1, reach[0])
        smoothed = smooth(losses)
        if smoothed[-1] > DIVERGED * min(smoothed):
            return


def _batches(training: Training, phase: Phase, sizes: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    plan = training.plan
    for epoch in count(1):
        torch.manual_seed(seed_of("dropout", plan.seed, phase.name, epoch))
        for indices in training_batches(seed_of(plan.seed, phase.name), epoch, sizes, plan.batch_size):
            yield epoch, indices


def ramp(steps: int, low: float, high: float) -> list[float]:
    """Rates that rise by the same factor from step to step."""
    return np.geomspace(low, high, steps).tolist()  # type: ignore[no-any-return]  # numpy leaves tolist untyped


def smooth(losses: Sequence[float], share: float = SMOOTHING) -> list[float]:
    """The moving average of each step, divided by what its weights add up to."""
    mean, found = 0.0, []
    for step, loss in enumerate(losses, 1):
        mean = share * mean + (1 - share) * loss
        found.append(mean / (1 - share**step))
    return found


def valley_at(losses: Sequence[float]) -> int:
    """Index half-way into the middle third of the longest decreasing subsequence, as fastai's `valley` finds it.

    (The algorithm is ESRI's, adopted by fastai 2.3, `callback/schedule.py`.)
    """
    length = [1] * len(losses)
    start = end = 0
    for later in range(1, len(losses)):
        for earlier in range(later):
            if losses[later] < losses[earlier]:
                length[later] = max(length[later], length[earlier] + 1)
        if length[later] > length[end]:
            end, start = later, later - length[later]
    third = (end - start) / 3
    return max(0, start + int(third) + int(third / 2))


def shares(recipe: Recipe, phase: Phase) -> dict[str, float]:
    """The strategy's options that are rates of this phase's groups, each as a share of the phase's fastest rate.

    Empty where the strategy has no such option (a schedule, whose phases are written out).
    """
    defaults: Mapping[str, Any] = part_class("strategy", recipe.strategy.use).__init__.__kwdefaults__ or {}
    options = {**defaults, **recipe.strategy.options}
    named = {name: float(options[name]) for name in RATES if isinstance(options.get(name), float | int)}
    rates = [group.lr for group in phase.groups]
    return {
        f"strategy.{name}": value / max(rates)
        for name, value in named.items()
        if any(math.isclose(rate, value, rel_tol=1e-6) for rate in rates)
    }


def _silent(event: str, **facts: Any) -> None:
    """A throw-away training has nobody to tell."""
