"""DenseNet: every layer reads all before it in its block; Huang et al. 2016."""

from __future__ import annotations

import re
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
"""torchvision's files were written when names could hold dots: norm.1 became norm1."""


class DenseNet(Classic):
    """A DenseNet of torchvision without its last layer; a stage is a dense block with the transition after it."""

    def _cut(self) -> tuple[int, int]:
        width = self.network.classifier.in_features
        self.network.classifier = nn.Identity()
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        stem = Stage("stem", tuple(f"features.{name}" for name in ("conv0", "norm0", "relu0", "pool0")))
        after = ("transition1", "transition2", "transition3", "norm5")
        blocks = [Stage(f"block{i}", (f"features.denseblock{i}", f"features.{end}")) for i, end in enumerate(after, start=1)]
        return (stem, *blocks)

    def _map(self, pixels: Tensor) -> Tensor:
        return F.relu(self.network.features(pixels))

    def _renamed(self, tensors: dict[str, Any]) -> dict[str, Any]:
        return {OLD_NAME.sub(r"\1\2.", name): tensor for name, tensor in tensors.items()}


class DenseNet121(DenseNet):
    arch = "densenet121"


class DenseNet161(DenseNet):
    arch = "densenet161"


class DenseNet169(DenseNet):
    arch = "densenet169"


class DenseNet201(DenseNet):
    arch = "densenet201"
