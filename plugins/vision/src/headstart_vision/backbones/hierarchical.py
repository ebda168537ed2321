"""Four levels with a halving between them: ConvNeXt (Liu et al. 2022), Swin (Liu et al. 2021) and Swin v2 (2022)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic
from headstart_vision.expectation import check_size

SMALLEST_SWIN = 32  # one cell at the last level; windows larger than the map are padded


class FourLevels(Classic):
    """A ConvNeXt or Swin of torchvision without its last layer."""

    _norm: str

    def _stages(self) -> tuple[Stage, ...]:
        levels = [("features.1",), *((f"features.{i}", f"features.{i + 1}") for i in (2, 4, 6))]
        stages = [Stage(f"stage{i}", paths) for i, paths in enumerate(levels, start=1)]
        return (Stage("stem", ("features.0",)), *stages, Stage("norm", (self._norm,)))


class ConvNeXt(FourLevels):
    """A ConvNeXt of torchvision without its last layer; its last normalisation, behind the average, is a stage of its own."""

    classifier = ("classifier.2.",)
    _norm = "classifier.0"

    def _cut(self) -> tuple[int, int]:
        width = self.network.classifier[2].in_features
        self.network.classifier = self.network.classifier[:2]
        return width, width

    def _pool(self, last_map: Tensor) -> Tensor:
        output: Tensor = self.network.classifier(self.network.avgpool(last_map))
        return output


class ConvNeXtTiny(ConvNeXt):
    arch = "convnext_tiny"


class ConvNeXtSmall(ConvNeXt):
    arch = "convnext_small"


class ConvNeXtBase(ConvNeXt):
    arch = "convnext_base"


class ConvNeXtLarge(ConvNeXt):
    arch = "convnext_large"


class Swin(FourLevels):
    """A Swin transformer of torchvision without its last layer."""

    classifier = ("head.",)
    _norm = "norm"

    def _check_size(self, size: int | None) -> None:
        check_size(size, SMALLEST_SWIN, self.arch)

    def _cut(self) -> tuple[int, int]:
        width = self.network.head.in_features
        self.network.head = nn.Identity()
        return width, width

    def _as_map(self, value: Any) -> Tensor | None:
        output: Tensor = self.network.permute(value)  # [B, h, w, C] -> [B, C, h, w]
        return output if value.ndim == 4 else None

    def _map(self, pixels: Tensor) -> Tensor:
        output: Tensor = self.network.permute(self.network.norm(self.network.features(pixels)))
        return output


class SwinT(Swin):
    arch = "swin_t"


class SwinS(Swin):
    arch = "swin_s"


class SwinB(Swin):
    arch = "swin_b"


class SwinV2T(Swin):
    arch = "swin_v2_t"


class SwinV2S(Swin):
    arch = "swin_v2_s"


class SwinV2B(Swin):
    arch = "swin_v2_b"
