"""MONAI's residual and dense networks on pictures; torchvision's weights fit them."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.stages import Stage
from headstart_healthcare.backbones.monai_networks import (
    DENSENET_STAGES,
    RESNET_STAGES,
    make_densenet,
    make_resnet,
)
from headstart_vision.backbones.dense import OLD_NAME
from headstart_vision.backbones.dense import DenseNet121 as TorchvisionDenseNet121
from headstart_vision.backbones.residual import ResNet
from headstart_vision.expectation import Expectation, check_size
from headstart_vision.variants import DEFAULT, Found, describe_file, saved_expectation
from headstart_vision.weights import NONE, find_file

DENSE_LAYER = re.compile(r"(denselayer\d+)\.((?:norm|conv)[12]\.)")
"""torchvision's denselayer1.norm1. is MONAI's denselayer1.layers.norm1."""

SMALLEST = 32  # five halvings leave one cell of the map


class _MonaiResNet(ResNet):
    """One of MONAI's residual networks in two dimensions, without its last layer."""

    def _build(self, size: int, *, is_random: bool) -> Any:
        return make_resnet(int(self.arch.removeprefix("resnet")), 2, 3)

    def _cut(self) -> tuple[int, int]:
        layer = self.network.layer4[-1]
        width = int((layer.bn3 if hasattr(layer, "bn3") else layer.bn2).num_features)
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        return RESNET_STAGES


class MonaiResNet10(_MonaiResNet):
    """MONAI's ResNet-10 in two dimensions: one block per layer; nobody has published weights of it for pictures."""

    arch = "resnet10"

    def _check_size(self, size: int | None) -> None:
        check_size(size, SMALLEST, self.arch)

    def _find(self, place: str) -> Found:
        usual = Expectation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        if place == NONE:
            return Found(None, usual, WeightsCard(source=NONE))
        if place == DEFAULT:
            raise WeightsError("weights: none are published for a ResNet-10 on pictures; write weights: none, or a file")
        file = find_file(place)
        return Found(file, saved_expectation(file) or usual, describe_file(file, place))


class MonaiResNet18(_MonaiResNet):
    arch = "resnet18"


class MonaiResNet34(_MonaiResNet):
    arch = "resnet34"


class MonaiResNet50(_MonaiResNet):
    arch = "resnet50"


class MonaiDenseNet121(TorchvisionDenseNet121):
    """MONAI's DenseNet-121 in two dimensions, without its last layer."""

    classifier = ("classifier.", "class_layers.")

    def _build(self, size: int, *, is_random: bool) -> Any:
        return make_densenet(2, 3)

    def _cut(self) -> tuple[int, int]:
        width = int(self.network.features.norm5.num_features)
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        return DENSENET_STAGES

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return monai_names(tensors)


def monai_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a dense network under MONAI's names, whoever wrote the file."""
    return {DENSE_LAYER.sub(r"\1.layers.\2", OLD_NAME.sub(r"\1\2.", name)): tensor for name, tensor in tensors.items()}
