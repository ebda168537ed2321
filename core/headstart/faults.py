"""Faults on purpose: `HEADSTART_FAULT=site:n` ends the process the n-th time it passes a named site, so that tests can kill it
anywhere; without the variable a site costs one comparison.

`site:n` kills (SIGKILL, nothing is cleaned up), `site:n:raise` raises `Fault`, `site:n:full` raises the system's "disk full",
`site:n:io` raises its "input/output error", `site:n:memory` torch's "out of memory", `site:n:hang` never returns, `site:n:term`
and `site:n:int` send SIGTERM and SIGINT. Several are parted by commas.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

SITES = (
    "prepare",  # the run's folder is there, nothing is computed
    "store",  # a shard of a disk store is being written: store.open, store.half, store.fsync, store.replace
    "phase",  # a phase begins, its parameters are thawed
    "ahead",  # a worker thread is about to prepare a batch
    "forward",
    "backward",
    "step",  # before the optimiser's step
    "stepped",  # after it
    "ema",
    "validate",
    "best",
    "epoch",  # an epoch was told, no checkpoint written yet
    "checkpoint",  # checkpoint.begin, .open, .half, .fsync, .replace, .manifest, .rename, .remove
    "restore",  # a stopped run was opened, nothing of it restored
    "restored",
    "evaluate",
    "round",  # an outcome of a round is complete but not yet written
    "save",  # the model is written under its temporary name
    "saved",
    "metrics",
    "report",
    "end",
    "removed",  # the run counts as finished, its checkpoints are still there
    "kit",  # a kit is imported: kit.unpack behind each file, kit.move before each step into place
)


class Fault(Exception):  # noqa: N818 - it is no error of anybody
    """The fault that was asked for."""


def arm(text: str) -> None:
    """Ask for faults, in the words of `HEADSTART_FAULT`, and count passes from now on; "" = none."""
    _ASKED.clear()
    _PASSED.clear()
    _ASKED.update(_parsed(text))


def _parsed(text: str) -> dict[str, dict[int, str]]:
    """Site -> number of the pass -> what happens then."""
    found: dict[str, dict[int, str]] = {}
    for item in filter(None, text.split(",")):
        site, _, rest = item.partition(":")
        number, _, kind = rest.partition(":")
        found.setdefault(site, {})[int(number or 1)] = kind or "kill"
    return found


_ASKED: dict[str, dict[int, str]] = {}
_PASSED: Counter[str] = Counter()


def reach(site: str) -> None:
    """Pass a site; nothing happens unless `HEADSTART_FAULT` names it."""
    if _ASKED:
        _pass(site)


def _pass(site: str) -> None:
    _PASSED[site] += 1
    kind = _ASKED.get(site, {}).get(_PASSED[site])
    if kind is not None:
        _KINDS[kind]()


def _raise() -> None:
    raise Fault("a fault that HEADSTART_FAULT asked for")


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _hang() -> None:
    while True:
        time.sleep(3600)


def _memory() -> None:
    import torch

    raise torch.OutOfMemoryError("a fault that HEADSTART_FAULT asked for")


_KINDS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "int": lambda: os.kill(os.getpid(), signal.SIGINT),
    "raise": _raise,
    "full": _full,
    "io": _broken,
    "hang": _hang,
    "memory": _memory,
}

arm(os.environ.get("HEADSTART_FAULT", ""))
