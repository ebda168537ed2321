"""Classic: torchvision's networks without their classifier; a family says where its stages, map and vector come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from headstart.features import Features
from headstart.place import Place
from headstart.stages import Stage
from headstart.supplies import Supply, at_place
from headstart_vision.backbones.picture_backbone import PictureBackbone
from headstart_vision.expectation import Expectation, check_size
from headstart_vision.variants import DEFAULT, Found, find_variant, supplies_of_variant
from headstart_vision.weights import NONE, read_tensors


class Classic(PictureBackbone):
    """One of torchvision's classification networks, without its last layer.

    Class attributes:
        arch: torchvision's name of the network.
        classifier: Beginnings of the names of tensors that are cut off.

    Args:
        weights: "default" or the name of one of torchvision's variants, such as IMAGENET1K_V1 (fetched once, then cached);
            a .safetensors or .pth file, or `package:DISTRIBUTION/FILE`; "none" = random weights: from scratch.
        channels: Of the pictures, >= 1. With 1 the colours' weights are folded: the output is that of the grey value repeated.
        size: Side of the square that the network sees, in pixels; null = what the weights were trained at.
    """

    port_names: ClassVar[tuple[str, ...]] = ("pooled", "map", "map.1", "map.2", "map.3", "map.4")
    network: Any  # one of torchvision's, which ships no types
    arch: ClassVar[str]
    classifier: ClassVar[tuple[str, ...]] = ("classifier.",)

    def __init__(self, *, weights: Place = "default", channels: int = 3, size: int | None = None) -> None:
        super().__init__()
        self._check_size(size)
        found = self._find(weights)
        tensors = None if found.file is None else self._renamed(read_tensors(found.file))
        native = self._native(found.expects, tensors)
        colours = native if size is None else native.sized(size)
        self.network = self._build(colours.size, is_random=tensors is None)
        pooled, last_map = self._cut()
        if tensors is not None:
            tensors = self._fitted(tensors, colours.size)
        self._settle(found, tensors, colours, channels, self.classifier)
        self.stages = self._stages()
        self.ports = {"pooled": pooled, "map": last_map}
        self._find_maps(self._probe_size(native, colours), channels)

    @classmethod
    def supplies(cls, options: Mapping[str, Any]) -> list[Supply]:
        """The file of weights; a family that does not take torchvision's takes a place."""
        place = options["weights"]
        if cls._find is Classic._find:
            return supplies_of_variant(cls.arch, place)
        return [] if place in (NONE, DEFAULT) else [at_place("weights", place)]

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels [B, C, S, S] -> the vector pooled [B, C] that the classifier would read, and maps [B, C, h, w]."""
        with self._tapping() as seen:
            last_map = self._map(batch["pixels"])
            pooled = self._pool(last_map)
        return {"pooled": pooled, **self._maps(last_map, seen)}

    # What a family says

    @abstractmethod
    def _stages(self) -> tuple[Stage, ...]:
        """The stages of `self.network`, input to output."""

    def _cut(self) -> tuple[int, int]:
        """Take the classifier off; channels of "pooled" and of "map"."""
        width = self.network.classifier[-1].in_features
        self.network.classifier = nn.Identity()
        return width, width

    def _map(self, pixels: Tensor) -> Tensor:
        """[B, C, S, S] -> the last feature map [B, C, h, w]."""
        output: Tensor = self.network.features(pixels)
        return output

    def _pool(self, last_map: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C], by default the average."""
        return F.adaptive_avg_pool2d(last_map, 1).flatten(1)

    def _find(self, place: str) -> Found:
        """The weights that a recipe names, by default one of torchvision's or a file of its layout."""
        return find_variant(self.arch, place)

    def _build(self, size: int, *, is_random: bool) -> Any:
        """torchvision's network with its own random weights."""
        return models.get_model(self.arch, weights=None)

    def _check_size(self, size: int | None) -> None:
        """Raises UsageError where the network cannot take the size."""
        smallest = max(models.get_model_weights(self.arch).DEFAULT.meta["min_size"])
        check_size(size, smallest, self.arch)

    def _native(self, expects: Expectation, tensors: Mapping[str, Tensor] | None) -> Expectation:
        """What the weights expect, where the network knows better than torchvision's card."""
        return expects

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint's tensors under the names of today's torchvision."""
        return tensors

    def _fitted(self, tensors: dict[str, Tensor], size: int) -> dict[str, Tensor]:
        """Tensors that depend on the size, for this size."""
        return tensors

    def _probe_size(self, native: Expectation, colours: Expectation) -> int:
        """A size that the network can run at, and at which its maps still differ in size."""
        return native.size

    # What several families share

    def _walk(self, pixels: Tensor) -> Tensor:
        """Run the modules of all stages one after the other."""
        value = pixels
        for stage in self.stages:
            value = self._run(stage, value)
        return value

    def _run(self, stage: Stage, value: Tensor) -> Tensor:
        """Run the modules of one stage."""
        for path in stage.modules:
            value = self.network.get_submodule(path)(value)
        return value
