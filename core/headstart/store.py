"""The disk store: values that frozen stages gave, by the content of the example, computed once for all runs.

A row is the tensors of one example. Rows are published in shards by rename, so that a builder may be killed at any time; they
are read through memory mapping after their hash was checked; whatever is not as it was published is computed again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.events import Tell
from headstart.store_eviction import size_limit
from headstart.store_folder import (
    SHARD_NAME,
    ShardEntry,
    StoreError,
    is_sound,
    make_folder,
    naming,
    read_index,
    read_key,
    stores_root,
    touch_used,
    write_index,
    write_key,
)
from headstart.store_key import StoreKey
from headstart.store_lock import building, hold_for_use, release
from headstart.store_shard import DIGEST_BYTES, Shard, read_digests
from headstart.store_writer import SHARD_BYTES, Writer

Build = Callable[[Sequence[int]], Iterator[tuple[int, list[Tensor]]]]
Places = dict[bytes, tuple[str, int]]
"""Salted digest -> file of the shard and place in it."""


class DiskRows:
    """Rows of a store in the order in which they were asked for; held against removal until closed or forgotten.

    Attributes:
        nbytes: Of all rows as tensors.
        computed: Rows that had to be computed at opening.
    """

    def __init__(self, folder: Path, places: Sequence[tuple[str, int]], held: int | None, *, computed: int) -> None:
        self._close = weakref.finalize(self, release, held)
        self._shards = {file: Shard(folder / file) for file in dict.fromkeys(file for file, _ in places)}
        self._files = list(self._shards)
        numbers = {file: number for number, file in enumerate(self._files)}
        self._places = np.array([(numbers[file], row) for file, row in places], dtype=np.int32).reshape(-1, 2)
        self.nbytes = sum(self._shards[file].nbytes(row) for file, row in places)
        self.computed = computed

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: int) -> list[Tensor]:
        """The tensors of one example, of their own memory, as they were computed to the bit."""
        number, row = self._places[at].tolist()
        return self._shards[self._files[number]].row(row)

    def close(self) -> None:
        """Let the store be removed from now on; rows can still be read."""
        self._close()


def open_store(
    folder: Path | None,
    key: StoreKey,
    contents: Sequence[str | None],
    build: Build,
    *,
    limit_bytes: int | None = None,
    tell: Tell = lambda *_, **__: None,
    shard_bytes: int = SHARD_BYTES,
) -> DiskRows:
    """Rows of examples out of the store of a key; only those that it lacks are computed, and added to it.

    Several processes may open one store at once: one of them computes, the others wait and read.

    Args:
        folder: Of all stores; None = `stores_root()`.
        key: Everything that decides a row but the example.
        contents: `content_digest` of each example (`of_example` of it in an augmented view); equal ones share a row.
        build: Called with indices into `contents`; yields (index, row) for each of them once, in any order. What it gave
            until an error is kept.
        limit_bytes: Of all stores together; None = `HEADSTART_CACHE_LIMIT`, else 20 GB.
        tell: Hears of waiting ("store") and of damage ("warning").
        shard_bytes: Of rows in one shard, about.

    Raises:
        StoreError: The content of an example cannot be told, or the store cannot be trusted, read or written; the message
            names the place, and the bytes where there is no room. Whoever calls goes on without it.
    """
    if unknown := sum(content is None for content in contents):
        raise StoreError(
            f"the content of {unknown} of {len(contents)} inputs cannot be told, so that they cannot be stored on disk"
        )
    root = stores_root() if folder is None else folder
    make_folder(root)
    store = _Store(root, key, size_limit() if limit_bytes is None else limit_bytes, tell, shard_bytes)
    held = hold_for_use(store.folder)
    try:
        touch_used(store.folder)
        wanted = [store.salted(content) for content in contents if content is not None]
        found = store.find(wanted)
        missing = _first_of_each(wanted, found)
        if missing:
            found = store.fill(wanted, build)
        return DiskRows(store.folder, [found[digest] for digest in wanted], held, computed=store.computed)
    except BaseException:
        release(held)
        raise


def _first_of_each(wanted: Sequence[bytes], found: Places) -> dict[bytes, int]:
    """Digest -> the first index that has it, of those that are not found."""
    missing: dict[bytes, int] = {}
    for index, digest in enumerate(wanted):
        if digest not in found:
            missing.setdefault(digest, index)
    return missing


class _Store:
    """One folder while it is opened.

    Attributes:
        computed: Rows that were computed and published.
    """

    def __init__(self, root: Path, key: StoreKey, limit: int, tell: Tell, shard_bytes: int) -> None:
        self.root, self.key, self.digest = root, key, key.digest()
        self.folder = root / self.digest
        self._limit, self._tell, self._shard_bytes = limit, tell, shard_bytes
        self.computed = 0
        self._sound: list[ShardEntry] = []  # shards of which `find` knows no harm

    def salted(self, content: str) -> bytes:
        """The digest of one content in this store: without the key it cannot be looked up in a table of hashed texts."""
        return sha256(f"{self.digest}:{content}".encode()).digest()[:DIGEST_BYTES]

    def find(self, wanted: Sequence[bytes]) -> Places:
        """Where the wanted rows are, in shards whose hash is right; only shards that hold some of them are hashed."""
        self._sound = read_index(self.folder) if read_key(self.folder) == asdict(self.key) else []
        asked, places = set(wanted), Places()
        for entry in tuple(self._sound):
            digests = read_digests(self.folder / entry.file, self.digest)
            here = {digest: (entry.file, row) for row, digest in enumerate(digests or ()) if digest in asked}
            is_needed = bool(here.keys() - places.keys())
            if digests is None or len(digests) != entry.rows or (is_needed and not is_sound(self.folder, entry)):
                self._sound.remove(entry)
                continue
            for digest, place in here.items():
                places.setdefault(digest, place)
        return places

    def fill(self, wanted: Sequence[bytes], build: Build) -> Places:
        """Compute what is still missing once nobody else builds."""
        with building(self.folder, self._say_waiting):
            missing = _first_of_each(wanted, self.find(wanted))
            if missing:
                self._repair()
                self._build({index: digest for digest, index in missing.items()}, build)
            return self._all_found(wanted)

    def _say_waiting(self, process: str) -> None:
        self._tell("store", message=f"waiting for {process}, which fills the store {self.folder}")

    def _repair(self) -> None:
        """Throw away what `find` did not find sound, and the files of builders that were killed."""
        listed = read_index(self.folder)
        if lost := len(listed) - len(self._sound):
            message = f"{lost} of {len(listed)} shards of the store {self.folder} are damaged or foreign"
            self._tell("warning", message=f"{message}; their rows are computed again")
        with naming(self.folder):
            write_index(self.folder, self._sound)  # before the key: rows of a foreign one must never seem ours
            write_key(self.folder, asdict(self.key))
            known = {entry.file for entry in self._sound}
            for path in self.folder.iterdir():
                if path.name not in known and (SHARD_NAME.fullmatch(path.name) or path.name.endswith(".tmp")):
                    path.unlink(missing_ok=True)

    def _build(self, missing: dict[int, bytes], build: Build) -> None:
        writer = Writer(self.folder, self.digest, self._sound, limit=self._limit, shard_bytes=self._shard_bytes)
        expected = dict(missing)
        try:
            for index, row in build(sorted(missing)):
                if index not in expected:
                    raise HeadstartError(f"a builder gave a row for {index}, which was not asked for or came twice")
                writer.add(expected.pop(index), row)
        finally:  # also what was computed before an error or Ctrl-C
            writer.publish()
        if expected:
            raise HeadstartError(f"a builder gave {len(missing) - len(expected)} rows, {len(missing)} were asked for")
        self.computed = len(missing)

    def _all_found(self, wanted: Sequence[bytes]) -> Places:
        places = self.find(wanted)
        if absent := len(set(wanted) - places.keys()):
            raise StoreError(f"{absent} rows were written to the store '{self.folder}' and read back wrong; check the disk")
        return places
