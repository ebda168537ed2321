"""The bench: parts built for the checks, once per case where a check only looks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from headstart.backbone import Backbone
from headstart.build import part_class
from headstart.components import Kind
from headstart.device import Compute
from headstart.errors import HeadstartError
from headstart.example import Target
from headstart.features import RAGGED_PORTS, Features
from headstart.feed import LiveFeed
from headstart.feeds import Feeds
from headstart.head import Head
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.recipe import TrainPlan
from headstart.strategy import Strategy
from headstart.testing.cases import BackboneCase, Case, HeadCase, StrategyCase
from headstart.testing.guards import without_network
from headstart.testing.samples import samples, smallest
from headstart.testing.stand_ins import InMemory, Reader
from headstart.testing.verdict import ContractError, NotApplicableError, UnbuildableError
from headstart.training import train

CPU = Compute(torch.device("cpu"))
SEED = 7


@dataclass(frozen=True)
class Built:
    """A backbone in evaluation mode, to look at only, and what it makes of its inputs.

    Attributes:
        asked: Addresses that it asked the network for while it was built and prepared.
    """

    backbone: Backbone
    inputs: Sequence[Any]
    batch: Mapping[str, Tensor]
    features: Features
    asked: Sequence[str]


def class_of(case: Case) -> Any:
    """The class of a case's part.

    Raises:
        ContractError: It is not registered, or cannot be imported.
    """
    if not isinstance(case.use, str):
        return case.use
    try:
        return part_class(cast(Kind, case.kind), case.use)
    except HeadstartError as error:
        raise ContractError(
            f"'{case.use}' cannot be had: {error}", "offer it in the plugin, with a target that imports"
        ) from error


def new_backbone(case: BackboneCase) -> Backbone:
    """The backbone built anew, from the kit's seed, without touching the caller's random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        backbone = cast(Backbone, class_of(case)(**case.options))
    backbone.made_with = dict(case.options)
    return backbone.eval()


def copied_backbone(case: BackboneCase) -> Backbone:
    """A copy of the backbone, to train or to change."""
    return copy.deepcopy(built(case).backbone)


@lru_cache(maxsize=1)
def built(case: BackboneCase) -> Built:
    """The backbone, its inputs prepared and its features; kept for the next check of the same case.

    Raises:
        ContractError: It cannot be built, prepare or run.
    """
    doing = "built with the case's options"
    with without_network() as asked:
        try:
            backbone = new_backbone(case)
            inputs = raw_inputs(case)
            doing = f"asked to prepare {len(inputs)} inputs"
            batch = backbone.prepare(inputs)
            doing = "run on what it prepared"
            with torch.no_grad():
                features = backbone(batch)
        except (ContractError, NotApplicableError):
            raise
        except Exception as error:
            reached = f" (it asked the network for {', '.join(asked)})" if asked else ""
            raise UnbuildableError(
                f"{case.name} fails when it is {doing}: {type(error).__name__}: {error}{reached}",
                "give the case options that work without the network (random weights, a small size) and inputs that it reads",
            ) from error
    return Built(backbone, inputs, batch, features, tuple(asked))


def raw_inputs(case: BackboneCase) -> list[Any]:
    """The raw inputs of a case, or the kit's samples."""
    return list(case.inputs()) if case.inputs else samples(class_of(case).modality)


def smallest_inputs(case: BackboneCase) -> list[Any]:
    """The smallest raw inputs of a case, or the kit's."""
    return list(case.smallest()) if case.smallest else smallest(class_of(case).modality)


def read_ports(backbone: Backbone) -> tuple[str, ...]:
    """Ports that are read behind the last stage, so that every boundary has to give them again."""
    return tuple(port for port in backbone.ports if port not in backbone.port_stages)


def replayed_ports(backbone: Backbone) -> tuple[str, ...]:
    """Those whose every value is stored with its example: padding of ragged ports is not, so it comes back as zeros."""
    whole = tuple(port for port in read_ports(backbone) if port not in RAGGED_PORTS)
    return whole or read_ports(backbone)


def live_model(backbone: Backbone, inputs: Sequence[Any], ports: Sequence[str] | None = None) -> tuple[Model, LiveFeed]:
    """The backbone under a head that reads its ports, or some of them, and a feed of the inputs."""
    model = Model(backbone, Reader(backbone.ports, replayed_ports(backbone) if ports is None else ports))
    data = InMemory(inputs, [float(at) for at in range(len(inputs))], Target("number"))
    return model, LiveFeed(model, data, data.examples(), CPU)


def new_head(case: HeadCase, target: Target, ports: Mapping[str, int]) -> Head:
    """The head built anew, from the kit's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return cast(Head, class_of(case)(ports, target, **case.options))


def new_strategy(case: StrategyCase) -> Strategy:
    """The strategy built anew."""
    return cast(Strategy, class_of(case)(**case.options))


def trained(model: Model, strategy: Strategy, inputs: Sequence[Any], targets: Sequence[Any], target: Target) -> Ledger:
    """Train on the inputs through the engine, a quarter of them for validation; the ledger holds its proof.

    Raises:
        FreezingError: A frozen tensor moved.
    """
    data = InMemory(inputs, targets, target)
    rows = data.examples()
    val = max(1, len(rows) // 4)
    plan = TrainPlan(batch_size=4, device="cpu", store="memory", compile="off", workers=0)
    training = Training(model, strategy, plan, CPU, lambda *_, **__: None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        strategy.prepare(model)
        model.find_owners()
        return train(training, Feeds(training, data, {"train": rows[val:], "val": rows[:val], "test": []}))


@contextmanager
def seed_for(seed: int = SEED) -> Iterator[None]:
    """Torch's global generator seeded inside, and as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
