"""Plain chains: AlexNet (Krizhevsky 2014), VGG (Simonyan & Zisserman 2014), SqueezeNet (Iandola et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.squeezenet import Fire

from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic


class Chain(Classic):
    """AlexNet or VGG of torchvision: convolutions, then the two hidden layers of the old classifier, trained as well.

    The port "pooled" is the second hidden layer, 4096 channels; the port "map" is the last convolution's.
    """

    classifier = ("classifier.6.",)

    def _cut(self) -> tuple[int, int]:
        convolutions = [module for module in self.network.features if isinstance(module, nn.Conv2d)]
        width = self.network.classifier[6].in_features
        kept = 5 if isinstance(self.network.classifier[5], nn.Dropout) else 6  # VGG's last dropout goes with its layer
        self.network.classifier = self.network.classifier[:kept]
        return width, convolutions[-1].out_channels

    def _stages(self) -> tuple[Stage, ...]:
        convolutions = _divide(self.network.features, self._starts, self._ends)
        _, second = (index for index, module in enumerate(self.network.classifier) if isinstance(module, nn.Linear))
        count = len(self.network.classifier)
        hidden = {"fc6": range(second), "fc7": range(second, count)}
        stages = [Stage(f"{self._unit}{i + 1}", paths) for i, paths in enumerate(convolutions)]
        return (*stages, *(Stage(name, tuple(f"classifier.{i}" for i in places)) for name, places in hidden.items()))

    def _pool(self, last_map: Tensor) -> Tensor:
        output: Tensor = self.network.classifier(self.network.avgpool(last_map).flatten(1))
        return output

    _unit = "conv"
    _starts: type[nn.Module] | None = nn.Conv2d
    _ends: type[nn.Module] | None = None


class AlexNet(Chain):
    port_names = ("pooled", "map", "map.1", "map.2", "map.3")
    arch = "alexnet"


class VGG(Chain):
    """A VGG network of torchvision without its last layer: five blocks that end by pooling, and two hidden layers.

    The port "pooled" is the second hidden layer, 4096 channels; the port "map" is the last convolution's.
    """

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "map.4", "map.5")
    _unit = "block"
    _starts = None
    _ends = nn.MaxPool2d


class VGG11(VGG):
    arch = "vgg11"


class VGG11BN(VGG):
    arch = "vgg11_bn"


class VGG13(VGG):
    arch = "vgg13"


class VGG13BN(VGG):
    arch = "vgg13_bn"


class VGG16(VGG):
    arch = "vgg16"


class VGG16BN(VGG):
    arch = "vgg16_bn"


class VGG19(VGG):
    arch = "vgg19"


class VGG19BN(VGG):
    arch = "vgg19_bn"


class SqueezeNet(Classic):
    """A SqueezeNet of torchvision: a stem and eight fire modules; its classifier, a convolution, is taken off."""

    port_names = ("pooled", "map", "map.1", "map.2", "map.3")

    def _cut(self) -> tuple[int, int]:
        width = self.network.classifier[1].in_channels
        self.network.classifier = nn.Identity()
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        stem, *fires = _divide(self.network.features, Fire, None)
        return (Stage("stem", stem), *(Stage(f"fire{i}", paths) for i, paths in enumerate(fires, start=2)))


class SqueezeNet10(SqueezeNet):
    arch = "squeezenet1_0"


class SqueezeNet11(SqueezeNet):
    arch = "squeezenet1_1"


def _divide(features: nn.Sequential, starts: type[nn.Module] | None, ends: type[nn.Module] | None) -> list[tuple[str, ...]]:
    """Paths of the modules in runs; a run begins with a module of the kind `starts`, or behind one of the kind `ends`."""
    runs: list[tuple[str, ...]] = [()]
    for i, module in enumerate(features):
        begins = starts is not None and isinstance(module, starts)
        begins |= i > 0 and ends is not None and isinstance(features[i - 1], ends)
        runs = [*runs, ()] if begins and runs[-1] else runs
        runs[-1] += (f"features.{i}",)
    return runs
