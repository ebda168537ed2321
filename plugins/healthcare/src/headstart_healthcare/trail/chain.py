"""A chain of lines: each holds the hash of the one before, so that none can be changed, left out or put in unseen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from headstart.errors import DataError

FILE = "audit.jsonl"
"""In the run's folder."""

START = "0" * 64  # what the first line holds in place of the hash of one before
HASH, BEFORE = "hash", "before"
_TAIL = 1 << 14  # bytes that are read from the end at first


def hash_of(entry: Mapping[str, Any]) -> str:
    """SHA-256 of an entry without its own hash, as JSON with sorted keys, in hexadecimal."""
    plain = {name: value for name, value in entry.items() if name != HASH}
    return sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def linked(entries: Sequence[Mapping[str, Any]], before: str = START, first: int = 1) -> Iterator[dict[str, Any]]:
    """The entries with their number, the hash of the one before, and their own."""
    for number, entry in enumerate(entries, start=first):
        made = {"number": number, **entry, BEFORE: before}
        before = hash_of(made)
        yield {**made, HASH: before}


def append(path: Path, entries: Sequence[Mapping[str, Any]], *, seal: Callable[[str], str] | None = None) -> str:
    """Write entries behind those that are there, held against others that write; gives the last hash.

    Args:
        path: The trail.
        entries: Without number and hashes.
        seal: Makes of the last hash what stands in one more entry behind them.

    Raises:
        DataError: The last line that is there is none of a trail.
    """
    with path.open("a+b") as file, _alone(file):
        last = _last(path, file)
        before, number = (str(last[HASH]), int(last["number"])) if last else (START, 0)
        made = list(linked(entries, before, number + 1))
        before = made[-1][HASH] if made else before
        if seal is not None and made:
            closing = {"event": "seal", "time": made[-1].get("time"), "seal": seal(before)}
            made += linked([closing], before, number + len(made) + 1)
        file.write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in made).encode())
    return made[-1][HASH] if made else before


@contextmanager
def _alone(file: IO[bytes]) -> Iterator[None]:
    """Only one process at a time writes; the lock ends with the file. Without `flock` (Windows) nothing is held."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _last(path: Path, file: IO[bytes]) -> Mapping[str, Any] | None:
    """The last entry, found from the end: a trail of a year of answers is long. None = there is none yet."""
    size = file.seek(0, os.SEEK_END)
    block = _TAIL
    while size:
        file.seek(max(0, size - block))
        lines = file.read().rstrip(b"\n").split(b"\n")
        if len(lines) > 1 or block >= size:
            return _entry(lines[-1].decode("utf-8", "replace"), f"{path}, last line")
        block *= 2
    return None


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a trail.

    Raises:
        DataError: There is none, or a line is no entry.
    """
    if not path.exists():
        raise DataError(f"{path}: this run has no audit trail; only runs on clinical data have one")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found.append(_entry(line, f"{path}:{number}"))
    return found


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or HASH not in entry or "number" not in entry:
        raise DataError(f"{where}: no line of an audit trail; the file was changed or cut off")
    return entry


def breaks(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the chain does not hold, whole sentences; none = nothing in it was changed, left out or put in."""
    before, last, found = START, 0, []
    for line, entry in enumerate(entries, start=1):
        if entry.get("number") != last + 1 or entry.get(BEFORE) != before:
            found.append(f"line {line} does not follow the one before it: a line was left out, put in or moved.")
        if hash_of(entry) != entry[HASH]:
            found.append(f"line {line} ({entry.get('event', '?')}) was changed after it was written.")
        before, last = str(entry[HASH]), int(entry.get("number") or 0)
    return found
