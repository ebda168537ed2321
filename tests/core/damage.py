"""Damage to the files of a folder, as a failing disk, a torn copy or a careless editor does it; drawn by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

KINDS = ("flip", "set", "digit", "cut", "delete", "insert", "empty", "lose", "rename", "replace")
SIGNS = b'0129[]{}",:- \n\x00\xff'
VALUES: tuple[Any, ...] = (None, [], {}, 7, "q", -1.5, True, [1, 2], {"a": 1}, "", 10**30)


@dataclass(frozen=True)
class Damage:
    """One change of one file.

    Attributes:
        file: Which one, of all sorted by name, as a share.
        at: Where in it, as a share.
        number: Which bit, sign, digit or value, and how many bytes.
    """

    kind: str
    file: float
    at: float
    number: int

    def harm(self, folder: Path, *, spared: tuple[str, ...] = ()) -> str:
        """Change a file below the folder, `spared` names aside; returns which."""
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in spared)
        path = files[_place(self.file, len(files))]
        if self.kind == "lose":
            path.unlink()
        else:
            content = path.read_bytes()
            with_sense = self._sense(content) if self.kind in ("rename", "replace") else None
            path.write_bytes(self._bytes(content) if with_sense is None else with_sense)
        return str(path.relative_to(folder))

    def _bytes(self, content: bytes) -> bytes:
        at, size = _place(self.at, len(content)), 1 + self.number % 40
        digits = [index for index, byte in enumerate(content) if chr(byte).isdigit()]
        match self.kind:
            case "flip" if content:
                return content[:at] + bytes([content[at] ^ 1 << self.number % 8]) + content[at + 1 :]
            case "digit" if digits:
                at = digits[_place(self.at, len(digits))]
                return content[:at] + b"%d" % (self.number % 10) + content[at + 1 :]
            case "cut":
                return content[:at]
            case "delete":
                return content[:at] + content[at + size :]
            case "insert":
                return content[:at] + bytes([self.number % 256]) * (1 + self.number % 3) + content[at:]
            case "empty":
                return b""
        return content[:at] + SIGNS[self.number % len(SIGNS) :][:1] + content[at + 1 :]

    def _sense(self, content: bytes) -> bytes | None:
        """JSON as before but for one key or value; of several lines in one of them. None = it is no JSON, or no more."""
        documents = _documents(content)
        if documents is None:
            return None
        places = [place for document in documents for place in _places(document)]
        if places:
            where, key = places[_place(self.at, len(places))]
            if self.kind == "rename" and isinstance(where, dict):
                where[f"{key}x"] = where.pop(key)
            else:
                where[key] = VALUES[self.number % len(VALUES)]
        return "".join(json.dumps(document) + "\n" for document in documents).encode()


DAMAGES = st.builds(Damage, st.sampled_from(KINDS), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))


def _place(share: float, count: int) -> int:
    return min(int(share * count), max(0, count - 1))


def _documents(content: bytes) -> list[Any] | None:
    for pieces in ([content], content.splitlines()):
        with suppress(ValueError):
            return [json.loads(piece) for piece in pieces]
    return None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield value, key
        yield from _places(part)
