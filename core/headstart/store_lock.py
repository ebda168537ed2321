"""Locks of a store: one process builds while others wait, and a store that someone reads is never removed.

They are `flock` locks on files in the folder, so they end with the process that holds them, however it ends. On a network file
system without working locks (NFS mounted `nolock`) two machines may build one store at once: each then computes everything,
shards never mix since their names hold their hash, and the index that is written last counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from headstart.store_folder import StoreError, make_folder, naming

BUILD, USE = "build.lock", "use.lock"


def hold_for_use(folder: Path) -> int | None:
    """Make the folder where it is absent, and hold it against removal; returns a file descriptor that `release` takes.

    None = the folder is only readable and has no lock yet: nobody can remove it either.

    Raises:
        StoreError: The folder cannot be made or trusted, or there are no locks here.
    """
    _check_locks()
    while True:
        try:
            make_folder(folder)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                continue  # removed in between
            raise
        try:
            held = os.open(folder / USE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # removed in between
        except OSError:
            return None
        with naming(folder):
            _flock(held, is_shared=True)
        if _is_same(held, folder / USE):
            return held
        os.close(held)  # the store was removed between opening and locking


def release(held: int | None) -> None:
    """Give a lock back."""
    if held is not None:
        with suppress(OSError):
            os.close(held)


@contextmanager
def building(folder: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder as its only builder; `waiting` is called once with the other's name if there is one.

    Raises:
        StoreError: The folder cannot be written.
    """
    with naming(folder):
        held = os.open(folder / BUILD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with naming(folder):
            if not _flock(held, is_shared=False, is_waiting=False):
                number = os.pread(held, 32, 0).decode("ascii", "replace").strip()
                waiting(f"process {number}" if number else "another process")  # which has not yet said who it is
                _flock(held, is_shared=False)
            os.pwrite(held, f"{os.getpid():<20}\n".encode(), 0)  # for the line that a waiting process prints
        yield
    finally:
        os.close(held)


@contextmanager
def holding_alone(folder: Path) -> Iterator[bool]:
    """Whether nobody reads or builds the store (who builds also holds it for use); nobody begins to while the context lasts."""
    try:
        held = os.open(folder / USE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        yield isinstance(error, FileNotFoundError)  # without the file nobody has ever held it
        return
    try:
        yield _flock(held, is_shared=False, is_waiting=False)
    finally:
        os.close(held)


def _check_locks() -> None:
    if find_spec("fcntl") is None:
        raise StoreError("disk stores need the file locks of a POSIX system, which this one lacks")


def _is_same(held: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), path.lstat())
    except FileNotFoundError:
        return False


def _flock(file: int, *, is_shared: bool, is_waiting: bool = True) -> bool:
    """Lock an open file; False = someone else holds it and `is_waiting` is not set."""
    import fcntl

    try:
        kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
        fcntl.flock(file, kind if is_waiting else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
