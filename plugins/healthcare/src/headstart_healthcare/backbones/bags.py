"""Bags: a volume as many slices for a network on pictures, or as many patches for a network on volumes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor

from headstart.backbone import Backbone
from headstart.build import part_class
from headstart.errors import DataError, UsageError
from headstart.features import Features
from headstart_healthcare.backbones.volume_backbone import VolumeBackbone
from headstart_healthcare.backbones.volume_expectation import as_voxels, volume_size
from headstart_vision.backbones.picture_backbone import PictureBackbone

AT_ONCE = 32  # instances in one pass where nothing is learnt: memory stays that of a small batch
AXES = ("depth", "height", "width")


class _Bag(Backbone):
    """What both kinds of bags share: an inner network that sees one instance at a time.

    The port "tokens" holds one vector per instance [B, L, C], "mask" which of them are there [B, L], "pooled" their mean.
    """

    modality: ClassVar[str] = "volume"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask")
    wraps: ClassVar[str] = "backbone"
    inner: Backbone
    default_main: ClassVar[str]

    def _wrap(self, inner: Backbone) -> None:
        self.inner, self.network, self.stages = inner, inner.network, inner.stages
        inner.want(("pooled",))
        width = inner.ports["pooled"]
        self.ports = {"pooled": width, "tokens": width, "mask": 1}
        self.card = inner.card

    @abstractmethod
    def _instances(self, voxels: Tensor) -> list[Any]:
        """A volume [C, D, H, W] as inputs of the inner network."""

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Volumes -> instances [B, L, ...] as the inner network expects them, zeros where a volume has fewer, and the mask."""
        bags = [self._prepared(volume) for volume in inputs]
        longest = max(len(bag) for bag in bags)
        instances = bags[0].new_zeros(len(bags), longest, *bags[0].shape[1:])
        mask = torch.zeros(len(bags), longest, dtype=torch.long)
        for at, bag in enumerate(bags):
            instances[at, : len(bag)], mask[at, : len(bag)] = bag, 1
        return {"instances": instances, "mask": mask}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Instances [B, L, ...] -> tokens [B, L, C], mask [B, L] and their mean pooled [B, C]."""
        mask = batch["mask"]
        flat = batch["instances"].flatten(0, 1)[mask.flatten() > 0]  # those that are there
        size = len(flat) if torch.is_grad_enabled() else AT_ONCE
        vectors = torch.cat([self.inner({self._name: part})["pooled"] for part in torch.split(flat, size)])
        tokens = vectors.new_zeros(*mask.shape, vectors.shape[1])
        tokens[mask > 0] = vectors
        return {"pooled": tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True), "tokens": tokens, "mask": mask}

    @property
    def _name(self) -> str:
        """What the inner network calls its prepared inputs."""
        return "voxels" if self.inner.modality == "volume" else "pixels"

    def _prepared(self, volume: Any) -> Tensor:
        return self.inner.prepare(self._instances(as_voxels(volume)))[self._name]

    def save(self, folder: Path) -> None:
        """The inner network's files."""
        self.inner.save(folder)

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The same bag around the inner network that was saved."""
        main = options.get("main") or cls.default_main
        kind = cast("type[Backbone]", part_class("backbone", main))
        return {**options, "options": kind.saved_options(folder, options.get("options") or {})}


class Slices(_Bag):
    """A volume as a bag of slices, each seen by a network on pictures: for volumes that do not fit, or few of them.

    Args:
        main: Name of the network: "vision/efficientnet-lite0", "healthcare/radimagenet-resnet50", ...
        options: That network's options.
        slices: At most so many, evenly spaced, >= 1; a volume that has fewer gives all it has.
        axis: Slices lie at right angles to it.
    """

    default_main = "vision/efficientnet-lite0"

    def __init__(
        self,
        *,
        main: str = "vision/efficientnet-lite0",
        options: dict[str, Any] | None = None,
        slices: int = 24,
        axis: Literal["depth", "height", "width"] = "depth",
    ) -> None:
        super().__init__()
        if slices < 1:
            raise UsageError(f"slices is {slices}; write 1 or more")
        self._wrap(_network(main, options, PictureBackbone))
        self._slices, self._axis = slices, AXES.index(axis)

    def reading(self) -> str:
        """What the inner network reads, and which slices it is given."""
        return f"{self.inner.reading()} {self._slices} slices along {AXES[self._axis]}"

    def pictures(self, batch: Mapping[str, Tensor]) -> Sequence[np.ndarray] | None:
        """The middle slice of each volume, as the inner network sees it."""
        middle = [bag[int(there.sum()) // 2] for bag, there in zip(batch["instances"], batch["mask"], strict=True)]
        return self.inner.pictures({self._name: torch.stack(middle)})

    def _instances(self, voxels: Tensor) -> list[np.ndarray]:
        if voxels.shape[0] != 1:
            raise DataError(f"a volume has {voxels.shape[0]} channels; slices are made of volumes of one")
        volume = voxels[0].movedim(self._axis, 0).clamp(0, 1).numpy()  # what the data gives lies in [0, 1]
        count = min(self._slices, len(volume))
        places = ((np.arange(count) + 0.5) * len(volume) / count).astype(int)
        return [np.ascontiguousarray(volume[place]) for place in places]


class Patches(_Bag):
    """A volume, at its own resolution, as a bag of patches, each seen by a network on volumes.

    Args:
        main: Name of the network: "healthcare/inflated", "healthcare/medicalnet-18", ...
        options: That network's options, but size.
        size: Voxels along each axis of a patch, one number or [depth, height, width].
        patches: At most so many, the brightest on average; empty ones are left out.
    """

    default_main = "healthcare/inflated"

    def __init__(
        self,
        *,
        main: str = "healthcare/inflated",
        options: dict[str, Any] | None = None,
        size: int | list[int] = 64,
        patches: int = 32,
    ) -> None:
        super().__init__()
        if patches < 1:
            raise UsageError(f"patches is {patches}; write 1 or more")
        if "size" in (options or {}):
            raise UsageError("backbone.options holds size; write it as the backbone's own option size")
        self._sides, self._patches = volume_size(size, 1, "a patch"), patches
        self._wrap(_network(main, {**(options or {}), "size": list(self._sides)}, VolumeBackbone))

    def reading(self) -> str:
        """What the inner network reads, and which patches it is given."""
        return f"{self.inner.reading()} {self._patches} patches"

    def pictures(self, batch: Mapping[str, Tensor]) -> Sequence[np.ndarray] | None:
        """Three planes through the brightest patch of each volume."""
        return self.inner.pictures({self._name: batch["instances"][:, 0]})

    def _instances(self, voxels: Tensor) -> list[np.ndarray]:
        starts = [_starts(side, wanted) for side, wanted in zip(voxels.shape[1:], self._sides, strict=True)]
        cut = [
            voxels[:, z : z + self._sides[0], y : y + self._sides[1], x : x + self._sides[2]].numpy()
            for z in starts[0]
            for y in starts[1]
            for x in starts[2]
        ]
        filled = [patch for patch in cut if patch.min() < patch.max()] or cut[:1]
        return sorted(filled, key=lambda patch: -float(patch.mean()))[: self._patches]


def _starts(side: int, wanted: int) -> list[int]:
    """Where patches begin along an axis so that they cover it, overlapping evenly where they do not divide it."""
    count = -(-side // wanted)
    last = max(side - wanted, 0)
    return [round(at * last / (count - 1)) if count > 1 else 0 for at in range(count)]


def _network(main: str, options: Mapping[str, Any] | None, family: Any) -> Backbone:
    kind = part_class("backbone", main)
    if not issubclass(kind, family):
        raise UsageError(f"the backbone's option main is '{main}', which does not read {family.modality}s")
    inner: Backbone = kind(**(options or {}))
    inner.made_with = dict(options or {})
    return inner
