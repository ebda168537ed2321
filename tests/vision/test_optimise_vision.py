"""The quick copy of real networks: every BatchNorm that can be is folded, values stay, the worked example of the floor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from headstart.builtin.heads_neural import Linear
from headstart.device import Compute
from headstart.errors import MissingError
from headstart.example import Target
from headstart.floor import Network
from headstart.flops import count_flops
from headstart.model import Model
from headstart.optimise import optimised
from headstart.plugins import registry

# network, side of the pictures, BatchNorms, those that are folded: DenseNet's first of each layer stands before a convolution
NETWORKS = [
    ("efficientnet-lite0", 64, 49, 49),
    ("resnet18", 64, 20, 20),
    ("googlenet", 64, 57, 57),
    ("inception-v3", 96, 94, 94),
    ("mobilenet-v3-small", 64, 34, 34),
    ("densenet121", 64, 121, 59),
    ("vgg11-bn", 32, 8, 8),
]


def make(name: str, *, weights: str | None = "none", **options: Any) -> Any:
    torch.manual_seed(0)
    given = {} if weights is None else {"weights": weights}
    return registry().find("backbone", f"vision/{name}").load()(**given, **options).eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def warmed(backbone: Any, size: int) -> Any:
    """The backbone with statistics of its own in every BatchNorm, so that folding a wrong one would show."""
    for norm in (part for part in backbone.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)):
        norm.momentum = 0.5
    backbone.train()
    with torch.no_grad():
        for _ in range(3):
            backbone({"pixels": 2 * torch.randn(4, 3, size, size) + 1})
    return backbone.eval()


@pytest.mark.parametrize(("name", "size", "has", "folded"), NETWORKS)
def test_random_networks_are_folded_and_give_the_same(name: str, size: int, has: int, folded: int) -> None:
    backbone = warmed(make(name, size=size), size)
    batch = {"pixels": torch.randn(3, 3, size, size)}
    assert norms(backbone) == has
    quick = optimised(backbone, batch, compute=Compute(torch.device("cpu")), examples=100, may_compile=False)
    assert quick.steps == (f"{folded} BatchNorms folded", "channels-last")
    assert norms(quick.backbone) == has - folded
    assert norms(backbone) == has
    assert 0 < quick.difference < 1e-4
    seen: list[str] = []
    for stage in quick.backbone.stages:
        module = quick.backbone.network.get_submodule(stage.modules[-1])
        module.register_forward_hook(lambda *_, name=stage.name: seen.append(name))
    with torch.no_grad():
        plain, copy = backbone(batch), quick.backbone(quick.prepare_batch(batch))
    assert seen == [stage.name for stage in backbone.stages]
    for port, value in plain.items():
        assert torch.allclose(copy[port], value, atol=1e-4 * float(value.abs().max())), port


def test_the_pretrained_network_is_folded_and_the_original_still_trains() -> None:
    try:
        backbone = make("efficientnet-lite0", weights=None)
    except MissingError as error:
        pytest.skip(f"needs the package with the weights: {error}")
    batch = {"pixels": torch.randn(2, 3, 224, 224)}
    quick = optimised(backbone, batch, compute=Compute(torch.device("cpu")), examples=100, may_compile=False)
    assert quick.steps == ("49 BatchNorms folded", "channels-last")
    assert 0 < quick.difference < 2e-5
    backbone({"pixels": batch["pixels"][:, :, :64, :64]})["pooled"].sum().backward()
    assert all(weight.grad is not None for weight in backbone.network.parameters())
    assert not any(weight.requires_grad for weight in quick.backbone.parameters())


def test_a_vision_transformer_runs_as_it_is() -> None:
    backbone = make("timm", model="vit_tiny_patch16_224")
    batch = {"pixels": torch.randn(1, 3, 224, 224)}
    assert (
        optimised(backbone, batch, compute=Compute(torch.device("cpu")), examples=100, may_compile=False).backbone is backbone
    )


def test_full_fine_tuning_of_resnet18_takes_2935_forward_passes_in_a_thousand() -> None:
    """The worked example: 224 px, 2.935 F, the missing 0.065 F being the input gradient of the first convolution."""
    backbone = make("resnet18")
    model = Model(backbone, Linear(backbone.ports, Target("class", ("ant", "bee")))).eval()
    layers = count_flops(model, {"pixels": torch.randn(1, 3, 224, 224)}, units=1)
    network = Network(model.stage_names, layers)
    forward = network.forward()
    assert forward == pytest.approx(3.627e9, rel=1e-3)
    assert (forward + network.backward(set(model.weights()))) / forward == pytest.approx(2.935, abs=5e-4)
    norms_only = {name for name in model.weights() if ".bn" in name or "downsample.1" in name}
    assert (forward + network.backward(norms_only)) / forward == pytest.approx(1.93, abs=0.01)
