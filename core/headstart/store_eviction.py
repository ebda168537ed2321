"""Stores listed and removed: the least recently used first, under a size limit, never one that someone uses. No torch."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import UsageError
from headstart.store_folder import DIGEST, USED, StoreError, read_index, read_key, stores_root
from headstart.store_lock import holding_alone

LIMIT = 20_000_000_000  # bytes of all stores together, where HEADSTART_CACHE_LIMIT says nothing else
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Stored:
    """One store as it lies on the disk.

    Attributes:
        digest: Of its key; the name of its folder.
        key: What its rows depend on; empty where the file that says so is damaged.
        rows: Examples in its published shards.
        shards: How many there are.
        bytes: Of all its files.
        used: Seconds since 1970 when a run last opened it.
    """

    folder: Path
    digest: str
    key: dict[str, str]
    rows: int
    shards: int
    bytes: int
    used: float


def size_limit() -> int:
    """Bytes that all stores may take together: `HEADSTART_CACHE_LIMIT`, else 20 GB.

    Raises:
        UsageError: The variable is no size.
    """
    given = os.environ.get("HEADSTART_CACHE_LIMIT", "")
    return parse_size(given, "HEADSTART_CACHE_LIMIT") if given else LIMIT


def parse_size(text: str, what: str) -> int:
    """Bytes of a size such as "5GB", "500 MB", "2GiB" or "0".

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    if found is None or found[2] not in UNITS:
        raise UsageError(f"{what}: '{text}' is no size; write for example 5GB, 500MB or 2GiB")
    return int(float(found[1]) * UNITS[found[2]])


def stored(root: Path | None = None) -> list[Stored]:
    """Every store, the least recently used first."""
    folders = _folders(stores_root() if root is None else root)
    return sorted((_look_at(folder) for folder in folders if DIGEST.fullmatch(folder.name)), key=lambda store: store.used)


def make_room(root: Path, needed: int, limit: int, *, keep: Path | None = None) -> None:
    """Remove stores until `needed` more bytes fit under the limit.

    Args:
        root: The folder of all stores.
        needed: Bytes that are about to be written.
        limit: Bytes of all stores together.
        keep: The store that they are written to; it stays.

    Raises:
        StoreError: They do not fit, whatever is removed.
    """
    sweep(root)
    stores = stored(root)
    total = total_bytes(stores) + needed
    for store in stores:
        if total > limit and store.folder != keep and remove(store):
            total -= store.bytes
    if total > limit:
        raise StoreError(
            f"{needed:,} more bytes in the store '{keep or root}' would make {total:,}, over the limit of {limit:,}; "
            "raise HEADSTART_CACHE_LIMIT (it reads sizes like 50GB)",
            needed=needed,
        )


def shrink(stores: Sequence[Stored], size: int) -> tuple[list[Stored], list[Stored]]:
    """Remove the first of the stores until the rest takes at most `size` bytes; returns (removed, kept since in use)."""
    total, removed, busy = total_bytes(stores), list[Stored](), list[Stored]()
    for store in stores:
        if total <= size:
            break
        if remove(store):
            removed.append(store)
            total -= store.bytes
        else:
            busy.append(store)
    return removed, busy


def remove(store: Stored) -> bool:
    """Remove a store whole; False = someone uses it, or it cannot be removed."""
    with holding_alone(store.folder) as is_alone:
        if not is_alone:
            return False
        away = store.folder.with_name(f"{_REMOVED}{store.digest}-{os.getpid()}")
        try:
            store.folder.rename(away)  # gone at once: a process that opens the store now makes a new one
        except OSError:
            return False
    shutil.rmtree(away, ignore_errors=True)
    return True


def sweep(root: Path) -> None:
    """Remove what removals that were cut short left behind."""
    for folder in _folders(root):
        if folder.name.startswith(_REMOVED):
            shutil.rmtree(folder, ignore_errors=True)


def total_bytes(stores: Sequence[Stored]) -> int:
    """Bytes of several stores."""
    return sum(store.bytes for store in stores)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _look_at(folder: Path) -> Stored:
    shards = read_index(folder)
    used = [_seconds(path) for path in (folder / USED, folder)]
    rows = sum(shard.rows for shard in shards)
    return Stored(folder, folder.name, read_key(folder) or {}, rows, len(shards), _bytes_of(folder), used[0] or used[1])


def _bytes_of(folder: Path) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _seconds(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
