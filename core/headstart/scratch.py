"""Scratch: a pretrained backbone becomes one of the same architecture with random weights, as before any training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from headstart.backbone import Backbone, WeightsCard
from headstart.errors import UsageError

RESETS = ("reset_parameters", "_reset_parameters")  # torch's own names for it; attention has the underscored one


def forget(backbone: Backbone) -> None:
    """Make every parameter and buffer of the network random or neutral, as its architecture begins.

    The backbone's own constructor knows best (a ViT draws its positions from another distribution than its linear layers);
    where no option of it gives random weights, each module is reset by its own method. Random numbers are torch's global
    ones: seed them before.

    Raises:
        UsageError: A parameter can be made random in neither way.
    """
    options = backbone.untrained()
    if options is None:
        _reset(backbone.network)
    else:
        _take(backbone.network, type(backbone)(**options).network)
    source = f"none (trained from scratch; the architecture of {backbone.card.source})"
    backbone.card = WeightsCard(source=source, licence="none", expects=backbone.card.expects)


@torch.no_grad()
def _take(network: nn.Module, fresh: nn.Module) -> None:
    own, given = dict(_tensors(network)), dict(_tensors(fresh))
    differing = [name for name, tensor in own.items() if name not in given or given[name].shape != tensor.shape]
    if differing:
        raise UsageError(
            f"the network with random weights is another one: {len(differing)} tensors differ, {differing[0]} first"
        )
    for name, tensor in own.items():
        tensor.copy_(given[name])


@torch.no_grad()
def _reset(network: nn.Module) -> None:
    left = {name for name, _ in network.named_parameters()}
    for path, module in network.named_modules():
        reset = next((getattr(module, name) for name in RESETS if hasattr(module, name)), None)
        if reset is not None:
            reset()  # of a BatchNorm its statistics, too
            left -= {f"{path}.{name}".lstrip(".") for name, _ in module.named_parameters()}
    if left:
        raise UsageError(
            f"strategy 'scratch' cannot make {len(left)} parameters of this backbone random ({min(left)} first): their modules "
            "have no reset_parameters; name weights that are random in the backbone's options and use strategy: full"
        )


def _tensors(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()
