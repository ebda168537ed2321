"""A chain of lines: each holds the hash of the one before, so that none can be changed, left out or put in unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from headstart.errors import DataError

FILE = "audit.jsonl"
"""In the run's folder."""

START = "0" * 64  # what the first line holds in place of the hash of one before
HASH, BEFORE = "hash", "before"


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


def append(path: Path, entries: Sequence[Mapping[str, Any]]) -> str:
    """Write entries behind those that are there; gives the last hash."""
    known = read(path) if path.exists() else []
    before = str(known[-1][HASH]) if known else START
    with path.open("a", encoding="utf-8") as file:
        for entry in linked(entries, before, len(known) + 1):
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            before = entry[HASH]
    return before


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a trail.

    Raises:
        DataError: There is none, or a line is no entry.
    """
    if not path.exists():
        raise DataError(f"{path}: this run has no audit trail; only runs on clinical data have one")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or HASH not in entry:
            raise DataError(f"{path}:{number}: no line of an audit trail; the file was changed or cut off")
        found.append(entry)
    return found


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
