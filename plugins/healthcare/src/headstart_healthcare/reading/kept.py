"""Kept readings: volumes that the pre-flight has read are not read again while their files are as they were, within a limit."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from threading import Lock

from headstart_healthcare.reading.grid import Grid

MOST = 256 * 1024**2
"""Bytes of all that is kept: 256 volumes of 64 x 64 x 64 voxels, or 8 of 256 x 256 x 128."""

State = tuple[tuple[int, int], ...]
"""Of each file when it was changed last, in nanoseconds, and its size in bytes."""


class Kept:
    """Volumes by what was read, and how.

    They come in the order of the data, and what does not fit is not kept: none is thrown out for a later one, since every
    pass begins anew and would find the last ones only.

    Args:
        most: Bytes.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._held: dict[Hashable, tuple[State, Grid]] = {}
        self._bytes = 0
        self._lock = Lock()

    def keep(self, key: Hashable, files: Iterable[str], grid: Grid) -> None:
        """Hold a volume, if it fits; from then on nobody may write into it."""
        state, size = _state(files), grid.values.nbytes
        with self._lock:
            if state is None or key in self._held or self._bytes + size > self.most:
                return
            grid.values.flags.writeable = False
            self._held[key] = state, grid
            self._bytes += size

    def find(self, key: Hashable, files: Iterable[str]) -> Grid | None:
        """The volume; None = it is not held, or its files have changed, and it is dropped."""
        with self._lock:
            state, grid = self._held.get(key, (None, None))
            if grid is None or state == _state(files):
                return grid
            del self._held[key]
            self._bytes -= grid.values.nbytes
            return None


def _state(files: Iterable[str]) -> State | None:
    try:
        return tuple((found.st_mtime_ns, found.st_size) for found in (Path(file).stat() for file in files))
    except OSError:
        return None


KEPT = Kept()
"""Of this process."""
