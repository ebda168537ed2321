"""Name search: thousands of names in files of any size, in one pass over the bytes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LEAST = 6  # bytes of a name that can be told from chance: 4 hit random bytes of a 20 MB model by the dozen
_PREFIX = 4  # bytes that are looked up first
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def is_searchable(name: str) -> bool:
    """Long enough, and no bare number, which would be found in every table of figures."""
    return len(name.encode()) >= LEAST and not name.isdigit()


class NameSearch:
    """Finds whole names: what stands before and after is no letter and no digit.

    Args:
        names: Those that are not `is_searchable` are left out.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.by_prefix: dict[int, list[bytes]] = {}
        for name in sorted(set(names)):
            if is_searchable(name):
                raw = name.encode()
                self.by_prefix.setdefault(int.from_bytes(raw[:_PREFIX], "little"), []).append(raw)
        self.prefixes = np.array(sorted(self.by_prefix), dtype=np.uint32)
        self._begins = np.zeros(1 << 16, dtype=bool)  # whether a name begins with these two bytes
        self._begins[self.prefixes & np.uint32(0xFFFF)] = True

    def __len__(self) -> int:
        return sum(map(len, self.by_prefix.values()))

    @property
    def longest(self) -> int:
        """Bytes by which pieces of a file have to overlap."""
        return max((len(name) for names in self.by_prefix.values() for name in names), default=0)

    def is_in(self, content: bytes) -> bool:
        """Whether one of the names stands in the content."""
        if len(content) < LEAST or not len(self.prefixes):
            return False
        where = self._candidates(content)
        values = np.frombuffer(content, np.uint8)
        windows = np.zeros(len(where), np.uint32)
        for i in range(_PREFIX):
            windows |= values[where + i].astype(np.uint32) << np.uint32(8 * i)
        at = np.minimum(np.searchsorted(self.prefixes, windows), len(self.prefixes) - 1)
        hits = np.flatnonzero(self.prefixes[at] == windows)
        return any(self._stands(content, int(where[hit]), int(windows[hit])) for hit in hits)

    def _candidates(self, content: bytes) -> np.ndarray:
        """Where the first two bytes of a name stand: one look-up for each byte, as weights are hundreds of megabytes."""
        found = []
        for shift in (0, 1):
            pairs = np.frombuffer(content, "<u2", count=(len(content) - shift) // 2, offset=shift)
            found.append(2 * np.flatnonzero(self._begins[pairs]) + shift)
        where = np.concatenate(found)
        return where[where <= len(content) - _PREFIX]

    def _stands(self, content: bytes, where: int, prefix: int) -> bool:
        if where and content[where - 1] in _WORD:
            return False
        ends = (where + len(name) for name in self.by_prefix[prefix] if content.startswith(name, where))
        return any(end == len(content) or content[end] not in _WORD for end in ends)
