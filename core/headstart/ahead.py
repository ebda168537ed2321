"""Preparing ahead: batches are read and decoded in threads while the one before is computed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from headstart.errors import DataError, UsageError
from headstart.faults import reach

T = TypeVar("T")
U = TypeVar("U")

MOST_WORKERS = 8
PATIENCE = "HEADSTART_PATIENCE"
PATIENT_FOR = 600.0  # seconds for one batch, which takes milliseconds, and of large volumes seconds
LEAVING = 5.0  # seconds that threads get to end what they have begun, where the run is stopped or left


def default_workers() -> int:
    """As many threads as there are cores for this process, at most 8.

    On two cores that compute as well, 240 photographs of 500 x 375 pixels through EfficientNet-Lite0 take 2 CPU-ms each to
    prepare and 20 to compute; one, two or three threads need the same time as none, within the noise.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def ahead(
    batches: Iterable[T], prepare: Callable[[T], U], *, workers: int | None, name: Callable[[T], str] = str
) -> Iterator[tuple[T, U]]:
    """Each batch with what `prepare` makes of it, in order; at most `workers` + 1 prepared ones wait.

    Threads, not processes: Pillow, torchvision and tokenizers release the interpreter's lock while they work, nothing is
    pickled or started anew, and none can be killed without the run, which then goes on with `--resume`. They end with the
    generator, also where it is left early or an error ends it; one that hangs is left behind and holds up nothing.

    Args:
        batches: What to prepare; read as the work goes on, never all at once.
        prepare: Called in another thread, so it sets no gradient mode of the caller and shares no generator with it.
        workers: Threads; 0 = one that begins a batch when it is asked for, so that the caller waits no longer than it means to;
            None, and 0 where the patience is endless = prepared here, in turn.
        name: What a message calls a batch.

    Raises:
        Exception: Whatever `prepare` raised, at the place of its batch.
        DataError: A batch was not ready after `HEADSTART_PATIENCE` seconds.
    """
    patience = patience_asked()
    if workers is None or (workers < 1 and patience is None):
        for batch in batches:
            yield batch, prepare(batch)
        return
    source, waiting, threads = iter(batches), deque[tuple[T, Future[U]]](), _Threads(prepare, max(1, workers))

    def submit(count: int) -> bool:
        waiting.extend((batch, threads.submit(batch)) for batch in islice(source, count))
        return bool(waiting)

    try:
        submit(workers + 1 if workers else 0)
        while waiting or submit(1):
            batch, future = waiting.popleft()
            if not wait([future], patience).done:
                threads.patience = 0.0
                raise DataError(_stuck(name(batch), patience or 0))
            prepared = future.result()
            submit(1 if workers else 0)
            yield batch, prepared
    finally:
        threads.leave([future for _, future in waiting])


def patience_asked() -> float | None:
    """Seconds that a batch may take; None = for ever.

    Raises:
        UsageError: `HEADSTART_PATIENCE` is no number of seconds.
    """
    text = os.environ.get(PATIENCE, "").strip()
    try:
        seconds = float(text or PATIENT_FOR)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        raise UsageError(f"{PATIENCE}: '{text}' is no number of seconds; write for example 600, or 0 to wait for ever")
    return seconds or None


def _stuck(batch: str, seconds: float) -> str:
    return (
        f"reading {batch} has not ended in {seconds:g} seconds: where they lie does not answer, or what reads them hangs; "
        f"see to it and go on with --resume, or wait longer with {PATIENCE}=SECONDS (0 = for ever)"
    )


class _Threads(Generic[T, U]):
    """Threads that a process does not wait for when it ends, unlike those of `concurrent.futures`: one may hang.

    Attributes:
        patience: Seconds that they get to end what they have begun.
    """

    def __init__(self, prepare: Callable[[T], U], count: int) -> None:
        self.patience = LEAVING
        self._tasks: SimpleQueue[tuple[T, Future[U]] | None] = SimpleQueue()
        names = (f"headstart-ahead_{number}" for number in range(count))
        self._threads = [Thread(target=self._work, args=(prepare,), name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def submit(self, batch: T) -> Future[U]:
        future: Future[U] = Future()
        self._tasks.put((batch, future))
        return future

    def leave(self, unused: Sequence[Future[U]]) -> None:
        """Let the threads end what they have begun, and nothing else."""
        for future in unused:
            future.cancel()
        for _ in self._threads:
            self._tasks.put(None)
        until = time.monotonic() + self.patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, prepare: Callable[[T], U]) -> None:
        while (task := self._tasks.get()) is not None:
            batch, future = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                reach("ahead")
                future.set_result(prepare(batch))
            except BaseException as error:  # raised where the batch is waited for
                future.set_exception(error)
            del batch, task, future  # until the next task comes, a thread holds nothing
