"""Writing a store: rows are gathered, packed into shards and published one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from torch import Tensor

from headstart.files import write_bytes
from headstart.store_eviction import make_room
from headstart.store_folder import ShardEntry, naming, write_index
from headstart.store_shard import Structure, pack, structure_of

SHARD_BYTES = 64_000_000  # of rows in one shard; a killed builder loses at most what it gathered for the next one
PUBLISH_SECONDS = 30.0  # or what it gathered in this time, where rows are small or slow to compute

Rows = list[tuple[bytes, Sequence[Tensor]]]
"""Salted digests and their rows."""


class Writer:
    """Gathers rows by structure and publishes them; only one process does so in a folder (see `building`).

    Args:
        folder: Of the store.
        key: Digest of its key.
        entries: Shards that are there already.
        limit: Bytes that all stores beside this one and itself may take.
        shard_bytes: Of rows that are gathered before they are published.
    """

    def __init__(self, folder: Path, key: str, entries: Sequence[ShardEntry], *, limit: int, shard_bytes: int) -> None:
        self._folder, self._key, self._entries = folder, key, list(entries)
        self._limit, self._shard_bytes = limit, shard_bytes
        self._gathered: dict[Structure, Rows] = {}
        self._bytes, self._since = 0, time.monotonic()

    def add(self, digest: bytes, row: Sequence[Tensor]) -> None:
        """Take one row, and publish once enough are gathered.

        Raises:
            StoreError: There is no room, or the folder cannot be written.
        """
        self._gathered.setdefault(structure_of(row), []).append((digest, row))
        self._bytes += sum(tensor.nbytes for tensor in row)
        if self._bytes >= self._shard_bytes or time.monotonic() - self._since >= PUBLISH_SECONDS:
            self.publish()

    def publish(self) -> None:
        """Write what is gathered, one shard for each structure, and then the index that names them."""
        gathered, self._gathered = self._gathered, {}
        for rows in gathered.values():
            self._entries.append(self._write(rows))
        with naming(self._folder):
            if gathered:
                write_index(self._folder, self._entries)
        self._bytes, self._since = 0, time.monotonic()

    def _write(self, rows: Rows) -> ShardEntry:
        with naming(self._folder):
            content = pack([digest for digest, _ in rows], [row for _, row in rows], self._key)
        make_room(self._folder.parent, len(content), self._limit, keep=self._folder)
        hashed = sha256(content).hexdigest()
        entry = ShardEntry(f"shard-{self._number():05d}-{hashed[:8]}.safetensors", hashed, len(content), len(rows))
        with naming(self._folder, needed=len(content)):
            write_bytes(self._folder / entry.file, content, site="store")
        return entry

    def _number(self) -> int:
        return max((int(entry.file.split("-")[1]) for entry in self._entries), default=-1) + 1
