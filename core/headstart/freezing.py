"""Freezing: no gradient, no optimizer, and evaluation mode down to the last BatchNorm and dropout."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.model import Model


def train_only(model: Model, names: Iterable[str]) -> None:
    """Make exactly the named parameters trainable and set every module's mode to match."""
    trainable = set(names)
    for name, weight in model.weights().items():
        weight.requires_grad_(name in trainable)
        if name not in trainable:
            weight.grad = None
    set_modes(model)


def set_modes(model: Model) -> None:
    """Training mode exactly where something trains; call again after every evaluation.

    A module with parameters is in training mode only if one of them trains; a module without any (dropout) follows its
    parent, or its stage where a stage names it.
    """
    _follow(model.backbone.network, parent_trains=False)
    _follow(model.head, parent_trains=False)
    trains = {model.owner[name] for name, weight in model.weights().items() if weight.requires_grad}
    for stage in model.backbone.stages:
        for module in (model.backbone.network.get_submodule(path) for path in stage.modules):
            if not any(True for _ in module.parameters()):
                module.train(stage.name in trains)


def trains_batchnorm(model: Model) -> bool:
    """Whether a BatchNorm takes its statistics from the training batches; call after `train_only`."""
    modules = (*model.backbone.network.modules(), *model.head.modules())
    return any(isinstance(module, _BatchNorm) and module.training for module in modules)


def is_backbone_frozen(model: Model) -> bool:
    """Whether no parameter of the backbone trains."""
    return not any(weight.requires_grad for weight in model.backbone.network.parameters())


def _follow(module: nn.Module, *, parent_trains: bool) -> None:
    weights = list(module.parameters())
    trains = any(weight.requires_grad for weight in weights) if weights else parent_trains
    module.training = trains
    for child in module.children():
        _follow(child, parent_trains=trains)
