"""Measuring: the meter of a training, and how far its work was from the least possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.feed import LiveFeed
from headstart.floor import Floor, Meter, Network, PhaseWork, Units
from headstart.flops import count_flops
from headstart.loop import Training


def metered(live: LiveFeed, indices: Sequence[int]) -> Meter | None:
    """A meter for a model, by one counted pass of a few examples; None where the network cannot be counted."""
    model = live.model
    model.eval()
    targets = [live.examples[index].target for index in indices] if model.head.by_gradient else None
    try:
        layers = count_flops(model, live.to_device(live.prepare_cpu(indices)), units=live.units(indices), targets=targets)
    except (RuntimeError, NotImplementedError, KeyError, TypeError):  # an operation that the counter does not know
        return None
    return Meter(Network(model.stage_names, layers), live.compute.device)


def floor_of(training: Training, meter: Meter, entries: Sequence[Mapping[str, Any]], units: Units) -> Floor:
    """Work done over the least with which the phases of a ledger could have been carried out."""
    model = training.model
    names = [frozenset(name for g in model.select(phase.groups) for name in g) for phase in training.strategy.phases(model)]
    work = [PhaseWork(trains, entry["epochs"]) for trains, entry in zip(names, entries, strict=True)]
    return meter.floor(work, units)
