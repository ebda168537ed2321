"""Augmentation of training pictures: torchvision's transforms as pure functions of a given random generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode
from torchvision.transforms import v2

Augmentation = Literal["none", "light", "standard", "trivial-augment", "random-erasing"]

GREY = 127  # what erased parts become: near the mean that backbones subtract
LARGEST = 640  # pixels of a view's side; no backbone here reads more, and photographs of 24 megapixels cost seconds

_DRAWS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli,
          torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.bernoulli_, torch.Tensor.random_}  # fmt: skip


class _DrawFrom(TorchFunctionMode):
    """Within it, torch's random functions draw from one generator of their own, in this thread alone.

    torchvision's transforms take no generator; seeding the global one instead would disturb the dropout of a training
    that runs in another thread.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in _DRAWS and given.get("generator") is None:
            given["generator"] = self.generator
        return func(*args, **given)


def augmented(image: Image.Image, how: Augmentation, rng: np.random.Generator) -> Image.Image:
    """One training view; the same for the same picture and the same state of `rng`.

    A view is a square whose side is the picture's shorter one: the backbone scales it to its own size afterwards.
    """
    side = min(*image.size, LARGEST)
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    with _DrawFrom(generator):
        return cast("Image.Image", _transform(how, side)(image))


@cache
def _transform(how: Augmentation, side: int) -> Callable[[Image.Image], Any]:
    """light = four fifths of the picture and more, mirrored or not; standard = Szegedy et al. 2015, section 6 (8 to 100%)."""
    area = (0.8, 1.0) if how == "light" else (0.08, 1.0)
    steps: list[Callable[..., Any]] = [v2.RandomResizedCrop((side, side), scale=area), v2.RandomHorizontalFlip()]
    if how == "trivial-augment":  # Müller & Hutter 2021
        steps.append(v2.TrivialAugmentWide())
    if how == "random-erasing":  # Zhong et al. 2020, with its probability of one half
        steps += [v2.PILToTensor(), v2.RandomErasing(p=0.5, value=GREY), v2.ToPILImage()]
    return cast("Callable[[Image.Image], Any]", v2.Compose(steps))
