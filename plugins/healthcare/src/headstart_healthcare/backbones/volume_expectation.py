"""Volume expectation: the voxels that a network was made to see (size, fit, scale), and volumes made into that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.errors import DataError, UsageError
from headstart_healthcare.backbones.planes import three_planes

Fit = Literal["stretch", "centre"]
Normalise = Literal["fixed", "volume"]

AXES = 3


@dataclass(frozen=True)
class VolumeExpectation:
    """How a volume is made ready.

    Attributes:
        size: Voxels along depth, height and width that the network sees.
        fit: "stretch" resamples the whole volume to `size`, each axis by its own factor; "centre" resamples nothing: it cuts
            the middle out, and repeats the lowest value around a volume that is smaller.
        normalise: "fixed" takes `mean` and `std`; "volume" those of the volume's own voxels above its lowest value, and
            leaves the others at 0.
        mean: Per channel, of values as the data gives them, usually in [0, 1].
        std: Likewise, > 0.
    """

    size: tuple[int, int, int]
    fit: Fit = "stretch"
    normalise: Normalise = "fixed"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> VolumeExpectation:
        """What `as_json` gave."""
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Plain values, so that a saved network keeps what it expects."""
        return asdict(self)

    def __str__(self) -> str:
        depth, height, width = self.size
        how = "resampled" if self.fit == "stretch" else "cut or padded"
        scale = (
            "mean 0 and deviation 1 over its voxels above the lowest"
            if self.normalise == "volume"
            else f"mean {', '.join(f'{value:g}' for value in self.mean)}, std {', '.join(f'{value:g}' for value in self.std)}"
        )
        return f"{len(self.mean)}-channel volumes, {how} to {depth} x {height} x {width} voxels, {scale}"

    def apply(self, inputs: Sequence[Any]) -> Tensor:
        """Volumes in any form that `as_voxels` takes -> float32 [B, C, D, H, W].

        Raises:
            DataError: One is no volume, holds NaN or infinity, or has another number of channels.
        """
        return torch.stack([self._one(as_voxels(volume)) for volume in inputs])

    def undone(self, voxels: Tensor) -> list[np.ndarray]:
        """Normalised voxels [B, C, D, H, W] as grey uint8 pictures of three planes through the middle, side by side."""
        first = voxels.detach().cpu()[:, 0].float().numpy()
        return [three_planes(_stretched_to_bytes(volume)) for volume in first]

    def _one(self, voxels: Tensor) -> Tensor:
        channels = len(self.mean)
        if voxels.shape[0] != channels:
            raise DataError(
                f"a volume has {voxels.shape[0]} channels, but the network reads {channels}; "
                f"write channels: {voxels.shape[0]} in the backbone"
            )
        normal = self._of_its_own(voxels) if self.normalise == "volume" else self._fixed(voxels)
        return _stretched(normal, self.size) if self.fit == "stretch" else _centred(normal, self.size)

    def _fixed(self, voxels: Tensor) -> Tensor:
        mean, std = (torch.tensor(values).view(-1, 1, 1, 1) for values in (self.mean, self.std))
        return (voxels - mean) / std

    def _of_its_own(self, voxels: Tensor) -> Tensor:
        """As MedicalNet's `__itensity_normalize_one_volume__`, which fills the background with noise of mean 0."""
        inside = voxels > voxels.amin()
        if not inside.any():
            return torch.zeros_like(voxels)
        seen = voxels[inside].double()
        spread = seen.std(correction=0)
        normal = ((voxels.double() - seen.mean()) / (spread if spread > 0 else 1.0)).float()
        return torch.where(inside, normal, 0.0)


def as_voxels(volume: Any) -> Tensor:
    """A volume as float32 [C, D, H, W]: an input whose `open()` gives such an array, or an array [D, H, W] or [C, D, H, W].

    Raises:
        DataError: It is neither, or holds NaN or infinity.
    """
    array = volume.open() if callable(getattr(volume, "open", None)) else volume
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim not in (3, 4) or 0 in array.shape:
        found = f"an array of {array.dtype} with shape {list(array.shape)}" if isinstance(array, np.ndarray) else type(array)
        raise DataError(f"a volume is numbers [depth, height, width] or [channels, depth, height, width], not {found}")
    voxels = torch.from_numpy(np.array(array if array.ndim == 4 else array[None], dtype=np.float32, order="C"))
    if not bool(torch.isfinite(voxels).all()):
        raise DataError(f"the volume {volume if not isinstance(volume, np.ndarray) else ''} holds NaN or infinity".rstrip())
    return voxels


def volume_size(size: int | Sequence[int], smallest: int, who: str) -> tuple[int, int, int]:
    """The option `size` as depth, height and width.

    Raises:
        UsageError: It is none, or an axis is under what the network can take.
    """
    sides = (size,) * AXES if isinstance(size, int) else tuple(size)
    if len(sides) != AXES:
        raise UsageError(f"size is {list(sides)}; write one number, or three: [depth, height, width]")
    if min(sides) < smallest:
        raise UsageError(f"size is {list(sides)}, but {who} needs at least {smallest} voxels along each axis")
    depth, height, width = sides
    return depth, height, width


def _stretched(voxels: Tensor, size: tuple[int, int, int]) -> Tensor:
    """Axes that shrink are averaged (which needs no further smoothing), axes that grow are interpolated linearly."""
    smaller = [min(old, new) for old, new in zip(voxels.shape[1:], size, strict=True)]
    found = voxels[None]
    if list(found.shape[2:]) != smaller:
        found = F.interpolate(found, size=smaller, mode="area")
    if smaller != list(size):
        found = F.interpolate(found, size=size, mode="trilinear", align_corners=False)
    return found[0]


def _centred(voxels: Tensor, size: tuple[int, int, int]) -> Tensor:
    for axis, wanted in enumerate(size, start=1):
        surplus = voxels.shape[axis] - wanted
        if surplus > 0:
            voxels = voxels.narrow(axis, surplus // 2, wanted)
    gaps = [wanted - has for has, wanted in zip(voxels.shape[1:], size, strict=True)]
    pads = [side for gap in reversed(gaps) for side in (gap // 2, gap - gap // 2)]
    return F.pad(voxels, pads, value=float(voxels.amin()))


def _stretched_to_bytes(volume: np.ndarray) -> np.ndarray:
    low, high = float(volume.min()), float(volume.max())
    scaled = (volume - low) * (255 / (high - low) if high > low else 0.0)
    return np.round(scaled).astype(np.uint8)
