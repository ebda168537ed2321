"""Published hashes: what the hub said of a file when it was fetched, compared with the bytes that are there now.

huggingface_hub keeps each file under the ETag that the hub gave (`blobs/<ETag>`) and links to it from `snapshots/<commit>/`.
The ETag of a large file is its sha256, that of a small one is git's: the SHA-1 of "blob <bytes>", a zero byte and the content.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from headstart.errors import WeightsError

NAME = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
BLOBS = "blobs"


def published_name(file: Path) -> str:
    """What the hub called the content of a file of a snapshot; "" = nothing says it (a plain file, another kind of cache)."""
    if not file.is_symlink():
        return ""
    target = file.readlink()
    return target.name if target.parent.name == BLOBS and NAME.fullmatch(target.name) else ""


def has_published(file: Path, name: str) -> bool:
    """Whether a file has the content that the hub called so."""
    state = file.stat()
    return _digest(str(file), len(name), state.st_size, state.st_mtime_ns) == name


def check_published(files: Iterable[Path]) -> None:
    """Hold files of a snapshot to what the hub published; those of which nothing is known are passed over.

    Raises:
        WeightsError: A file has other bytes.
    """
    for file in files:
        name = published_name(file)
        if name and not has_published(file, name):
            raise WeightsError(
                f"weights: {file} is not what the hub published: its content should be {name[:12]}...; "
                f"delete {file.resolve()} and fetch it again"
            )


@lru_cache(maxsize=1024)
def _digest(file: str, digits: int, size: int, _changed: int) -> str:
    digest = hashlib.sha256() if digits == 64 else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with Path(file).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
