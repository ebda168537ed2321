"""MONAI's residual and dense networks on volumes, from random weights or a file; and MedicalNet as it was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from headstart.errors import UsageError, WeightsError
from headstart.place import Place
from headstart_healthcare.backbones import local_weights
from headstart_healthcare.backbones.hollow import made
from headstart_healthcare.backbones.local_weights import find_local
from headstart_healthcare.backbones.monai_networks import (
    DENSENET_STAGES,
    RESNET_STAGES,
    Shortcut,
    densenet_map,
    make_densenet,
    make_resnet,
    resnet_map,
)
from headstart_healthcare.backbones.monai_pictures import monai_names
from headstart_healthcare.backbones.volume_backbone import VolumeBackbone, saved_volume_expectation
from headstart_healthcare.backbones.volume_expectation import Fit, Normalise, VolumeExpectation, volume_size
from headstart_vision.weights import NONE, fill, read_tensors

SIDE = 64  # voxels along each axis where nothing else is written: that of MedMNIST's larger volumes
SMALLEST = 16  # 3-D pooling needs two cells where the last resolution begins


class _MonaiVolume(VolumeBackbone):
    """What MONAI's networks on volumes share.

    Class attributes:
        ignored: Beginnings of the names of tensors that belong to what was cut off.
    """

    port_names: ClassVar[tuple[str, ...]] = ("pooled", "map", "map.1", "map.2", "map.3", "map.4")
    network: Any  # MONAI's, made from a function of its dimensions
    ignored: ClassVar[tuple[str, ...]] = ("fc.", "class_layers.", "classifier.", "conv_seg.")
    stem: ClassVar[str] = "conv1.weight"

    def _settle(self, place: str, sha256: str, expects: VolumeExpectation, facts: Mapping[str, str]) -> None:
        """Fill the network, and say what it expects and gives."""
        file, card = find_local(place, sha256, **facts)
        if file is not None:
            tensors = self._renamed(read_tensors(file))
            self._check(tensors, card.source)
            fill(self.network, _folded(tensors, self.stem, len(expects.mean)), card.source, ignored=self.ignored)
            saved = saved_volume_expectation(file)
            expects = expects if saved is None else replace(saved, size=expects.size, fit=expects.fit)
        self.expects = expects
        self.card = replace(card, expects=str(expects))
        self._find_ports()

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors

    def _check(self, tensors: Mapping[str, Tensor], source: str) -> None:
        """Raises WeightsError where an option would make the file fit."""

    def untrained(self) -> dict[str, Any]:
        """The same network as MONAI initialises it."""
        return {**self.made_with, "weights": "none", "sha256": ""}

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The saved network, which the run's manifest vouches for."""
        return local_weights.saved_options(folder, options)


class _MonaiResNet3d(_MonaiVolume):
    """One of MONAI's residual networks on volumes, without its last layer.

    Args:
        weights: A .safetensors or .pth file of MONAI's layout, or `package:DISTRIBUTION/FILE`; "none" = random weights.
        sha256: Of that file, or the first digits of it; "" = not checked.
        channels: Of the volumes, >= 1. Weights for more are summed where this is 1: as if the volume were repeated.
        size: Voxels along each axis that the network sees, one number or [depth, height, width].
        fit: "stretch" resamples a volume to that size, "centre" cuts or pads it.
        normalise: "fixed" maps values of [0, 1] to [-1, 1]; "volume" gives each volume mean 0 and deviation 1 over its voxels
            above the lowest.
        width: Factor on the number of channels everywhere, > 0; 0.25 makes a network for a small machine.
        stem_stride: Of the first convolution: 2, or 1 for volumes of 32 voxels and less.
        shortcut: "B" has weights where the resolution changes, "A" has none (its gradient is kept, which MONAI cuts).
        shortcut_bias: Whether shortcuts of kind B have a bias, as MONAI's own default has.
    """

    depth: ClassVar[int]

    def __init__(
        self,
        *,
        weights: Place = "none",
        sha256: str = "",
        channels: int = 1,
        size: int | list[int] = SIDE,
        fit: Fit = "stretch",
        normalise: Normalise = "fixed",
        width: float = 1.0,
        stem_stride: int = 2,
        shortcut: Shortcut = "B",
        shortcut_bias: bool = False,
    ) -> None:
        super().__init__()
        _check_numbers(channels=channels, stem_stride=stem_stride, width=width)
        sides = volume_size(size, SMALLEST, type(self).__name__)
        shape: dict[str, Any] = {"width": width, "stem_stride": stem_stride, "shortcut": shortcut, "has_bias": shortcut_bias}
        self.network = made(lambda: make_resnet(self.depth, 3, channels, **shape), is_filled=weights != NONE)
        self.stages = RESNET_STAGES
        self._settle(weights, sha256, VolumeExpectation(sides, fit, normalise, (0.5,) * channels, (0.5,) * channels), {})

    def _map(self, voxels: Tensor) -> Tensor:
        return resnet_map(self.network, voxels)

    def _check(self, tensors: Mapping[str, Tensor], source: str) -> None:
        has, wants = (
            {name.rpartition("downsample.")[2] for name in names if "downsample." in name}
            for names in (tensors, self.network.state_dict())
        )
        if not has and wants:
            raise WeightsError(f"weights: {source} has no weights in its shortcuts; write shortcut: A")
        if has and not wants:
            raise WeightsError(f"weights: {source} has weights in its shortcuts; write shortcut: B")
        if ("0.bias" in has) != ("0.bias" in wants):
            answer = "true" if "0.bias" in has else "false"
            raise WeightsError(f"weights: the shortcuts of {source} differ in their bias; write shortcut_bias: {answer}")


