"""Residual networks: ResNet (He et al. 2015), wide ResNet (Zagoruyko & Komodakis 2016), ResNeXt (Xie et al. 2017)."""

from __future__ import annotations

from torch import Tensor, nn

from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic


class ResNet(Classic):
    """A residual network of torchvision without its last layer."""

    classifier = ("fc.",)

    def _cut(self) -> tuple[int, int]:
        width = self.network.fc.in_features
        self.network.fc = nn.Identity()
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        layers = tuple(Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4"))
        return (Stage("stem", ("conv1", "bn1", "relu", "maxpool")), *layers)

    def _map(self, pixels: Tensor) -> Tensor:
        return self._walk(pixels)


class ResNet18(ResNet):
    arch = "resnet18"


class ResNet34(ResNet):
    arch = "resnet34"


class ResNet50(ResNet):
    arch = "resnet50"


class ResNet101(ResNet):
    arch = "resnet101"


class ResNet152(ResNet):
    arch = "resnet152"


class ResNeXt50x32x4d(ResNet):
    arch = "resnext50_32x4d"


class ResNeXt101x32x8d(ResNet):
    arch = "resnext101_32x8d"


class ResNeXt101x64x4d(ResNet):
    arch = "resnext101_64x4d"


class WideResNet50(ResNet):
    arch = "wide_resnet50_2"


class WideResNet101(ResNet):
    arch = "wide_resnet101_2"
