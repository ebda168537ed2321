"""Measuring: the layers of a model as one of its examples meets them, the meter of a training, and how far its work was from
the least possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from headstart.example import Example
from headstart.feed import LiveFeed
from headstart.floor import Floor, Meter, Network, PhaseDone, Units
from headstart.flops import count_flops
from headstart.loop import Training
from headstart.model import Model


def measured(model: Model, example: Example) -> Network:
    """The layers of a model with the operations that one example takes.

    Args:
        model: On any device; it is left as it was.
        example: Its loss is counted as well, where it has a target and the head trains by gradient.
    """
    device = next((weight.device for weight in model.weights().values()), torch.device("cpu"))
    batch = {name: tensor.to(device) for name, tensor in model.backbone.prepare([example.input]).items()}
    targets = [example.target] if model.head.by_gradient and example.target is not None else None
    return Network(model.stage_names, count_flops(model, batch, units=1, targets=targets))


def usual_example(model: Model, examples: Sequence[Example]) -> Example:
    """The example whose size is nearest to the mean of all: what it costs, all cost on average."""
    sizes = model.backbone.sizes([example.input for example in examples])
    if sizes is None:
        return examples[0]
    mean = sum(sizes) / len(sizes)
    return min(zip(examples, sizes, strict=True), key=lambda pair: abs(pair[1] - mean))[0]


def metered(live: LiveFeed, indices: Sequence[int]) -> Meter | None:
    """A meter for a model, by one counted pass of a few examples; None where the network cannot be counted."""
    model = live.model
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
    work = [PhaseDone(trains, entry["epochs"]) for trains, entry in zip(names, entries, strict=True)]
    return meter.floor(work, units)
