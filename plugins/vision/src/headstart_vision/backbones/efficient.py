"""Inverted residuals: MobileNet v2 (Sandler 2018) and v3 (Howard 2019), EfficientNet (Tan & Le 2019) and v2 (2021)."""

from __future__ import annotations

from torch import Tensor

from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic


class InvertedResiduals(Classic):
    """A MobileNet or EfficientNet of torchvision without its last layer: a stem, blocks, and a wide 1x1 convolution on top."""

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "map.4", "map.5")
    _unit = "block"

    def _stages(self) -> tuple[Stage, ...]:
        last = len(self.network.features) - 1
        blocks = [Stage(f"{self._unit}{i}", (f"features.{i}",)) for i in range(1, last)]
        return (Stage("stem", ("features.0",)), *blocks, Stage("top", (f"features.{last}",)))


class MobileNetV2(InvertedResiduals):
    arch = "mobilenet_v2"


class MobileNetV3(InvertedResiduals):
    """A MobileNet v3 of torchvision without its last layer; the port "pooled" is its hidden layer behind the average."""

    classifier = ("classifier.3.",)

    def _cut(self) -> tuple[int, int]:
        hidden, _activation, _dropout, last = self.network.classifier
        self.network.classifier = self.network.classifier[:2]
        return last.in_features, hidden.in_features

    def _stages(self) -> tuple[Stage, ...]:
        return (*super()._stages(), Stage("hidden", ("classifier.0", "classifier.1")))

    def _pool(self, last_map: Tensor) -> Tensor:
        output: Tensor = self.network.classifier(super()._pool(last_map))
        return output


class MobileNetV3Small(MobileNetV3):
    arch = "mobilenet_v3_small"


class MobileNetV3Large(MobileNetV3):
    arch = "mobilenet_v3_large"


class EfficientNet(InvertedResiduals):
    """An EfficientNet of torchvision without its last layer; a stage is a run of blocks at one resolution and width."""

    _unit = "stage"


class EfficientNetB0(EfficientNet):
    arch = "efficientnet_b0"


class EfficientNetB1(EfficientNet):
    arch = "efficientnet_b1"


class EfficientNetB2(EfficientNet):
    arch = "efficientnet_b2"


class EfficientNetB3(EfficientNet):
    arch = "efficientnet_b3"


class EfficientNetB4(EfficientNet):
    arch = "efficientnet_b4"


class EfficientNetB5(EfficientNet):
    arch = "efficientnet_b5"


class EfficientNetB6(EfficientNet):
    arch = "efficientnet_b6"


class EfficientNetB7(EfficientNet):
    arch = "efficientnet_b7"


class EfficientNetV2S(EfficientNet):
    arch = "efficientnet_v2_s"


class EfficientNetV2M(EfficientNet):
    arch = "efficientnet_v2_m"


class EfficientNetV2L(EfficientNet):
    arch = "efficientnet_v2_l"
