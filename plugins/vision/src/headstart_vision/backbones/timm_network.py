"""Any of timm's networks by name, with stages read off the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import Tensor

from headstart.errors import UsageError
from headstart.features import Features
from headstart.place import Place
from headstart.supplies import Supply
from headstart_vision.backbones.picture_backbone import PictureBackbone
from headstart_vision.levels import find_maps
from headstart_vision.timm_layout import layout_of
from headstart_vision.timm_stages import find_stages
from headstart_vision.timm_weights import find_timm, supplies_of_timm
from headstart_vision.weights import read_tensors


class Timm(PictureBackbone):
    """One of timm's networks without its classifier: "resnet50", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", ...

    The port "pooled" is the vector that the classifier would read. Networks whose values are maps, or patches that lie in rows,
    also give "map", the last map, and "map.1", "map.2" ..., the last one at each resolution.

    Args:
        model: timm's name, with or without a tag of weights behind a point; `timm.list_models()` has them all.
        weights: "default" = timm's for this name, from the Hugging Face hub; `owner/name@revision` there; a folder in timm's
            format, a .safetensors or .pth file, or `package:DISTRIBUTION/FILE`; "none" = random weights: from scratch.
        channels: Of the pictures, >= 1. With 1 the colours' weights are folded: the output is that of the grey value repeated.
        size: Side of the square that the network sees, in pixels; null = what the weights were trained at.
    """

    port_names = ("pooled", "map", "map.1", "map.2", "map.3", "map.4", "map.5", "map.6")
    network: Any  # timm's networks share functions, not a class

    def __init__(self, *, model: str, weights: Place = "default", channels: int = 3, size: int | None = None) -> None:
        super().__init__()
        if size is not None and size < 1:
            raise UsageError(f"size is {size}; a picture has 1 pixel or more")
        config = _config(model)
        found = find_timm(model, config, weights)
        colours = found.expects if size is None else found.expects.sized(size)
        with torch.device("meta"):
            twin = _create(model, config, colours.size)
            picture = torch.zeros(2, 3, colours.size, colours.size)
        self.stages, width = find_stages(twin, lambda: _vector(twin, picture))
        self._layout = layout_of(twin)
        maps, last = find_maps(twin, self.stages, lambda: self._as_map(twin.forward_features(picture)), self._as_map)
        self.network = _create(model, config, colours.size)
        tensors = None if found.file is None else read_tensors(found.file)
        self._settle(found, tensors, colours, channels, _classifiers(config))
        self.ports = {"pooled": width}
        if last is not None:
            self.ports = {"pooled": width, "map": last.shape[1]}
            self._name_maps(maps, tuple(last.shape[1:]))

    @classmethod
    def supplies(cls, options: Mapping[str, Any]) -> list[Supply]:
        """The network's config and weights."""
        return supplies_of_timm(options["model"], _config(options["model"]), options["weights"])

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels [B, C, S, S] -> pooled [B, C], and maps [B, C, h, w] where the network has them."""
        with self._tapping() as seen:
            features = self.network.forward_features(batch["pixels"])
        pooled = self.network.forward_head(features)
        last = self._as_map(features) if "map" in self.ports else None
        return {"pooled": pooled} if last is None else {"pooled": pooled, **self._maps(last, seen)}

    def _as_map(self, value: Any) -> Tensor | None:
        return self._layout.as_map(value)


def _vector(network: Any, pixels: Tensor) -> Tensor:
    vector: Tensor = network.forward_head(network.forward_features(pixels))
    return vector


def _config(model: str) -> dict[str, Any]:
    if not timm.is_model(model):
        known = timm.list_models()
        close = ", ".join(get_close_matches(model.partition(".")[0], known, n=3)) or "timm.list_models() has them all"
        raise UsageError(f"timm {timm.__version__} has no network '{model}'; did you mean: {close}?")
    try:
        config = timm.models.get_pretrained_cfg(model)
    except RuntimeError as error:
        raise UsageError(f"{error} Leave out what stands behind the point in '{model}', or give a tag that timm has") from error
    return asdict(config) if config is not None else {"input_size": (3, 224, 224)}


def _create(model: str, config: Mapping[str, Any], size: int) -> Any:
    """The network with random weights and no classifier, in evaluation mode."""
    resized = config.get("fixed_input_size") and size != config["input_size"][-1]
    options: dict[str, Any] = {"img_size": size} if resized else {}
    try:
        network: Any = timm.create_model(model, pretrained=False, **options)
        network.reset_classifier(0)
    except (TypeError, AssertionError, RuntimeError, ValueError) as error:
        raise UsageError(f"timm's {model} cannot be built for size {size} without a classifier: {error}") from error
    return network.eval()


def _classifiers(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
