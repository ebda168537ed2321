"""Stem: the first convolution, refolded so that a network trained on colours reads any number of channels."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from headstart.errors import UsageError
from headstart_vision.expectation import Expectation

COLOURS = 3
STANDARDISED = "std_conv"  # timm's module of convolutions whose weights are rescaled in each pass: folding would change them


class GreyStem(nn.Module):
    """A stem that reads one channel exactly as the old one read it repeated three times.

    The three colours were normalised differently, so a repeated grey value differs between them by a constant. A constant
    cannot be a bias: the padding around the picture is zero after normalisation and has no share in it. So the convolution
    reads a second channel of ones, padded like the picture itself.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 1, H, W] -> what the first convolution gives."""
        output: Tensor = self.conv(torch.cat([pixels, torch.ones_like(pixels)], dim=1))
        return output


def refold(network: nn.Module, channels: int, expects: Expectation, *, shape_only: bool = False) -> None:
    """Make the first convolution of `network` read `channels` channels in place of three colours.

    One channel: the same output as repeating it, normalised by `expects` (of colours). Others: each channel gets the
    average colour's weights, scaled by 3 / channels so that the sum stays in its range.

    Args:
        network: Changed in place.
        channels: Of the pictures.
        expects: How colours were normalised.
        shape_only: Whether the weights of a plain convolution over `channels` follow, so that exactness does not matter.

    Raises:
        UsageError: `channels` is not positive, or the network has no plain convolution over three colours.
    """
    if channels < 1:
        raise UsageError(f"channels is {channels}; a picture has 1 or more")
    if channels == COLOURS:
        return
    path, conv = find_stem(network)
    if type(conv).__module__.endswith(STANDARDISED):
        raise UsageError(
            f"channels is {channels}, but the stem of a {type(network).__name__} standardises its weights: write 3"
        )
    if channels > 1:
        weight = conv.weight.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1) * (COLOURS / channels)
        network.set_submodule(path, _reading(conv, weight))
    elif shape_only or (_same(expects.mean) and _same(expects.std)):
        network.set_submodule(path, _reading(conv, conv.weight.sum(dim=1, keepdim=True)))
    else:
        network.set_submodule(path, GreyStem(_reading(conv, _grey_weight(conv.weight, expects))))


def is_plain(state: Mapping[str, Tensor], stem: str, channels: int) -> bool:
    """Whether saved weights have a plain stem over just as many channels, other than three."""
    weight = state.get(f"{stem}.weight")
    return weight is not None and weight.shape[1] == channels != COLOURS


def is_grey(state: Mapping[str, Tensor], stem: str) -> bool:
    """Whether saved weights hold a `GreyStem`."""
    return f"{stem}.conv.weight" in state


def find_stem(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """Path and module of the first convolution over three colours.

    Raises:
        UsageError: There is none.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == COLOURS and module.groups == 1:
            return path, module
    raise UsageError(f"a {type(network).__name__} has no first convolution over three colours; write channels: 3")


def _grey_weight(weight: Tensor, expects: Expectation) -> Tensor:
    """[O, 3, h, w] -> [O, 2, h, w]: what multiplies the grey value, and what multiplies the constant.

    A grey value v comes in as x = (v - m) / s; colour c would have been (v - m_c) / s_c = x * s / s_c + (m - m_c) / s_c.
    """
    grey = expects.with_channels(1)
    (m,), (s,) = grey.mean, grey.std
    slopes = weight.new_tensor([s / std for std in expects.std])
    offsets = weight.new_tensor([(m - mean) / std for mean, std in zip(expects.mean, expects.std, strict=True)])
    return torch.stack([torch.einsum("ochw,c->ohw", weight, factors) for factors in (slopes, offsets)], dim=1)


def _reading(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    """A copy of the convolution, its kind of padding kept, with other weights."""
    copied = copy.deepcopy(conv)
    copied.in_channels = weight.shape[1]
    copied.weight = nn.Parameter(weight.detach().clone())
    return copied


def _same(values: Sequence[float]) -> bool:
    return len(set(values)) == 1