class MonaiResNet10Volume(_MonaiResNet3d):
    depth = 10


class MonaiResNet18Volume(_MonaiResNet3d):
    depth = 18


class MonaiResNet34Volume(_MonaiResNet3d):
    depth = 34


class MonaiResNet50Volume(_MonaiResNet3d):
    depth = 50


class MonaiDenseNet121Volume(_MonaiVolume):
    """MONAI's DenseNet-121 on volumes, without its last layer.

    Args:
        weights: A .safetensors or .pth file of MONAI's layout, or `package:DISTRIBUTION/FILE`; "none" = random weights.
        sha256: Of that file, or the first digits of it; "" = not checked.
        channels: Of the volumes, >= 1. Weights for more are summed where this is 1: as if the volume were repeated.
        size: Voxels along each axis that the network sees, >= 32, one number or [depth, height, width].
        fit: "stretch" resamples a volume to that size, "centre" cuts or pads it.
        normalise: "fixed" maps values of [0, 1] to [-1, 1]; "volume" gives each volume mean 0 and deviation 1 over its voxels
            above the lowest.
    """

    stem: ClassVar[str] = "features.conv0.weight"

    def __init__(
        self,
        *,
        weights: Place = "none",
        sha256: str = "",
        channels: int = 1,
        size: int | list[int] = SIDE,
        fit: Fit = "stretch",
        normalise: Normalise = "fixed",
    ) -> None:
        super().__init__()
        _check_numbers(channels=channels)
        sides = volume_size(size, 2 * SMALLEST, "DenseNet-121")
        self.network = made(lambda: make_densenet(3, channels), is_filled=weights != NONE)
        self.stages = DENSENET_STAGES
        self._settle(weights, sha256, VolumeExpectation(sides, fit, normalise, (0.5,) * channels, (0.5,) * channels), {})

    def _map(self, voxels: Tensor) -> Tensor:
        return densenet_map(self.network, voxels)

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return monai_names(tensors)


class _MedicalNet(_MonaiVolume):
    """MedicalNet's encoder (Chen et al. 2019), trained on 23 sets of CT and MR volumes; one channel.

    The network is the published one: its last two layers keep their resolution (dilation 2 and 4), where MONAI's network of
    the same names halves it twice more, which loads but is another network.

    Args:
        weights: The published file resnet_N.pth or resnet_N_23dataset.pth, or a .safetensors of it; "none" = random weights.
            Published at https://huggingface.co/TencentMedicalNet.
        sha256: Of that file, or the first digits of it; "" = not checked.
        size: Voxels along each axis that the network sees, >= 16, one number or [depth, height, width].
        fit: "stretch" resamples a volume to that size, as in the original; "centre" cuts or pads it.
    """

    port_names: ClassVar[tuple[str, ...]] = ("pooled", "map", "map.1", "map.2")
    depth: ClassVar[int]
    shortcut: ClassVar[Shortcut] = "B"

    def __init__(self, *, weights: Place, sha256: str = "", size: int | list[int] = SIDE, fit: Fit = "stretch") -> None:
        super().__init__()
        sides = volume_size(size, SMALLEST, "MedicalNet")
        shape: dict[str, Any] = {"shortcut": self.shortcut, "is_dilated": True}
        self.network = made(lambda: make_resnet(self.depth, 3, 1, **shape), is_filled=weights != NONE)
        self.stages = RESNET_STAGES
        facts = {"licence": "MIT", "trained_on": "23 sets of CT and MR volumes (MedicalNet, Chen et al. 2019)"}
        self._settle(weights, sha256, VolumeExpectation(sides, fit, "volume", (0.0,), (1.0,)), facts)

    def _map(self, voxels: Tensor) -> Tensor:
        return resnet_map(self.network, voxels)


class MedicalNet10(_MedicalNet):
    depth = 10


class MedicalNet18(_MedicalNet):
    depth, shortcut = 18, "A"


class MedicalNet34(_MedicalNet):
    depth, shortcut = 34, "A"


class MedicalNet50(_MedicalNet):
    depth = 50


def _folded(tensors: Mapping[str, Tensor], stem: str, channels: int) -> dict[str, Tensor]:
    """A first convolution for several channels, summed for one."""
    weight = tensors.get(stem)
    if weight is None or channels != 1 or weight.shape[1] == 1:
        return dict(tensors)
    return {**tensors, stem: weight.sum(dim=1, keepdim=True)}


def _check_numbers(*, channels: int, stem_stride: int = 1, width: float = 1.0) -> None:
    if channels < 1:
        raise UsageError(f"channels is {channels}; a volume has 1 or more")
    if stem_stride not in (1, 2):
        raise UsageError(f"stem_stride is {stem_stride}; it is 1 or 2")
    if not 0 < width <= 4:
        raise UsageError(f"width is {width}; it must be more than 0 and at most 4")
