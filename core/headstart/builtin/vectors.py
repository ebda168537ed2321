"""Vectors as they are: a backbone without weights, for features that somebody else has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbone import Backbone, WeightsCard
from headstart.errors import DataError, UsageError
from headstart.features import Features
from headstart.stages import Stage


class Vectors(Backbone):
    """Numeric vectors, shifted and scaled by given constants; nothing in it can be trained.

    Args:
        width: Numbers per vector, >= 1.
        center: What is subtracted from each number, one per column; empty = nothing.
        scale: What each difference is divided by, one per column, > 0; empty = nothing.
    """

    modality: ClassVar[str] = "vector"
    port_names: ClassVar[tuple[str, ...]] = ("pooled",)

    def __init__(self, *, width: int, center: tuple[float, ...] = (), scale: tuple[float, ...] = ()) -> None:
        super().__init__()
        if width < 1:
            raise UsageError(f"the backbone's option width is {width}; it must be at least 1")
        self.width = width
        self.center = _row("center", center, width, otherwise=0.0)
        self.scale = _row("scale", scale, width, otherwise=1.0)
        if not (self.scale > 0).all():
            raise UsageError("the backbone's option scale must be greater than 0 in every column")
        self.network: nn.Module = nn.Identity()
        self.ports: Mapping[str, int] = {"pooled": width}
        self.stages: tuple[Stage, ...] = ()
        self.card = WeightsCard(source="none", licence="none", expects=f"vectors of {width} numbers")

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Vectors [B, C] in float32, shifted and scaled in float64 before.

        Raises:
            DataError: A vector is not of the backbone's width, or holds something else than finite numbers.
        """
        rows = np.stack([self._vector(vector) for vector in inputs])
        return {"vectors": torch.from_numpy(((rows - self.center) / self.scale).astype(np.float32))}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """The vectors themselves as "pooled" [B, C]."""
        return {"pooled": self.network(batch["vectors"])}

    def save(self, folder: Path) -> None:
        """There are no weights to write; the folder is made, so that every run has it."""
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG003 - nothing is in it
        """The recipe's options: they are all there is."""
        return dict(options)

    def _vector(self, vector: Any) -> np.ndarray:
        try:
            numbers = np.asarray(vector, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"an input is not a vector of numbers: {error}") from error
        if numbers.shape != (self.width,):
            raise DataError(f"an input has the shape {numbers.shape}; the backbone vectors expects ({self.width},)")
        if not np.isfinite(numbers).all():
            column = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise DataError(f"an input has {numbers[column]} in column {column}; fill missing values in first")
        return numbers


def _row(name: str, values: Sequence[float], width: int, *, otherwise: float) -> np.ndarray:
    if len(values) not in (0, width):
        raise UsageError(f"the backbone's option {name} has {len(values)} values; it needs one per column, {width}, or none")
    return np.asarray(values, dtype=np.float64) if len(values) else np.full(width, otherwise)
