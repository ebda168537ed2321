"""Inflated: one of vision's networks with its weights, made to read volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from headstart.build import part_class
from headstart.errors import UsageError
from headstart.place import Place
from headstart.stages import Stage
from headstart_healthcare.backbones.inflation import inflate, repeated_ends
from headstart_healthcare.backbones.volume_backbone import VolumeBackbone
from headstart_healthcare.backbones.volume_expectation import Fit, VolumeExpectation, volume_size
from headstart_vision.backbones.picture_backbone import PictureBackbone
from headstart_vision.variants import describe_file
from headstart_vision.weights import NONE, fill, find_file, read_tensors

SMALLEST = 32
PROBE = 64  # pixels of the picture on which it is proven
TOLERANCE = 1e-4  # relative, float32: measured 4e-6 on the networks of the vision plugin that can be inflated


class Inflated(VolumeBackbone):
    """A convolutional network of the vision plugin on volumes, each filter spread along depth; Carreira & Zisserman 2017.

    A volume whose slices are all the same gives what the network gives for one of them, to rounding. This works for networks
    whose stages run one after the other: EfficientNet-Lite0, ResNets, ResNeXts, DenseNets, MobileNet v2.

    Args:
        main: Name of the network: "vision/efficientnet-lite0", "vision/resnet18", ...
        options: That network's options, but channels and size.
        weights: Of the inflated network, as a run has saved them; null = those of `main`.
        channels: Of the volumes: 1, or what the network reads.
        size: Voxels along each axis that the network sees, >= 32, one number or [depth, height, width].
        fit: "stretch" resamples a volume to that size, "centre" cuts or pads it.
    """

    wraps: ClassVar[str] = "backbone"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "map", "map.1", "map.2", "map.3", "map.4", "map.5")

    def __init__(
        self,
        *,
        main: str = "vision/efficientnet-lite0",
        options: dict[str, Any] | None = None,
        weights: Place | None = None,
        channels: int = 1,
        size: int | list[int] = 64,
        fit: Fit = "stretch",
    ) -> None:
        super().__init__()
        sides = volume_size(size, SMALLEST, "an inflated network")
        given = {**(options or {}), **({} if weights is None else {"weights": NONE})}
        inner = picture_network(main, given, channels)
        self._is_rectified = inflate_proven(inner, main, channels)
        self.network, self.stages = inner.network, inner.stages
        self.expects = VolumeExpectation(sides, fit, "fixed", inner.expects.mean, inner.expects.std)
        self.card = replace(inner.card, expects=str(self.expects))
        if weights is not None:
            file = find_file(weights)
            fill(self.network, read_tensors(file), weights)
            self.card = replace(describe_file(file, weights), expects=str(self.expects))
        self._find_ports()

    def _map(self, voxels: Tensor) -> Tensor:
        return walked(self.network, self.stages, voxels, is_rectified=self._is_rectified)


def picture_network(main: str, options: Mapping[str, Any], channels: int) -> PictureBackbone:
    """The network on pictures that is to be inflated.

    Raises:
        UsageError: There is none of that name, it reads something else, or an option is not for it.
    """
    taken = sorted({"channels", "size"} & set(options))
    if taken:
        raise UsageError(f"backbone.options holds {taken[0]}; write it as the backbone's own option {taken[0]}")
    kind = part_class("backbone", main)
    if not issubclass(kind, PictureBackbone):
        raise UsageError(f"the backbone's option main is '{main}', which is no network on pictures; try vision/resnet18")
    found: PictureBackbone = kind(**options, channels=channels)
    return found


@torch.no_grad()
def inflate_proven(inner: PictureBackbone, main: str, channels: int) -> bool:
    """Inflate the network, prove on a picture that it says the same of it, and whether the last map is cut at zero.

    Raises:
        UsageError: The map is not what the stages give when they run one after the other, in two dimensions or in three.
    """
    was_training = inner.training
    inner.eval()
    pixels = torch.randn(1, channels, PROBE, PROBE, generator=torch.Generator().manual_seed(0))
    try:
        wanted = inner({"pixels": pixels})["map"]
        is_cut = _is_rectified(inner, pixels, wanted)
        inflate(inner.network)
        found = walked(inner.network, inner.stages, repeated_ends(pixels[:, :, None], 0, SMALLEST - 1), is_rectified=is_cut)
        gap = float((found - wanted[:, :, None]).abs().max() / wanted.abs().max().clamp(min=1e-12))
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UsageError(f"'{main}' cannot be inflated: its stages do not run one after the other on maps ({error})") from error
    if not gap <= TOLERANCE:
        raise UsageError(f"'{main}' cannot be inflated: on a repeated picture its map differs by {gap:.2g}")
    inner.train(was_training)
    return is_cut


def walked(network: nn.Module, stages: Sequence[Stage], values: Tensor, *, is_rectified: bool) -> Tensor:
    """Run the modules of all stages one after the other; DenseNet cuts at zero behind them."""
    for stage in stages:
        for path in stage.modules:
            values = network.get_submodule(path)(values)
    return values.relu() if is_rectified else values


def _is_rectified(inner: PictureBackbone, pixels: Tensor, wanted: Tensor) -> bool:
    for is_cut in (False, True):
        found = walked(inner.network, inner.stages, pixels, is_rectified=is_cut)
        if found.shape == wanted.shape and torch.equal(found, wanted):
            return is_cut
    raise ValueError("its last map is not what they give")
