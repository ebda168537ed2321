"""Layout: how the values of one of timm's networks lie in memory, so that they can be read as maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

CHANNELS_LAST = "NHWC"  # timm's word for [B, h, w, C]


@dataclass(frozen=True)
class Layout:
    """How values lie.

    Attributes:
        is_channels_last: Maps are [B, h, w, C].
        grid: Height and width in patches where values are rows of tokens [B, L, C]; None = they are not.
        prefix: Tokens before those of the patches (class token, registers).
    """

    is_channels_last: bool = False
    grid: tuple[int, int] | None = None
    prefix: int = 0

    def as_map(self, value: Any) -> Tensor | None:
        """A value as [B, C, h, w]; None = it is no map."""
        if not isinstance(value, Tensor):
            return None
        if value.ndim == 4:
            return value.permute(0, 3, 1, 2) if self.is_channels_last else value
        if value.ndim == 3 and self.grid is not None and value.shape[1] == self.prefix + self.grid[0] * self.grid[1]:
            return value[:, self.prefix :].transpose(1, 2).reshape(value.shape[0], value.shape[2], *self.grid)
        return None


def layout_of(network: Any) -> Layout:
    """As timm's networks tell it."""
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    is_last = getattr(network, "output_fmt", "") == CHANNELS_LAST
    return Layout(is_last, tuple(grid) if grid else None, int(getattr(network, "num_prefix_tokens", 0) or 0))
