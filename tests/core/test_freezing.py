"""Freezing is effective: real optimiser steps move what trains and not one byte of anything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from headstart.freezing import is_backbone_frozen, set_modes, train_only
from headstart.model import Model

TEXTS = ("warm funny film", "dull cold story", "clever moving score", "grey boring plot actor")
TARGETS = ("good", "bad", "good", "bad")


def select(model: Model, *owners: str) -> list[str]:
    return [name for name in model.weights() if model.owner[name] in owners]


def steps(model: Model, count: int = 3) -> set[str]:
    """Names of the tensors that change in a few steps of SGD with momentum and weight decay on everything trainable."""
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    weights = [weight for weight in model.weights().values() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(count):
        optimizer.zero_grad()
        sum(model.head.loss(model(model.backbone.prepare(TEXTS)), TARGETS).values()).backward()
        optimizer.step()
    return {name for name, tensor in model.state().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("owners", [("head",), ("head", "block.2"), ("block.1",), ("head", "block.2", "block.1", "embedding")])
def test_steps_move_what_trains_with_its_statistics_and_nothing_else(make_tiny: Callable[..., Model], owners) -> None:
    model = make_tiny()
    chosen = select(model, *owners)
    train_only(model, chosen)
    moved = steps(model)
    buffers = {name for name in model.state() if ".norm." in name and name not in model.weights()}
    assert moved == set(chosen) | {name for name in buffers if model.owner[name] in owners}


def test_what_trained_before_gets_no_momentum_and_no_decay_once_frozen(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    train_only(model, model.weights())
    optimizer = torch.optim.SGD(model.weights().values(), lr=0.1, momentum=0.9, weight_decay=0.1)
    sum(model.head.loss(model(model.backbone.prepare(TEXTS)), TARGETS).values()).backward()
    optimizer.step()
    train_only(model, select(model, "head"))
    frozen = {name: model.weights()[name].detach().clone() for name in select(model, "embedding", "block.1", "block.2")}
    assert all(model.weights()[name].grad is None for name in frozen)
    optimizer.step()  # even an old optimizer that still knows them finds nothing to do
    assert steps(model).isdisjoint(frozen)
    assert all(torch.equal(model.weights()[name], weight) for name, weight in frozen.items())


def test_a_module_trains_where_one_of_its_parameters_does(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    train_only(model, [*select(model, "head"), "backbone.block2.linear.bias"])
    network = model.backbone.network
    modes = {name: module.training for name, module in network.named_modules()}
    assert modes["block2"]
    assert modes["block2.linear"]
    assert modes["block2.dropout"]  # without parameters: as the block around it
    assert not modes["block2.norm"]  # its own weights are frozen, so its statistics stand still
    assert not any(modes[name] for name in ("embedding", "drop", "block1", "block1.norm", "block1.dropout"))


@pytest.mark.parametrize(("owners", "is_active"), [(("block.2",), False), (("block.1",), True), (("embedding",), False)])
def test_a_dropout_without_parameters_follows_the_stage_that_names_it(make_tiny, owners, is_active) -> None:
    model = make_tiny()
    train_only(model, select(model, *owners))
    assert model.backbone.network.drop.training is is_active


def test_dropout_is_inactive_in_a_frozen_backbone_and_active_in_a_training_one(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny(dropout=0.5)
    batch = model.backbone.prepare(TEXTS)

    def two_passes() -> list[torch.Tensor]:
        with torch.no_grad():
            return [model(batch)["pooled"] for _ in range(2)]

    train_only(model, select(model, "head"))
    assert torch.equal(*two_passes())
    train_only(model, select(model, "head", "block.2"))
    assert not torch.equal(*two_passes())


def test_modes_come_back_after_an_evaluation(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    train_only(model, select(model, "head", "block.2"))
    before = {name: module.training for name, module in model.backbone.network.named_modules()}
    model.eval()
    set_modes(model)
    assert {name: module.training for name, module in model.backbone.network.named_modules()} == before
    assert model.head.training


def test_batchnorm_without_weights_stands_still_in_a_frozen_stage(make_tiny: Callable[..., Model]) -> None:
    from headstart.stages import Stage

    backbone, head = make_tiny().backbone, make_tiny().head
    backbone.network.block1.norm = nn.BatchNorm1d(8, affine=False)
    backbone.network.drop = nn.BatchNorm1d(8, affine=False)  # a stage's own module, directly under the root
    backbone.stages = (
        Stage("embedding", ("embedding",)), Stage("block.1", ("drop", "block1")), Stage("block.2", ("block2",))
    )  # fmt: skip
    model = Model(backbone, head)
    train_only(model, select(model, "block.2"))
    assert not any("drop." in name or "block1." in name for name in steps(model))
    train_only(model, select(model, "block.1"))
    assert {"backbone.drop.running_mean", "backbone.block1.norm.running_mean"} <= steps(model)


def test_a_backbone_is_frozen_only_if_nothing_of_it_trains(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    train_only(model, select(model, "head"))
    assert is_backbone_frozen(model)
    train_only(model, ["backbone.block1.norm.bias"])
    assert not is_backbone_frozen(model)
