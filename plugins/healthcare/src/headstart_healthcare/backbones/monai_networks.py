"""MONAI's residual and dense networks in two and three dimensions, their shortcuts repaired."""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from monai.networks.nets.densenet import DenseNet121
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from headstart.stages import Stage

Shortcut = Literal["A", "B"]

LAYERS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
PLANES = (64, 128, 256, 512)
FIRST_BOTTLENECK = 50
DILATIONS = {"layer3": 2, "layer4": 4}
"""Tencent/MedicalNet, models/resnet.py: its last two layers keep their resolution and look further instead."""

RESNET_STAGES = (
    Stage("stem", ("conv1", "bn1", "act", "maxpool")),
    *(Stage(name, (name,)) for name in ("layer1", "layer2", "layer3", "layer4")),
)
DENSENET_STAGES = (
    Stage("stem", tuple(f"features.{name}" for name in ("conv0", "norm0", "relu0", "pool0"))),
    *(
        Stage(f"block{at}", (f"features.denseblock{at}", f"features.{end}"))
        for at, end in enumerate(("transition1", "transition2", "transition3", "norm5"), start=1)
    ),
)


class PadShortcut(nn.Module):
    """Shortcut A of He et al. 2015, section 3.3: every `stride`-th value, and zeros for the channels that are new.

    MONAI 1.6.1 and MedicalNet write `out.data` there, which cuts the gradient; the values are the same.

    Args:
        planes: Channels that come out.
        stride: In every direction.
    """

    def __init__(self, planes: int, stride: int) -> None:
        super().__init__()
        self.planes, self.stride = planes, stride

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, ...] -> [B, planes, ...]."""
        steps = (slice(None), slice(None), *[slice(None, None, self.stride)] * (values.ndim - 2))
        kept = values[steps]
        return F.pad(kept, [0, 0] * (values.ndim - 2) + [0, self.planes - values.shape[1]])


def make_resnet(
    depth: int,
    dims: int,
    channels: int,
    *,
    width: float = 1.0,
    stem_stride: int = 2,
    shortcut: Shortcut = "B",
    has_bias: bool = False,
    is_dilated: bool = False,
) -> Any:
    """A residual network without its last layer; with shortcut B and stem stride 2, torchvision's in `dims` dimensions.

    Args:
        depth: 10, 18, 34 or 50.
        dims: 2 or 3.
        channels: Of the input.
        width: Factor on the number of channels everywhere.
        stem_stride: Of the first convolution; MONAI's own default of 1 makes a network eight times as costly in 3-D.
        shortcut: "B" has weights where resolution changes, "A" has none.
        has_bias: Whether those of "B" have a bias before their BatchNorm, as MONAI's default has and MedicalNet has not.
        is_dilated: Whether the last two layers are MedicalNet's.
    """
    network: Any = ResNet(
        "basic" if depth < FIRST_BOTTLENECK else "bottleneck",
        list(LAYERS[depth]),
        list(PLANES),
        spatial_dims=dims,
        n_input_channels=channels,
        conv1_t_stride=stem_stride,
        shortcut_type=shortcut,
        widen_factor=width,
        feed_forward=False,
        bias_downsample=has_bias,
    )
    _repair_shortcuts(network)
    if is_dilated:
        _dilate(network)
    return network


def make_densenet(dims: int, channels: int) -> Any:
    """DenseNet-121 without its last layer, in `dims` dimensions."""
    network: Any = DenseNet121(dims, channels, 1)
    network.class_layers = nn.Identity()
    return network


def resnet_map(network: Any, values: Tensor) -> Tensor:
    """[B, C, ...] -> the last map of a residual network."""
    for stage in RESNET_STAGES:
        for path in stage.modules:
            values = network.get_submodule(path)(values)
    return values


def densenet_map(network: Any, values: Tensor) -> Tensor:
    """[B, C, ...] -> the last map of a dense network."""
    return F.relu(network.features(values))


def _repair_shortcuts(network: nn.Module) -> None:
    for module in network.modules():
        downsample = getattr(module, "downsample", None)
        if downsample is not None and not isinstance(downsample, nn.Module):
            module.downsample = PadShortcut(downsample.keywords["planes"], downsample.keywords["stride"])


def _dilate(network: nn.Module) -> None:
    for layer, dilation in DILATIONS.items():
        for module in network.get_submodule(layer).modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                module.stride = (1,) * len(module.stride)
                if module.kernel_size[0] > 1:
                    module.dilation = module.padding = (dilation,) * len(module.stride)
            elif isinstance(module, PadShortcut):
                module.stride = 1
