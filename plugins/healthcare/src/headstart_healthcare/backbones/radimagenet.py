"""Networks trained on 1.35 million slices of CT, MR and ultrasound by RadImageNet (Mei et al. 2022), from local files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import models

from headstart.place import Place
from headstart_healthcare.backbones import local_weights
from headstart_healthcare.backbones.local_weights import find_local
from headstart_vision.backbones.classic import Classic
from headstart_vision.backbones.dense import DenseNet121
from headstart_vision.backbones.inception import InceptionV3
from headstart_vision.backbones.residual import ResNet50
from headstart_vision.expectation import Expectation
from headstart_vision.variants import Found, saved_expectation

FACTS = {
    "licence": "MIT (the repository)",
    "trained_on": "RadImageNet: 1.35 M slices of CT, MR and ultrasound (Mei et al. 2022)",
}
EXPECTS = Expectation(size=224, resize=224, mean=(0.5,) * 3, std=(0.5,) * 3)
"""Their pytorch_example.ipynb: (x - 127.5) * 2 / 255 at 224 x 224. They squeeze a picture into the square; here its middle is
cut out, which keeps what is round."""

PREFIX = "backbone."
"""Their files name the parts of torchvision's network by number: backbone.4.0.conv1.weight is layer1.0.conv1.weight."""


class _RadImageNet(Classic):
    """One of RadImageNet's networks without its classifier.

    Args:
        weights: The published file, a .safetensors of it, or `package:DISTRIBUTION/FILE`; "none" = random weights. Published as
            RadImageNet_pytorch.zip by https://github.com/BMEII-AI/RadImageNet.
        sha256: Of that file, or the first digits of it; "" = not checked.
        channels: Of the pictures, >= 1. With 1 the weights are folded: the output is that of the grey value repeated.
        size: Side of the square that the network sees, in pixels; null = 224.
    """

    def __init__(self, *, weights: Place, sha256: str = "", channels: int = 1, size: int | None = None) -> None:
        find_local(weights, sha256)
        super().__init__(weights=weights, channels=channels, size=size)

    def _find(self, place: str) -> Found:
        file, card = find_local(place, **FACTS)
        return Found(file, (saved_expectation(file) if file else None) or EXPECTS, card)

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return super()._renamed(_by_name(self.arch, tensors))

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The saved network, which the run's manifest vouches for."""
        return local_weights.saved_options(folder, options)


class RadImageNetResNet50(_RadImageNet, ResNet50):
    """RadImageNet's ResNet-50 (ResNet50.pt) without its classifier."""


class RadImageNetDenseNet121(_RadImageNet, DenseNet121):
    """RadImageNet's DenseNet-121 (DenseNet121.pt) without its classifier."""


class RadImageNetInceptionV3(_RadImageNet, InceptionV3):
    """RadImageNet's Inception v3 (InceptionV3.pt) without its classifier, at 224 x 224 as they trained it."""

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "aux1")


def _by_name(arch: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of numbered parts under the names of the parts."""
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if arch == "inception_v3" else {}
    with torch.device("meta"):
        parts = [name for name, _ in models.get_model(arch, weights=None, **options).named_children()]
    named = {}
    for name, tensor in tensors.items():
        number, _, rest = name.removeprefix(PREFIX).partition(".")
        is_numbered = name.startswith(PREFIX) and number.isdigit() and int(number) < len(parts)
        named[f"{parts[int(number)]}.{rest}" if is_numbered else name] = tensor
    return named
