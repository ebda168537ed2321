"""Rows: stored values, one row of tensors per example, in memory or on disk; who reads them cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

Row = list[Tensor]
"""The stored tensors of one example, padding cut away."""


class Rows(Protocol):
    """One row per example of a split, by its index."""

    nbytes: int

    def __getitem__(self, at: int) -> Row: ...
    def __len__(self) -> int: ...


class MemoryRows:
    """Rows in memory.

    Attributes:
        nbytes: Of all tensors.
        computed: How many were computed for this: all.
    """

    def __init__(self, pairs: Iterable[tuple[int, Row]]) -> None:
        self._rows = dict(pairs)
        self.computed = len(self._rows)
        self.nbytes = row_bytes(list(self._rows.values()))

    def __getitem__(self, at: int) -> Row:
        return self._rows[at]

    def __len__(self) -> int:
        return len(self._rows)


def row_bytes(rows: Sequence[Row]) -> int:
    """Bytes of all tensors of some rows."""
    return sum(tensor.nbytes for row in rows for tensor in row)
