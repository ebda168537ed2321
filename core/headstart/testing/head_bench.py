"""The bench of heads: target, targets and features of a case, and the head built for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.example import Target
from headstart.head import Head
from headstart.testing.bench import Built, built, class_of, new_head
from headstart.testing.cases import BINARY, HeadCase
from headstart.testing.stand_ins import LENGTH, WIDTH
from headstart.testing.verdict import ContractError, NotApplicableError, UnbuildableError

COUNT = 8  # examples
TARGETS: Mapping[str, tuple[Target, Sequence[Any]]] = {
    "class": (BINARY, ["no", "yes"] * 4),
    "labels": (Target("labels", ("a", "b")), [("a",), ("b",), ("a", "b"), ()] * 2),
    "number": (Target("number"), [1.0, 2.5, -3.0, 4.0, 0.5, 7.0, 2.0, -1.0]),
}


@dataclass(frozen=True)
class Bench:
    """What a head is looked at with."""

    head: Head
    target: Target
    targets: Sequence[Any]
    ports: Mapping[str, int]
    features: Mapping[str, Tensor]

    def some(self, count: int) -> tuple[dict[str, Tensor], list[Any]]:
        """The first examples."""
        return {port: tensor[:count] for port, tensor in self.features.items()}, list(self.targets[:count])


@lru_cache(maxsize=1)
def bench_of(case: HeadCase) -> Bench:
    """The case's target, targets and features, and a head that has settled on them and, where it learns so, was fitted.

    Raises:
        ContractError: It cannot be built.
    """
    target, targets = _target(case)
    if case.backbone is not None:
        met = built(case.backbone)
        targets = list(targets)[: len(met.inputs)]
        features = _validated(met)
        head = ready_head(case, target, targets, met.backbone.ports, features)
        return Bench(head, target, targets, met.backbone.ports, features)
    head_class = class_of(case)
    ports = dict(case.ports or {port: 1 if port == "mask" else WIDTH for port in (*head_class.needs, "pooled")})
    features = (
        dict(case.features()) if case.features else {port: _random(port, width, len(targets)) for port, width in ports.items()}
    )
    return Bench(ready_head(case, target, targets, ports, features), target, targets, ports, features)


def _validated(met: Built) -> dict[str, Tensor]:
    """Features of the inputs as a run validates on them: with generators, for networks that hide some of what they read."""
    rngs = [np.random.default_rng(at) for at in range(len(met.inputs))]
    with torch.no_grad():
        return dict(met.backbone(met.backbone.prepare(met.inputs, rngs=rngs)))


def ready_head(
    case: HeadCase, target: Target, targets: Sequence[Any], ports: Mapping[str, int], features: Mapping[str, Tensor]
) -> Head:
    """A new head that has settled, and learnt where it learns in one go; in evaluation mode."""
    doing = "built"
    try:
        head = new_head(case, target, ports)
        doing = "joined to a network of these ports (`join`)"
        head.join(built(case.backbone).backbone if case.backbone else _Network(ports))
        doing = "told the targets (`settle`)"
        head.settle(targets)
        if not head.by_gradient:
            doing = "fitted"
            head.fit(features, targets)
    except ContractError:
        raise
    except Exception as error:
        raise UnbuildableError(
            f"{case.name} fails when it is {doing}: {type(error).__name__}: {error}",
            "give the case options, ports, a target and targets that belong together",
        ) from error
    return head.eval()


@dataclass
class _Network:
    """What a head may ask of the backbone that it meets."""

    ports: Mapping[str, int]

    def auxiliary(self, port: str) -> tuple[nn.Module, int] | None:
        """No layers of its own before an auxiliary classifier."""
        return None


def refused_or(case: HeadCase, doing: str, error: Exception, mend: str) -> None:
    """Pass an error of `headstart.errors`; any other breaks the contract."""
    if not isinstance(error, HeadstartError):
        raise ContractError(f"{doing} ends in {type(error).__name__}: {str(error)[:120]}", mend) from error


def _target(case: HeadCase) -> tuple[Target, Sequence[Any]]:
    if case.target is not None:
        given = case.targets or TARGETS.get(case.target.kind, (None, None))[1]
        if given is None:
            raise ContractError(f"the case has a target of kind '{case.target.kind}' and no targets", "give it `targets`")
        return case.target, given
    kind = next((kind for kind in class_of(case).kinds if kind in TARGETS), None)
    if kind is None:
        raise NotApplicableError(
            f"the kit has no targets of the kinds {class_of(case).kinds}: give the case target and targets"
        )
    return TARGETS[kind]


def _random(port: str, width: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if port == "mask":
        return (torch.arange(LENGTH)[None] < 1 + torch.arange(count)[:, None] % LENGTH).long()  # [B, L], ragged
    shape = (count, width) if port == "pooled" else (count, LENGTH, width)
    return torch.randn((count, width, 4, 4) if port.startswith(("map", "aux")) else shape, generator=generator)
