"""One shard of a store: rows of equal structure as a safetensors file, read through memory mapping.

Tensor c of the rows is "c" [rows, ...] where all have one shape, else "c.values" (all of them joined, flat), "c.offsets"
[rows + 1] into it and "c.shapes" [rows, dimensions]. "rows" [rows, 16] holds the salted digest of each row's content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from headstart.memory import claim
from headstart.store_folder import FORMAT, StoreError

ROWS = "rows"
DIGEST_BYTES = 16
Structure = tuple[tuple[torch.dtype, int], ...]


def structure_of(row: Sequence[Tensor]) -> Structure:
    """What rows of one shard have in common: number of tensors, and dtype and dimensions of each."""
    return tuple((tensor.dtype, tensor.ndim) for tensor in row)


def pack(digests: Sequence[bytes], rows: Sequence[Sequence[Tensor]], key: str) -> bytes:
    """Rows of one structure as the content of a shard.

    Raises:
        StoreError: A tensor is of a kind that safetensors cannot hold.
        OSError: There is no memory for it.
    """
    tensors = {ROWS: torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(-1, DIGEST_BYTES)}
    for at in range(len(rows[0])):
        tensors |= _column(str(at), [row[at].detach().cpu() for row in rows])
    claim(sum(tensor.nbytes for tensor in tensors.values()), copies=2)
    try:
        content: bytes = save(tensors, {"format": str(FORMAT), "key": key})
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        dtypes = ", ".join(sorted({str(tensor.dtype) for tensor in rows[0]}))
        raise StoreError(f"rows of {dtypes} cannot be written as safetensors: {error}") from error
    return content


def _column(name: str, column: Sequence[Tensor]) -> dict[str, Tensor]:
    if len({tensor.shape for tensor in column}) == 1:
        return {name: torch.stack(list(column))}
    ends = np.cumsum([0, *(tensor.numel() for tensor in column)])
    return {
        f"{name}.values": torch.cat([tensor.reshape(-1) for tensor in column]),
        f"{name}.offsets": torch.from_numpy(ends.astype(np.int64)),
        f"{name}.shapes": torch.tensor([tuple(tensor.shape) for tensor in column], dtype=torch.int64),
    }


def read_digests(path: Path, key: str) -> list[bytes] | None:
    """Digests of a shard's rows, in their order; None where the file is damaged or belongs to another key."""
    try:
        with safe_open(path, framework="np") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            table = file.get_tensor(ROWS)
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    if table.dtype != np.uint8 or table.ndim != 2 or table.shape[1] != DIGEST_BYTES:
        return None
    content = table.tobytes()
    return [content[start:end] for start, end in pairwise(range(0, len(content) + 1, DIGEST_BYTES))]


class Shard:
    """A shard whose hash was found right, mapped into memory; only the rows that are read take any."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            tensors: Mapping[str, Tensor] = {name: file.get_tensor(name) for name in file.keys() if name != ROWS}  # noqa: SIM118
        names = {int(name.partition(".")[0]) for name in tensors}
        self._columns = [_Column(tensors, str(at)) for at in sorted(names)]

    def row(self, at: int) -> list[Tensor]:
        """The tensors of one row, of their own memory."""
        return [column.row(at) for column in self._columns]

    def nbytes(self, at: int) -> int:
        """Bytes of one row's tensors."""
        return sum(column.nbytes(at) for column in self._columns)


class _Column:
    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        self._dense = tensors.get(name)
        if self._dense is None:
            self._values = tensors[f"{name}.values"]
            self._offsets: list[int] = tensors[f"{name}.offsets"].tolist()
            self._shapes: list[list[int]] = tensors[f"{name}.shapes"].tolist()

    def row(self, at: int) -> Tensor:
        if self._dense is not None:
            return self._dense[at].clone()
        return self._values[self._offsets[at] : self._offsets[at + 1]].clone().view(self._shapes[at])

    def nbytes(self, at: int) -> int:
        if self._dense is not None:
            return self._dense.nbytes // self._dense.shape[0]
        return (self._offsets[at + 1] - self._offsets[at]) * self._values.element_size()
