"""Forecast: what a run would train, replay and compute, phase by phase, from its recipe, data and model; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from headstart.build import Built, build
from headstart.data import Data
from headstart.floor import Network
from headstart.measuring import measured
from headstart.model import HEAD, Model
from headstart.order import batch_count
from headstart.outlook import Ahead, boundaries
from headstart.outlook import look_ahead as stages_ahead
from headstart.phases import Phase
from headstart.place import naming_folders
from headstart.recipe import Recipe
from headstart.scattered import scattered
from headstart.share import share_out
from headstart.strategy import Strategy


@dataclass(frozen=True)
class PhaseForecast:
    """One phase to come.

    Attributes:
        epochs: At most; `patience` may end the phase before.
        steps: Optimiser steps in all its epochs.
        trains: The head and stages of which something trains, from the output down.
        share: Trainable parameters of all.
        rates: Lowest and highest peak rate; empty for a head that learns in one go.
        replayed: What is read from the store in place of computing: the head's ports, or the stage after which values are
            stored; empty = everything runs in every step.
        why: The reason where nothing is replayed.
        cost: Operations of an epoch, relative to one of full fine-tuning.
    """

    name: str
    epochs: int
    steps: int
    trains: tuple[str, ...]
    trainable: int
    share: float
    rates: tuple[float, ...]
    replayed: str
    why: str
    cost: float


@dataclass(frozen=True)
class Forecast:
    """A run to come.

    Attributes:
        parameters: Of backbone and head.
        n: Examples by split, of the model that is kept.
        folds: Models that are trained before it; 0 = no cross-validation.
        phases: In order.
        passing: Operations of the one pass that fills the store, in epochs of full fine-tuning.
        total: Operations of all epochs and that pass, in epochs of full fine-tuning.
        warnings: What is likely not meant.
    """

    name: str
    backbone: str
    strategy: str
    parameters: int
    n: Mapping[str, int]
    folds: int
    phases: tuple[PhaseForecast, ...]
    passing: float
    total: float
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Outlook:
    """A forecast with the phases that it is about."""

    forecast: Forecast
    phases: tuple[Phase, ...]
    strategy: Strategy


def look_ahead(recipe: Recipe, *, data: Data | None = None) -> Outlook:
    """Read the data, make the model and say what would be trained.

    Raises:
        UsageError: Parts do not fit. DataError: Data is unfit or leaks. MissingError: Weights or a package are absent.
    """
    with naming_folders(recipe):
        built = build(recipe, data=data)
    shared = share_out(recipe, built.data)
    *folds, (_, parts) = shared.rounds()
    built.model.head.settle([example.target for example in parts["train"]])
    phases, network = tuple(built.strategy.phases(built.model)), counted(built.model, parts["train"])
    n = {name: len(examples) for name, examples in parts.items()}
    coming = stages_ahead(built.model, phases)
    replayed = [_replayed(recipe, built, coming, number) for number in range(len(phases))]
    found = tuple(
        _phase(recipe, built.model, *each, network, examples=n["train"]) for each in zip(phases, replayed, strict=True)
    )
    whole = max(1, network.epoch(built.model.weights(), is_stored=False))
    stored = [phase for phase, each in zip(phases, found, strict=True) if each.replayed]
    passing = max((network.frozen(_names(built.model, phase)) for phase in stored), default=0)
    forecast = Forecast(
        name=recipe.name,
        backbone=recipe.backbone.use,
        strategy=recipe.strategy.use,
        parameters=sum(weight.numel() for weight in built.model.weights().values()),
        n=n,
        folds=len(folds),
        phases=found,
        passing=passing / whole,
        total=sum(each.epochs * each.cost for each in found) + passing / whole,
        warnings=tuple(scattered(built.model, phases, lambda: network, is_stored=not _live_by(recipe, built.data))),
    )
    return Outlook(forecast, phases, built.strategy)


def warnings_of(recipe: Recipe, built: Built, examples: Sequence[Any]) -> list[str]:
    """What a run should say before it begins; an example is counted only where there is something to say."""

    @lru_cache
    def network() -> Network:
        return counted(built.model, examples)

    phases = built.strategy.phases(built.model)
    return list(scattered(built.model, phases, network, is_stored=not _live_by(recipe, built.data)))


def counted(model: Model, examples: Sequence[Any]) -> Network:
    """The layers with the operations of an example of median size."""
    sizes = model.backbone.sizes([example.input for example in examples]) or [1] * len(examples)
    order = sorted(range(len(examples)), key=lambda index: sizes[index])
    return measured(model, examples[order[len(order) // 2]])


def _phase(
    recipe: Recipe, model: Model, phase: Phase, replay: tuple[str, str], network: Network, *, examples: int
) -> PhaseForecast:
    names, (replayed, why) = _names(model, phase), replay
    weights = model.weights()
    trainable = sum(weights[name].numel() for name in names)
    steps = batch_count(examples, recipe.train.batch_size) * phase.epochs
    whole = max(1, network.epoch(weights, is_stored=False))
    owners = {model.owner[name] for name in names}
    return PhaseForecast(
        name=phase.name,
        epochs=phase.epochs,
        steps=min(steps, phase.steps or steps) if phase.groups else 0,
        trains=tuple(owner for owner in (HEAD, *reversed(model.stage_names)) if owner in owners),
        trainable=trainable,
        share=trainable / max(1, sum(weight.numel() for weight in weights.values())),
        rates=tuple(sorted({min(g.lr for g in phase.groups), max(g.lr for g in phase.groups)})) if phase.groups else (),
        replayed=replayed,
        why=why,
        cost=network.epoch(names, is_stored=bool(replayed)) / whole,
    )


def _replayed(recipe: Recipe, built: Built, coming: Sequence[Ahead], number: int) -> tuple[str, str]:
    """What a phase replays, or why nothing.

    Whether replaying is exact in this network the run proves before it does it, and with `train.store: auto` it measures
    whether reading the values takes less time than computing them.
    """
    model, boundary = built.model, coming[number].boundary
    if not boundary:
        return "", f"{next(iter(model.stage_names), HEAD)} trains"
    if why := _live_by(recipe, built.data, is_whole=boundary == HEAD):
        return "", why
    views = recipe.train.views if built.data.augments else 0
    is_there = any(coming[at].boundary and boundary in boundaries(model, coming[at:]) for at in range(number))
    if boundary != HEAD and not is_there and boundaries(model, coming[number:])[boundary] <= max(1, views):
        return "", "each value would be used once only"
    return (", ".join(model.head.stored_ports) if boundary == HEAD else f"after {boundary}"), ""


def _live_by(recipe: Recipe, data: Data, *, is_whole: bool = False) -> str:
    """Why nothing is stored whatever the epochs; "" = something may be. `is_whole`: of a backbone that is frozen in whole."""
    if recipe.train.store == "off":
        return "train.store is off"
    if recipe.train.mix != "none":
        return "train.mix makes new inputs in every step"
    return "augmentation, and train.views is 0" if data.augments and not recipe.train.views and not is_whole else ""


def _names(model: Model, phase: Phase) -> list[str]:
    return [name for group in model.select(phase.groups) for name in group]
