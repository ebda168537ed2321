"""ViT: a picture as a row of patches; Dosovitskiy et al. 2020."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from headstart.features import Features
from headstart.stages import Stage
from headstart_vision.backbones.classic import Classic
from headstart_vision.expectation import Expectation, check_size

POSITIONS = "encoder.pos_embedding"


class ViT(Classic):
    """A vision transformer of torchvision without its last layer; positions are interpolated where the size is another.

    The port "pooled" is the class token, "map" the tokens of the patches, laid out as they lie in the picture.

    Class attributes:
        patch: Side of a patch in pixels; a picture's side is a multiple of it.
    """

    classifier = ("heads.",)
    patch: ClassVar[int]

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels [B, C, S, S] -> pooled [B, C] and maps [B, C, S / patch, S / patch]."""
        with self._tapping() as seen:
            patches = self.network.conv_proj(batch["pixels"])  # [B, C, h, w]
            class_token = self.network.class_token.expand(patches.shape[0], -1, -1)
            tokens = self.network.encoder(torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1))
        return {"pooled": tokens[:, 0], **self._maps(self._laid_out(tokens), seen)}

    def _laid_out(self, tokens: Tensor) -> Tensor:
        """Tokens [B, 1 + h * w, C], the class token first -> [B, C, h, w]."""
        side = math.isqrt(tokens.shape[1] - 1)
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], side, side)

    def _as_map(self, value: Any) -> Tensor | None:
        return self._laid_out(value) if value.ndim == 3 and value.shape[1] > 1 else None

    def _probe_size(self, native: Expectation, colours: Expectation) -> int:
        return colours.size

    def _check_size(self, size: int | None) -> None:
        check_size(size, self.patch, self.arch, multiple=self.patch)

    def _native(self, expects: Expectation, tensors: Mapping[str, Tensor] | None) -> Expectation:
        if tensors is None or POSITIONS not in tensors:
            return expects
        return expects.sized(math.isqrt(tensors[POSITIONS].shape[1] - 1) * self.patch)

    def _build(self, size: int, *, is_random: bool) -> Any:
        return models.get_model(self.arch, weights=None, image_size=size)

    def _fitted(self, tensors: dict[str, Tensor], size: int) -> dict[str, Tensor]:
        if POSITIONS not in tensors:
            return tensors  # what is missing is told when the network is filled
        fitted: dict[str, Tensor] = interpolate_embeddings(size, self.patch, tensors)
        return fitted

    def _cut(self) -> tuple[int, int]:
        width = self.network.heads[-1].in_features
        self.network.heads = nn.Identity()
        return width, width

    def _stages(self) -> tuple[Stage, ...]:
        embeddings = Stage("embeddings", ("conv_proj", "encoder.dropout"), ("class_token", POSITIONS))
        layers = [Stage(f"layer.{i}", (f"encoder.layers.encoder_layer_{i}",)) for i in range(len(self.network.encoder.layers))]
        return (embeddings, *layers, Stage("norm", ("encoder.ln",)))


class ViTB16(ViT):
    arch, patch = "vit_b_16", 16


class ViTB32(ViT):
    arch, patch = "vit_b_32", 32


class ViTL16(ViT):
    arch, patch = "vit_l_16", 16


class ViTL32(ViT):
    arch, patch = "vit_l_32", 32


class ViTH14(ViT):
    arch, patch = "vit_h_14", 14
