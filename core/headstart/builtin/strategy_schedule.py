"""Schedule: the phases themselves, written out in the recipe; what `headstart run --dry-run --schedule FILE` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

from headstart.builtin.strategies import RANGES
from headstart.errors import UsageError
from headstart.model import Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy


class GroupPlan(TypedDict):
    """What shares a rate: see `headstart.phases.Group`."""

    select: list[str]
    lr: float
    weight_decay: NotRequired[float]


class PhasePlan(TypedDict):
    """One phase: see `headstart.phases.Phase`."""

    name: str
    epochs: int
    train: list[GroupPlan]
    schedule: NotRequired[Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"]]
    warmup: NotRequired[float]
    patience: NotRequired[int | None]
    steps: NotRequired[int | None]


class Schedule(Strategy):
    """Phases as you write them: in each, what trains, at which rate and how long; everything else is frozen.

    `headstart run RECIPE --dry-run --schedule FILE` writes those of any other strategy as a beginning.

    Args:
        phases: In order, each with `name`, `epochs` and `train`: a list of groups, each with `select` ("head", "backbone",
            names of stages, or globs over parameter names), the peak rate `lr` and `weight_decay` (0). A phase may also
            have `schedule` (cosine), `warmup` (0.1: share of the steps), `patience` (null: epochs without a better
            validation score before it ends) and `steps` (null: optimiser steps at most).
    """

    def __init__(self, *, phases: tuple[PhasePlan, ...]) -> None:
        faults = [fault for index, plan in enumerate(phases) for fault in _faults(f"phases.{index}", plan)]
        if faults or not phases:
            raise UsageError("; ".join(faults) or "the strategy's option phases is empty; it must have at least one phase")
        self._phases = tuple(map(_phase, phases))

    def phases(self, model: Model) -> Sequence[Phase]:
        """The phases of the recipe; that each selector matches something is checked when the parts are put together."""
        return self._phases


def phase_plan(phase: Phase) -> PhasePlan:
    """A phase as a recipe writes it, with everything said; `Schedule` makes the equal phase of it."""
    return {
        "name": phase.name,
        "epochs": phase.epochs,
        "schedule": phase.schedule,
        "warmup": phase.warmup,
        "patience": phase.patience,
        "steps": phase.steps,
        "train": [_group_plan(group) for group in phase.groups],
    }


def _group_plan(group: Group) -> GroupPlan:
    return {"select": list(group.select), "lr": group.lr, "weight_decay": group.weight_decay}


def _phase(plan: PhasePlan) -> Phase:
    groups = tuple(Group(tuple(each["select"]), each["lr"], each.get("weight_decay", 0.0)) for each in plan["train"])
    return Phase(
        plan["name"],
        plan["epochs"],
        groups,
        plan.get("schedule", Phase.schedule),
        plan.get("warmup", Phase.warmup),
        plan.get("patience"),
        plan.get("steps"),
    )


def _faults(way: str, plan: PhasePlan) -> list[str]:
    """What is out of range in one phase, by its way in the recipe."""
    values = {name: value for name, value in plan.items() if name in RANGES}
    found = [(f"{way}.{name}", name, value) for name, value in values.items()]
    for index, group in enumerate(plan["train"]):
        inner = f"{way}.train.{index}"
        found += [(f"{inner}.{name}", name, value) for name, value in group.items() if name in RANGES]
    faults = [
        f"the strategy's option {place} is {value}; it must be {RANGES[name][1]}"
        for place, name, value in found
        if isinstance(value, int | float) and not RANGES[name][0](value)
    ]
    empty = [f"{way}.train.{index}.select" for index, group in enumerate(plan["train"]) if not group["select"]]
    return faults + [f"the strategy's option {place} is empty; it must name what trains" for place in empty]
