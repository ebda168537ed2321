"""Where stored rows lie: one folder per key under the cache, with an index that names every shard and its hash. No torch."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.files import file_hash, write_json

FORMAT = 1  # of the folder and the shards; another one is a miss
KEY, INDEX, USED = "key.json", "index.json", "used"
SHARD_NAME = re.compile(r"shard-\d{5,}-[0-9a-f]{8}\.safetensors")
DIGEST = re.compile(r"[0-9a-f]{32}")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(HeadstartError):
    """The disk store cannot be used here: nobody is trusted, nothing can be written, or there is no room.

    Whoever catches it goes on in memory; nothing that was published before is lost.

    Attributes:
        needed: Bytes that could not be written; 0 where it is not about room.
    """

    def __init__(self, message: str, *, needed: int = 0) -> None:
        self.needed = needed
        super().__init__(message)


@dataclass(frozen=True)
class ShardEntry:
    """One shard as the index knows it.

    Attributes:
        file: Its name in the folder: a number and the beginning of its hash.
        sha256: Of the whole file.
        bytes: Size of the file.
        rows: Examples in it.
    """

    file: str
    sha256: str
    bytes: int
    rows: int


def stores_root() -> Path:
    """The folder of all stores: `$HEADSTART_CACHE/stores`, else in the user's cache folder."""
    if given := os.environ.get("HEADSTART_CACHE"):
        return Path(given).expanduser() / "stores"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("headstart", appauthor=False)) / "stores"


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, and judge it.

    Raises:
        StoreError: It cannot be made, or others could put files into it.
    """
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    check_trusted(folder)


def check_trusted(folder: Path) -> None:
    """Refuse a folder into which others could put values that a run would take for its own.

    Raises:
        StoreError: It is no folder, another user owns it, or others can write to it.
    """
    with naming(folder):
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"the store '{folder}' is no folder; remove it or set HEADSTART_CACHE to another place")
    if hasattr(os, "getuid") and found.st_uid not in (os.getuid(), 0):
        raise StoreError(
            f"the store '{folder}' belongs to another user (uid {found.st_uid}) and is not trusted; "
            "set HEADSTART_CACHE to a folder of your own"
        )
    if found.st_mode & _OTHERS_WRITE:
        raise StoreError(
            f"the store '{folder}' can be written by others (mode {stat.S_IMODE(found.st_mode):o}) and is not trusted; "
            f"empty it and type: chmod go-w '{folder}'"
        )


@contextmanager
def naming(folder: Path, *, needed: int = 0) -> Iterator[None]:
    """Around reading or writing in a store: what the system says becomes a StoreError with the place and the bytes."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            amount = f"{needed:,} bytes " if needed else ""
            raise StoreError(
                f"cannot write {amount}to the store '{folder}': {reason}; make room with `headstart cache clean`, "
                "or set HEADSTART_CACHE to a place with more",
                needed=needed,
            ) from error
        advice = "end other programs" if error.errno == errno.ENOMEM else "set HEADSTART_CACHE to another place"
        raise StoreError(f"cannot use the store '{folder}': {reason}; {advice}") from error


def write_key(folder: Path, key: Mapping[str, str]) -> None:
    """Say in the folder what its rows depend on."""
    write_json(folder / KEY, {"format": FORMAT, "key": dict(key)})


def read_key(folder: Path) -> dict[str, str] | None:
    """What the folder's rows depend on; None where the file is absent, damaged or of another format."""
    found = _parsed(folder / KEY)
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("key"), dict):
        return None
    return {str(name): str(value) for name, value in found["key"].items()}


def write_index(folder: Path, shards: Sequence[ShardEntry]) -> None:
    """Publish the shards: what the index does not name is not there."""
    write_json(folder / INDEX, {"format": FORMAT, "shards": [asdict(shard) for shard in shards]})


def read_index(folder: Path) -> list[ShardEntry]:
    """The published shards; none where the index is absent, damaged or of another format."""
    found = _parsed(folder / INDEX)
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("shards"), list):
        return []
    entries = (_entry(raw) for raw in found["shards"])
    return list({entry.file: entry for entry in entries if entry is not None}.values())


def is_sound(folder: Path, entry: ShardEntry) -> bool:
    """Whether the shard's bytes are the published ones; hashed once per process and state of the file."""
    path = folder / entry.file
    try:
        found = path.lstat()
        is_ours = not hasattr(os, "getuid") or found.st_uid in (os.getuid(), 0)
        if not stat.S_ISREG(found.st_mode) or found.st_size != entry.bytes or not is_ours:
            return False
        return _hash_of(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) == entry.sha256
    except OSError:
        return False


@lru_cache(maxsize=65536)
def _hash_of(path: Path, inode: int, size: int, modified: int, changed: int) -> str:
    return file_hash(path)


def touch_used(folder: Path) -> None:
    """Note that the store was used now; a folder that is only readable stays as it is."""
    with suppress(OSError):
        (folder / USED).touch(mode=0o600)


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # absent or damaged; both mean: not there
        return None


def _entry(raw: Any) -> ShardEntry | None:
    """One line of the index; None where it is no shard of this folder."""
    try:
        entry = ShardEntry(str(raw["file"]), str(raw["sha256"]), int(raw["bytes"]), int(raw["rows"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return entry if SHARD_NAME.fullmatch(entry.file) else None  # a name with a path in it leads out of the folder
