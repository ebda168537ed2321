"""Stopping in order: SIGTERM and Ctrl-C wait for the end of a training step, and end anything else at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM, on the way of Ctrl-C: what is open is closed and the log says how the run ended."""

    exit_code = 128 + signal.SIGTERM


@dataclass
class Stop:
    """What a run knows about being stopped.

    Attributes:
        is_orderly: Signals wait while something holds them, so that what an interrupt meets is whole.
        folder: Of the run, once it can be resumed.
    """

    is_orderly: bool = False
    folder: Path | None = None
    _holders: int = field(default=0, repr=False)
    _asked: int | None = field(default=None, repr=False)
    _is_agreed: bool = field(default=False, repr=False)

    @property
    def asked(self) -> int | None:
        """The signal that waits."""
        return self._asked

    def agree(self, number: int) -> None:
        """All processes of the run have heard of a signal that came to one; its copy to this one may come late."""
        self._asked, self._is_agreed = number, True

    def obey_agreed(self) -> None:
        """Stop here, as all of them do, if they agreed on it."""
        if self._is_agreed:
            self._obey()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait until the context is left; it must be short."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        if not self._holders:
            self._obey()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Inside `held`: a stretch in which a signal need not wait, for what undoes itself when it is left."""
        holders, self._holders = self._holders, 0
        try:
            self._obey()
            yield
        finally:
            self._holders = holders

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The first signal; a second one of either kind ends the process at once."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if self._is_agreed:
            return
        if self._holders:
            self._asked = number
        else:
            self._raise(number)

    def _obey(self) -> None:
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._raise(asked)

    @staticmethod
    def _raise(number: int) -> None:
        raise Terminated("stopped by SIGTERM") if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def stopping_in_order() -> Iterator[Stop]:
    """Inside, the first SIGTERM (of `kill`, of a batch system) raises `Terminated`, the first SIGINT KeyboardInterrupt, both
    between two training steps; a second one ends the process at once. Without effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield Stop()
        return
    stop = Stop(is_orderly=True)
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]  # by `nohup` or a shell's `&`
    before = {number: signal.signal(number, stop.receive) for number in SIGNALS if number not in ignored}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
