"""Scattered: few trainable parameters, but low in the network, so that the whole backward pass runs for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from headstart.floor import Network
from headstart.model import HEAD, Model
from headstart.phases import Phase

FEW = 0.1  # share of the weights that the backward pass runs through; below it, there are cheaper places for as many


def scattered(model: Model, phases: Sequence[Phase], network: Callable[[], Network], *, is_stored: bool) -> Iterator[str]:
    """One line for each phase that trains little and costs much; nothing where all or most of what is run through trains.

    Args:
        model: With its strategy prepared.
        phases: Of the strategy.
        network: Gives the model's layers with their operations; called only where there is something to say.
        is_stored: Whether the run stores the values of frozen stages.
    """
    for phase in phases:
        names = {name for group in model.select(phase.groups) for name in group}
        backbone = [name for name in names if model.owner[name] != HEAD]
        if not backbone:
            continue
        training = {model.owner[name] for name in backbone}
        lowest = next(at for at, stage in enumerate(model.stage_names) if stage in training)
        reach = [stage for stage in model.stage_names[lowest:] if _size(model, _weights(model, [stage]))]
        share = _size(model, backbone) / _size(model, _weights(model, reach))
        top = _top_with(model, reach, _size(model, backbone))
        if share < FEW and len(top) < len(reach):
            instead = network().epoch(_weights(model, [*top, HEAD]), is_stored=is_stored)
            cost = instead / max(1, network().epoch(names, is_stored=is_stored))
            yield (
                f"phase '{phase.name}': the lowest trainable parameter is in stage '{model.stage_names[lowest]}': the backward "
                f"pass runs through {_how_many(model, len(reach))} for {share:.1%} of their weights; strategy last-stages with "
                f"stages: {len(top)} would compute {cost:.0%} as much"
            )


def _how_many(model: Model, count: int) -> str:
    every = sum(bool(_weights(model, [stage])) for stage in model.stage_names)
    return f"all {count} stages" if count == every else f"{count} of {every} stages"


def _weights(model: Model, owners: Collection[str]) -> list[str]:
    return [name for name in model.weights() if model.owner[name] in owners]


def _size(model: Model, names: Collection[str]) -> int:
    weights = model.weights()
    return sum(weights[name].numel() for name in names)


def _top_with(model: Model, stages: Sequence[str], wanted: int) -> list[str]:
    """The fewest stages at the output that hold as many weights as are wanted."""
    for count in range(1, len(stages) + 1):
        if _size(model, _weights(model, stages[-count:])) >= wanted:
            return list(stages[-count:])
    return list(stages)
