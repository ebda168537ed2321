"""Outlook: which boundaries the phases to come will read, so that one pass over the examples stores them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headstart.model import HEAD, Model
from headstart.phases import Phase
from headstart.prefix import prefix_below


@dataclass(frozen=True)
class Ahead:
    """What one phase will do.

    Attributes:
        boundary: The stage up to which nothing trains; "" = not even the first, "head" = the backbone is frozen.
        trains: Stages of which something trains.
        epochs: At most.
    """

    boundary: str
    trains: frozenset[str]
    epochs: int


def look_ahead(model: Model, phases: Sequence[Phase]) -> list[Ahead]:
    """What each phase will do, in order."""
    found = []
    for phase in phases:
        trains = frozenset(model.owner[name] for group in model.select(phase.groups) for name in group) - {HEAD}
        prefix = prefix_below(model, trains)
        found.append(Ahead((prefix.stage if prefix else "") if trains else HEAD, trains, phase.epochs))
    return found


def boundaries(model: Model, coming: Sequence[Ahead]) -> dict[str, int]:
    """Boundaries whose values are the same now as when a coming phase will read them -> epochs that read them; lowest first.

    Args:
        model: Whose stages they are.
        coming: The phase that begins now, and those after it.
    """
    names, moved = model.stage_names, set[str]()
    uses: dict[str, int] = {}
    for phase in coming:
        below = names if phase.boundary == HEAD else names[: names.index(phase.boundary) + 1] if phase.boundary else ()
        if below and not moved & set(below):
            uses[phase.boundary] = uses.get(phase.boundary, 0) + phase.epochs
        moved |= phase.trains
    return dict(sorted(uses.items(), key=lambda pair: len(names) if pair[0] == HEAD else names.index(pair[0])))
