"""Building: a recipe's parts, checked against each other and put together; nothing is trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from headstart.backbone import Backbone
from headstart.components import Kind
from headstart.data import Data
from headstart.errors import PluginError, UsageError, WeightsError
from headstart.example import Target
from headstart.fitting import ports_read
from headstart.head import Head
from headstart.model import Model
from headstart.order import seed_of
from headstart.phases import Phase
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart.strategy import Strategy
from headstart.supplying import refuse_absent

MOST_EPOCHS = 100_000  # of one phase; a larger number is a slip of the hand


@dataclass(frozen=True)
class Built:
    """The parts of a recipe, fitting together."""

    data: Data
    model: Model
    strategy: Strategy


def build(recipe: Recipe, *, data: Data | None = None) -> Built:
    """Make all parts of a recipe; `data` given is used in place of the recipe's.

    The three fit checks (modality, ports, kind of target) come before any weights are read.

    Raises:
        UsageError: Parts do not fit; the message says what would.
        DataError, WeightsError, PluginError: A part cannot be made.
    """
    refuse_absent(recipe, with_data=data is None)
    data = data or make_data(recipe.data)
    check_fit(recipe, data)
    strategy = make_strategy(recipe.strategy)
    model = make_model(recipe, data.target)
    prepare_model(recipe, strategy, model)
    check_phases(recipe, strategy.phases(model), model)
    return Built(data, model, strategy)


def make_data(part: Part) -> Data:
    """The data part; cheap, it reads nothing yet."""
    return cast(Data, part_class("data", part.use)(**part.options))


def make_strategy(part: Part) -> Strategy:
    """The strategy part."""
    return cast(Strategy, part_class("strategy", part.use)(**part.options))


def make_model(recipe: Recipe, target: Target, backbone_options: Mapping[str, Any] | None = None) -> Model:
    """Backbone and head; the seed is set before each, so that one's random draws never shift the other's."""
    if recipe.parent is not None:
        from headstart.parent import begin_from  # which makes models, too

        return begin_from(recipe, target)
    options = recipe.backbone.options if backbone_options is None else backbone_options
    with torch.random.fork_rng(devices=[]):  # loading a run must not change the caller's random numbers
        torch.manual_seed(seed_of("backbone", recipe.train.seed))
        backbone = cast(Backbone, part_class("backbone", recipe.backbone.use)(**options))
        backbone.made_with = dict(options)
        _check_finite(backbone)
        torch.manual_seed(seed_of("head", recipe.train.seed))
        head = cast(Head, part_class("head", recipe.head.use)(backbone.ports, target, **recipe.head.options))
        head.join(backbone)
    backbone.want((*head.needs, *head.training_ports))
    return Model(backbone, head)


def _check_finite(backbone: Backbone) -> None:
    """Refuse weights that would make features NaN; parameters only, as a buffer may hold minus infinity for a mask."""
    for name, weight in backbone.network.named_parameters():
        if not weight.is_meta and not torch.isfinite(weight).all():
            raise WeightsError(
                f"{backbone.card.source}: the weights hold values that are not finite, first in '{name}'; fetch them again"
            )


def prepare_model(recipe: Recipe, strategy: Strategy, model: Model) -> None:
    """Let the strategy change the model, with random numbers of the recipe's seed and leaving the caller's as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("strategy", recipe.train.seed))
        strategy.prepare(model)
    model.find_owners()


def part_class(kind: Kind, name: str) -> Any:
    """Import the class behind a registered name.

    Raises:
        UsageError: No such name. PluginError: Its plugin is broken or the class cannot be imported.
    """
    component = registry().find(kind, name)
    try:
        return component.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"the {kind} '{name}' ({component.target}) cannot be imported: {error}") from error


def check_fit(recipe: Recipe, data: Data) -> None:
    """Compare modality, ports and kind of target of the real classes.

    Raises:
        UsageError: All that does not fit, in one message.
    """
    backbone: type[Backbone] = part_class("backbone", recipe.backbone.use)
    head: type[Head] = part_class("head", recipe.head.use)
    faults = []
    if data.modality != backbone.modality:
        faults.append(
            f"data '{recipe.data.use}' gives {data.modality}, backbone '{recipe.backbone.use}' reads {backbone.modality}"
        )
    missing = [port for port in ports_read(head.needs, recipe.head.options) if port not in backbone.port_names]
    if missing:
        faults.append(
            f"head '{recipe.head.use}' needs ports {missing}, '{recipe.backbone.use}' has {list(backbone.port_names)}"
        )
    if data.target.kind not in head.kinds:
        fitting = ", ".join(heads_for(data.target.kind)) or "none installed"
        faults.append(f"head '{recipe.head.use}' does not learn targets of kind '{data.target.kind}'; heads that do: {fitting}")
    if faults:
        raise UsageError("; ".join(faults))


def check_phases(recipe: Recipe, phases: Sequence[Phase], model: Model) -> None:
    """Refuse phases that cannot be carried out, before anything is written.

    Raises:
        UsageError: There is none, two share a name, one is too short or too long, trains nothing or selects what there is not,
            or the head learns in one go and cannot pass a gradient on.
    """
    by_gradient = model.head.by_gradient
    who = f"strategy '{recipe.strategy.use}'"
    if not by_gradient and any(phase.groups for phase in phases):
        raise UsageError(
            f"head '{recipe.head.use}' learns in one go on a frozen backbone, so {who} cannot train through it; "
            "use strategy: probe, or a head that is trained by gradient"
        )
    names = [phase.name for phase in phases]
    faults = [f"{who} has no phases"] if not phases else []
    faults += [f"{who} has two phases named '{name}'" for name in dict.fromkeys(names) if names.count(name) > 1]
    faults += [f"phase '{phase.name}' has {phase.epochs} epochs; 1 or more" for phase in phases if phase.epochs < 1]
    faults += [
        f"phase '{phase.name}' has {phase.epochs} epochs; at most {MOST_EPOCHS:,}"
        for phase in phases
        if phase.epochs > MOST_EPOCHS
    ]
    faults += [f"phase '{p.name}' has {p.steps} steps; 1 or more" for p in phases if p.steps is not None and p.steps < 1]
    faults += [f"phase '{phase.name}' trains nothing" for phase in phases if by_gradient and not phase.groups]
    faults += [f"phase '{phase.name}': {fault}" for phase in phases for fault in _selecting_fault(phase, model)]
    if faults:
        raise UsageError("; ".join(faults))


def _selecting_fault(phase: Phase, model: Model) -> list[str]:
    try:
        model.select(phase.groups)
    except UsageError as error:
        return [str(error)]
    return []


def heads_for(kind: str) -> list[str]:
    """Names of registered heads that learn a kind of target; a head that cannot be imported is passed over."""
    fitting = []
    for name in registry().names("head"):
        try:
            if kind in part_class("head", name).kinds:
                fitting.append(name)
        except (PluginError, UsageError):
            continue
    return fitting
