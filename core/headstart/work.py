"""Work: the floating-point operations that a training took, phase by phase, from what trained and what was stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.floor import Network
from headstart.model import Model
from headstart.order import batch_count
from headstart.phases import Phase


@dataclass(frozen=True)
class PhaseWork:
    """Operations of one phase.

    Attributes:
        name: Of the phase.
        start_step: Optimiser steps of the phases before it.
        steps: Its own.
        once: Operations before its first step: the frozen stages on every example, as far as no phase before had run them.
        step: Operations per optimiser step, on average.
    """

    name: str
    start_step: int
    steps: int
    once: int
    step: float

    @property
    def total(self) -> int:
        """All operations of the phase."""
        return round(self.once + self.steps * self.step)


def training_work(  # noqa: PLR0917 - the model, what it did and on what, in this order
    network: Network, model: Model, phases: Sequence[Phase], entries: Sequence[Mapping[str, Any]], count: int, batch_size: float
) -> list[PhaseWork]:
    """The work of each phase that was carried out, on the training examples; validation is not counted.

    Args:
        network: The model's layers with the operations of an example of usual size.
        model: The trained one.
        phases: What its strategy planned.
        entries: The ledger's, one per phase, with what was stored.
        count: Training views that were computed where frozen stages ran once.
        batch_size: Examples per step.
    """
    found, done = [], 0.0  # operations per example of stages that ran once
    for phase, entry in zip(phases, entries, strict=True):
        trains = {name for group in model.select(phase.groups) for name in group}
        is_stored, frozen = bool(entry["stored"]), network.frozen(trains)
        once = round(max(0.0, frozen - done) * count) if is_stored else 0
        done = max(done, frozen) if is_stored else done
        per_step = network.epoch(trains, is_stored=is_stored) * batch_size
        found.append(PhaseWork(phase.name, entry["start_step"], entry["steps"], once, per_step))
    return found


def mean_batch(count: int, batch_size: int) -> float:
    """Examples per optimiser step on average, as the last batch of an epoch is smaller."""
    return count / batch_count(count, batch_size)
