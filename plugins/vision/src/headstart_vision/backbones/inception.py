"""Inception: GoogLeNet (Szegedy et al. 2014) and Inception v3 (Szegedy et al. 2015), without their classifiers.

Inception v3 factorises convolutions (5x5 into two 3x3, 7x7 into 1x7 and 7x1); depthwise-separable ones are Xception's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn
from torchvision import models

from headstart.stages import Stage
from headstart_vision.backbones.auxiliary import OfGoogLeNet, OfInceptionV3
from headstart_vision.backbones.classic import Classic
from headstart_vision.expectation import Expectation


class Inception(Classic):
    """An Inception network of torchvision without its classifiers, the auxiliary ones included.

    torchvision's weights came from TensorFlow and expect values from -1 to 1; torchvision undoes ImageNet's usual
    normalisation inside the network (`transform_input`), here the pictures are normalised so from the start.
    """

    _neck: ClassVar[type[OfGoogLeNet] | type[OfInceptionV3]]

    def _build(self, size: int, *, is_random: bool) -> Any:
        # drawing truncated normal values takes seconds, so only where they are wanted
        return models.get_model(self.arch, weights=None, aux_logits=False, init_weights=is_random, transform_input=False)

    def _native(self, expects: Expectation, tensors: Mapping[str, Tensor] | None) -> Expectation:
        return replace(expects, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def _cut(self) -> tuple[int, int]:
        width = self.network.fc.in_features
        self.network.fc = self.network.dropout = nn.Identity()
        return width, width

    def auxiliary(self, port: str) -> tuple[nn.Module, int] | None:
        """The layers of the paper before the last one of an auxiliary classifier."""
        if port not in self.taps:
            return None
        return self._neck(self.ports[port]), self._neck.width

    def _map(self, pixels: Tensor) -> Tensor:
        return self._walk(pixels)


class GoogLeNet(Inception):
    """GoogLeNet (Inception v1) of torchvision without its three classifiers.

    The ports "aux1" and "aux2" are the maps behind the blocks 4a and 4d, where auxiliary classifiers are put on in training
    (section 5 of the paper). torchvision's own auxiliary classifiers were never trained, so nothing is lost with them.
    """

    arch = "googlenet"
    _neck = OfGoogLeNet
    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "aux1", "aux2")
    taps = MappingProxyType({"aux1": "inception4a", "aux2": "inception4d"})
    classifier = ("fc.", "aux1.", "aux2.")

    def _stages(self) -> tuple[Stage, ...]:
        blocks = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        pools = {"3b": "maxpool3", "4e": "maxpool4"}
        stem = Stage("stem", ("conv1", "maxpool1", "conv2", "conv3", "maxpool2"))
        return (stem, *_blocks([f"inception{block}" for block in blocks], {f"inception{k}": v for k, v in pools.items()}))


class InceptionV3(Inception):
    """Inception v3 of torchvision without its two classifiers; factorised convolutions, none of them depthwise-separable.

    The port "aux1" is the map behind the last 17 x 17 block, where an auxiliary classifier is put on in training.
    """

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "aux1")
    taps = MappingProxyType({"aux1": "mixed_6e"})
    arch = "inception_v3"
    _neck = OfInceptionV3
    classifier = ("fc.", "AuxLogits.")

    def _stages(self) -> tuple[Stage, ...]:
        stem = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2")
        blocks = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
        return (Stage("stem", stem), *_blocks([f"Mixed_{block}" for block in blocks], {}))


def _blocks(names: Sequence[str], pools: Mapping[str, str]) -> list[Stage]:
    """One stage for each block, with the pooling after it."""
    return [Stage(name.lower(), (name, pools[name]) if name in pools else (name,)) for name in names]
