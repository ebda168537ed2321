"""Inflation: a network that was trained on pictures reads volumes, and says of one picture repeated what it said of it.

Each k x k filter is repeated k times along depth and divided by k, as Carreira & Zisserman 2017, section 2.4. Theirs is exact
only within the volume: at the ends of the depth, zero padding takes part of every filter's sum away. Here the last slice is
repeated there, so that the whole network is exact on volumes that do not change along depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from headstart.errors import UsageError

DEPTH = 2  # the axis of depth in [B, C, D, H, W]
SAME = ("Conv2dSame",)  # timm's, whose padding depends on the size of its input, as TensorFlow's
KEPT = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.GELU, nn.Sigmoid, nn.Identity, nn.Dropout,
    nn.Flatten, nn.Linear, StochasticDepth,
)  # fmt: skip
"""Modules that take values of any shape, or that only the classifier has."""

Triple = tuple[int, int, int]


class InflatedConv(nn.Conv3d):
    """A convolution over volumes made of one over pictures; along depth the first and last slice are repeated.

    Args:
        flat: The convolution over pictures.
    """

    def __init__(self, flat: nn.Conv2d) -> None:
        if flat.padding_mode != "zeros" or isinstance(flat.padding, str):
            raise UsageError(f"a convolution with padding {flat.padding_mode} {flat.padding} cannot be inflated")
        super().__init__(
            flat.in_channels,
            flat.out_channels,
            _cube(flat.kernel_size),
            stride=_cube(flat.stride),
            padding=_cube(flat.padding),
            dilation=_cube(flat.dilation),
            groups=flat.groups,
            bias=flat.bias is not None,
            device=flat.weight.device,
        )
        self.is_same = type(flat).__name__ in SAME
        with torch.no_grad():
            self.weight.copy_(inflated_weight(flat.weight))
            if flat.bias is not None and self.bias is not None:
                self.bias.copy_(flat.bias)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, D, H, W] -> [B, O, d, h, w]."""
        values, padding = input, (0, int(self.padding[1]), int(self.padding[2]))
        front = back = int(self.padding[0])
        if self.is_same:
            (front, back), height, width = (self._same(values.shape[axis], axis - DEPTH) for axis in (2, 3, 4))
            values, padding = F.pad(values, [*width, *height]), (0, 0, 0)
        values = repeated_ends(values, front, back)
        return F.conv3d(values, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _same(self, side: int, at: int) -> tuple[int, int]:
        """Padding before and after an axis that leaves ceil(side / stride) values; TensorFlow's "SAME"."""
        stride, reach = self.stride[at], (self.kernel_size[at] - 1) * self.dilation[at] + 1
        missing = max((-(-side // stride) - 1) * stride + reach - side, 0)
        return missing // 2, missing - missing // 2


def repeated_ends(values: Tensor, front: int, back: int) -> Tensor:
    """[B, C, D, H, W] with the first slice repeated `front` times and the last one `back` times.

    Joined from parts, as the gradient of torch's replicate padding differs from run to run on GPUs.
    """
    if not front and not back:
        return values
    first, last = values[:, :, :1], values[:, :, -1:]
    parts = [first.expand(-1, -1, front, -1, -1), values, last.expand(-1, -1, back, -1, -1)]
    return torch.cat([part for part in parts if part.shape[DEPTH]], dim=DEPTH)


def inflated_weight(weight: Tensor) -> Tensor:
    """[O, I, h, w] -> [O, I, k, h, w] whose sum along depth is the weight; k is the larger of h and w."""
    reach = max(weight.shape[2:])
    return weight[:, :, None].repeat(1, 1, reach, 1, 1) / reach


def inflate(network: nn.Module) -> None:
    """Replace every module over pictures by one over volumes, in place.

    Raises:
        UsageError: The network holds something that is not known to work in three dimensions.
    """
    for path, module in list(network.named_modules()):
        if not path or not isinstance(network.get_submodule(path), type(module)):
            continue
        found = _inflated(module)
        if found is not None:
            network.set_submodule(path, found.train(module.training))


def _inflated(module: nn.Module) -> nn.Module | None:
    """The module over volumes; None = it stays, as it holds others or takes any shape.

    Raises:
        UsageError: It is of a kind that is not known.
    """
    if isinstance(module, nn.Conv2d):
        return InflatedConv(module)
    if isinstance(module, nn.BatchNorm2d):
        return _norm(module)
    if isinstance(module, nn.MaxPool2d):
        sides: dict[str, Any] = {"stride": _cube(module.stride), "padding": _cube(module.padding)}
        return nn.MaxPool3d(_cube(module.kernel_size), dilation=_cube(module.dilation), ceil_mode=module.ceil_mode, **sides)
    if isinstance(module, nn.AvgPool2d) and not any(_cube(module.padding)):
        return nn.AvgPool3d(_cube(module.kernel_size), _cube(module.stride), ceil_mode=module.ceil_mode)
    if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
        return nn.AdaptiveAvgPool3d(1)
    if isinstance(module, KEPT) or any(True for _ in module.children()):
        return None
    raise UsageError(f"a {type(module).__name__} is not known to work on volumes, so this network cannot be inflated")


def _norm(flat: nn.BatchNorm2d) -> nn.Module:
    """A BatchNorm over volumes; the activation that timm's BatchNormAct2d puts behind it stays there."""
    norm = nn.BatchNorm3d(flat.num_features, flat.eps, flat.momentum, flat.affine, flat.track_running_stats)
    norm.load_state_dict(flat.state_dict())
    children: Mapping[str, nn.Module] = dict(flat.named_children())
    return NormAct(norm, *children.values()) if children else norm


class NormAct(nn.BatchNorm3d):
    """A BatchNorm over volumes with what follows it in timm's networks; its tensors keep their names."""

    def __init__(self, norm: nn.BatchNorm3d, *after: nn.Module) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.load_state_dict(norm.state_dict())
        self.drop, self.act = after

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, D, H, W] of the same shape."""
        output: Tensor = self.act(self.drop(super().forward(input)))
        return output


def _cube(sides: Any) -> Triple:
    """One number or (height, width) -> (depth, height, width); depth is the larger."""
    height, width = (sides, sides) if isinstance(sides, int) else sides
    return max(height, width), height, width
