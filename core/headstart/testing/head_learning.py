"""Checks of how a head learns: losses finite on whatever batch may come, refusals in words, a gradient that arrives."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from headstart.builtin.strategies import Probe
from headstart.errors import HeadstartError
from headstart.head import Head
from headstart.model import Model
from headstart.testing.bench import class_of, new_head, seed_for, trained
from headstart.testing.cases import HeadCase
from headstart.testing.head_bench import bench_of, ready_head, refused_or
from headstart.testing.stand_ins import SmallBackbone, vectors
from headstart.testing.verdict import ContractError, NotApplicableError, demand


def can_be_built(case: HeadCase) -> None:
    """The class builds for the case's ports and target, settles on the targets and, where it learns so, fits."""
    head = bench_of(case).head
    demand(isinstance(head, Head), f"it is a {type(head).__name__}", "subclass headstart.Head")


def kinds_and_ports_are_declared(case: HeadCase) -> None:
    """`kinds` and `needs` are tuples of names, and a network that lacks a port is refused by a UsageError."""
    head_class, bench = class_of(case), bench_of(case)
    for name in ("kinds", "needs"):
        value = getattr(head_class, name, None)
        is_tuple = isinstance(value, tuple) and bool(value) and all(isinstance(each, str) for each in value)
        demand(is_tuple, f"`{name}` is {value!r}", f"set the class attribute: {name} = (...,) of names")
    demand(bench.target.kind in head_class.kinds, f"`kinds` lacks '{bench.target.kind}'", "name every kind that it learns")
    try:
        new_head(case, bench.target, {"another-port": 8})
    except HeadstartError:
        return
    except Exception as error:
        refused_or(case, "a network without its ports", error, "call super().__init__(ports, target) first")
    raise ContractError("a network without its ports is accepted", "call super().__init__(ports, target) first")


def loss_is_finite(case: HeadCase) -> None:
    """The losses are named scalars, finite on an ordinary batch."""
    _finite_losses(_by_gradient(case), *bench_of(case).some(8), "an ordinary batch")


def loss_is_finite_on_one_example(case: HeadCase) -> None:
    """A last batch of one example has a finite loss too."""
    head = _by_gradient(case)
    for at in range(len(bench_of(case).targets)):
        features = {port: tensor[at : at + 1] for port, tensor in bench_of(case).features.items()}
        _finite_losses(head, features, [bench_of(case).targets[at]], "a batch of one example")


def loss_is_finite_on_equal_targets(case: HeadCase) -> None:
    """Where all training targets are equal (one class, one number) the head still has a finite loss."""
    bench = bench_of(case)
    _by_gradient(case)
    equal = [bench.targets[0]] * len(bench.targets)
    try:
        head = ready_head(case, bench.target, equal, bench.ports, bench.features).train()
    except ContractError as error:
        if isinstance(error.__cause__, HeadstartError):
            return
        raise
    with seed_for():
        _finite_losses(head, bench.features, equal, "a batch of equal targets")


def missing_targets_are_left_out_or_refused(case: HeadCase) -> None:
    """A target None (nobody knows) gives a finite loss, or an error of `headstart.errors`; never NaN."""
    bench = bench_of(case)
    head = _by_gradient(case)
    targets = [None, *bench.targets[1:]]
    try:
        with seed_for():
            losses = head.loss(bench.features, targets)
    except Exception as error:
        refused_or(
            case, "a target None", error, "raise headstart.errors.DataError that says which target is missing, or mask it"
        )
        return
    total = sum(float(value.detach()) for value in losses.values())
    demand(math.isfinite(total), f"a target None makes the loss {total}", "leave examples without a target out of the mean")


def unknown_targets_are_refused(case: HeadCase) -> None:
    """A label that the target has not is refused by an error of `headstart.errors`, not learnt as another."""
    bench = bench_of(case)
    if bench.target.kind not in ("class", "labels"):
        raise NotApplicableError("only targets of the kinds class and labels have a fixed list")
    head = _by_gradient(case)
    strange: Any = "never-seen" if bench.target.kind == "class" else ("never-seen",)
    try:
        head.loss(bench.features, [strange, *bench.targets[1:]])
    except Exception as error:
        refused_or(
            case, "a label that is not in the target", error, "look it up with an error that names the label and the known"
        )
        return
    raise ContractError("a label that is not in the target is accepted", "look it up and raise headstart.errors.DataError")


