"""Expectation: what a network was trained to see (size, crop, interpolation, normalisation), and pictures made into that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms

from headstart.errors import DataError, UsageError
from headstart_vision.pictures import CENTRE, PAD, as_image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
COLOURS = 3
MODES = {1: "L", 3: "RGB"}  # channels -> PIL's name for such a picture


@dataclass(frozen=True)
class Expectation:
    """How a picture is made ready for one set of weights.

    Attributes:
        size: Side of the square that the network sees, in pixels.
        resize: The shorter side before the centre is cut out, in pixels.
        interpolation: "bilinear", "bicubic" ... as torchvision names it.
        mean: Per channel, of values in [0, 1].
        std: Likewise.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Expectation:
        """What `as_json` gave."""
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """Plain values, so that a saved network keeps what it expects."""
        return asdict(self)

    def sized(self, size: int) -> Expectation:
        """The same share of the picture at another size."""
        return replace(self, size=size, resize=max(size, round(size * self.resize / self.size)))

    def with_channels(self, channels: int) -> Expectation:
        """For pictures of another number of channels: each is normalised by the average of mean and std."""
        if channels == len(self.mean):
            return self
        mean, std = sum(self.mean) / len(self.mean), sum(self.std) / len(self.std)
        return replace(self, mean=(mean,) * channels, std=(std,) * channels)

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return (
            f"{len(self.mean)}-channel pictures in [0, 1], shorter side to {self.resize} ({self.interpolation}), "
            f"centre {self.size} x {self.size}, mean {mean}, std {std}"
        )

    def apply(self, pictures: Sequence[Any]) -> Tensor:
        """Pictures in any form that `as_image` takes, or uint8 arrays [H, W(, C)] -> float32 [B, C, S, S], normalised.

        An input with an attribute `fit` (one of `pictures.FITS`) says itself how it fills the square: a scan shows all of it.

        Raises:
            DataError: One cannot be read, or has another number of channels.
        """
        channels = len(self.mean)
        fitted = [self._fitted(_as_tensor(picture, channels), getattr(picture, "fit", CENTRE)) for picture in pictures]
        if any(picture.is_floating_point() for picture in fitted):  # deep grey among them: bytes join it as numbers
            fitted = [transforms.functional.to_dtype(picture, torch.float32, scale=True) for picture in fitted]
        values = transforms.functional.to_dtype(torch.stack(fitted), torch.float32, scale=True)
        normal: Tensor = transforms.functional.normalize(values, list(self.mean), list(self.std))
        return normal

    def undone(self, pixels: Tensor) -> list[np.ndarray[Any, Any]]:
        """Normalised pixels [B, C, S, S] as uint8 arrays, grey [S, S] of one channel or two, else [S, S, 3]."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        values = ((pixels.detach().cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        colours = values[:, :3] if values.shape[1] >= COLOURS else values[:, :1]
        return [np.squeeze(picture.permute(1, 2, 0).numpy(), axis=2 if picture.shape[0] == 1 else ()) for picture in colours]

    def _fitted(self, picture: Tensor, fit: str) -> Tensor:
        """[C, H, W] -> [C, S, S], bytes stay bytes: resizing them is torchvision's quickest and equals what PIL does."""
        mode = InterpolationMode(self.interpolation)
        if fit == CENTRE:
            scaled = transforms.functional.resize(picture, [self.resize], interpolation=mode, antialias=True)
            cut: Tensor = transforms.functional.center_crop(scaled, [self.size, self.size])
            return cut
        picture = _squared(picture) if fit == PAD else picture
        whole: Tensor = transforms.functional.resize(picture, [self.size, self.size], interpolation=mode, antialias=True)
        return whole


def _squared(picture: Tensor) -> Tensor:
    """[C, H, W] -> [C, S, S] with black (0) beside it, S = the longer side."""
    side = max(picture.shape[1:])
    gaps = [side - length for length in (picture.shape[2], picture.shape[1])]  # width, height
    before = [gap // 2 for gap in gaps]
    padded: Tensor = transforms.functional.pad(picture, [*before, gaps[0] - before[0], gaps[1] - before[1]])
    return padded


def check_size(size: int | None, smallest: int, who: str, multiple: int = 1) -> None:
    """Refuse a size that the network cannot take.

    Raises:
        UsageError: It is under the smallest, or no multiple of what it is cut into.
    """
    if size is None:
        return
    first = -(-smallest // multiple) * multiple
    if size < smallest:
        raise UsageError(f"size is {size}, but {who} needs at least {first}; write size: {first} or more")
    if size % multiple:
        below = max(first, size // multiple * multiple)
        raise UsageError(f"size is {size}, but {who} needs a multiple of {multiple}; write size: {below} or {below + multiple}")


def _as_tensor(picture: Any, channels: int) -> Tensor:
    """uint8, or float32 in [0, 1], [C, H, W]; a colour picture becomes grey by PIL's luma, a grey one is repeated."""
    array = picture.pixels() if callable(getattr(picture, "pixels", None)) else picture  # an input that knows its own depth
    array = array if isinstance(array, np.ndarray) else _decoded(picture, channels)
    if not (_is_deep(array) or array.dtype == np.uint8) or array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(
            f"a picture is an array of {array.dtype} with shape {list(array.shape)}; the network reads uint8 [height, width] "
            "or [height, width, channels], or grey as float32 [height, width] in [0, 1]"
        )
    array = array[:, :, None] if array.ndim == 2 else array
    if array.shape[2] != channels:
        array = _with_channels(array, channels)
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1)


def _is_deep(array: np.ndarray[Any, Any]) -> bool:
    """Grey of more than 8 bits: float32 [H, W] in [0, 1]."""
    return array.dtype == np.float32 and array.ndim == 2 and array.size > 0 and bool((array >= 0).all() and (array <= 1).all())


def _decoded(picture: Any, channels: int) -> np.ndarray[Any, Any]:
    image = as_image(picture)
    mode = MODES.get(channels, image.mode)
    return np.array(image if image.mode == mode else image.convert(mode))


def _with_channels(array: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    has = array.shape[2]
    if has == 1:
        return np.repeat(array, channels, axis=2)
    if has == 3 and channels == 1:
        return np.array(Image.fromarray(array).convert("L"))[:, :, None]
    raise DataError(f"a picture has {has} channels, but the network reads {channels}; write channels: {has} in the backbone")