def loss_gives_the_backbone_a_gradient(case: HeadCase) -> None:
    """The gradient of the loss reaches the features and every parameter that the loss uses."""
    head, bench = _by_gradient(case), bench_of(case)
    features = {
        port: tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor
        for port, tensor in bench.features.items()
    }
    with seed_for():
        total = torch.stack(list(head.loss(features, bench.targets).values())).sum()
    demand(total.requires_grad, "the loss has no gradient", "compute it with torch, without detach or item()")
    total.backward()  # type: ignore[no-untyped-call]  # torch's
    reached = [port for port in head.needs if (grad := features[port].grad) is not None and bool(grad.any())]
    demand(bool(reached), "no gradient reaches the features", "do not detach them: a strategy may train the backbone")
    demand(any(weight.grad is not None for weight in head.parameters()), "no parameter of the head gets a gradient", "use them")


def learning_lowers_the_loss(case: HeadCase) -> None:
    """A hundred steps on eight examples lower the loss."""
    head, bench = copy.deepcopy(_by_gradient(case)), bench_of(case)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.02)
    values = []
    with seed_for():
        for _ in range(100):
            optimizer.zero_grad()
            total = torch.stack(list(head.loss(bench.features, bench.targets).values())).sum()
            total.backward()  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()
            values.append(float(total.detach()))
    demand(
        values[-1] < values[0], f"100 steps take the loss from {values[0]:.3g} to {values[-1]:.3g}", "check sign and targets"
    )


def trains_on_the_kits_backbone(case: HeadCase) -> None:
    """On a small backbone that is not its own, under the core's strategy `probe`, a whole training runs."""
    bench = bench_of(case)
    if (
        case.features is not None
        or case.backbone is not None
        or any(width != bench.ports["pooled"] for port, width in bench.ports.items() if port != "mask")
    ):
        raise NotApplicableError("its features are of a form that only its own backbone gives")
    backbone = SmallBackbone(ports=tuple(dict.fromkeys((*bench.head.needs, *bench.head.training_ports))))
    head = new_head(case, bench.target, backbone.ports)
    head.join(backbone)
    inputs, targets = vectors(16), [*bench.targets, *bench.targets][:16]
    try:
        trained(Model(backbone, head), Probe(epochs=1), inputs, targets, bench.target)
    except HeadstartError as error:
        raise ContractError(f"a training on the kit's backbone fails: {error}", "see the other checks") from error


def _by_gradient(case: HeadCase) -> Head:
    head = bench_of(case).head
    if not head.by_gradient:
        raise NotApplicableError("it learns in one go")
    return copy.deepcopy(head).train()


def _finite_losses(head: Head, features: Mapping[str, Tensor], targets: Sequence[Any], what: str) -> None:
    with seed_for():
        losses = head.loss(features, targets)
    demand(bool(losses), f"`loss` gives nothing on {what}", "give at least one named loss")
    for name, value in losses.items():
        demand(isinstance(value, Tensor) and value.ndim == 0, f"the loss '{name}' is no scalar tensor", "take the mean")
        demand(
            math.isfinite(float(value.detach())),
            f"the loss '{name}' is {float(value.detach())} on {what}",
            "look for a spread, count or logarithm of zero: a variance over one example is NaN",
        )


CHECKS = (
    can_be_built,
    kinds_and_ports_are_declared,
    loss_is_finite,
    loss_is_finite_on_one_example,
    loss_is_finite_on_equal_targets,
    missing_targets_are_left_out_or_refused,
    unknown_targets_are_refused,
    loss_gives_the_backbone_a_gradient,
    learning_lowers_the_loss,
    trains_on_the_kits_backbone,
)
