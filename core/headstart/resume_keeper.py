"""Keeping a training's place: when a checkpoint is due, writing it, and finding the last one again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from headstart.course import Course
from headstart.events import Tell
from headstart.files import read_json, write_json
from headstart.resume_folder import ResumeFolder
from headstart.shared_place import shared
from headstart.stopping import Stop

ASKED = "asked.json"
LEAST_SECONDS = 10.0  # between two checkpoints within a phase
PHASE_SECONDS = 1.0  # of work that the end of a phase finds worth keeping
COST_SHARE = 0.02  # of the time, at most, goes into checkpoints within a phase


@dataclass
class Keeper:
    """Writes checkpoints of one round.

    Attributes:
        folder: Where to; None = nothing is kept.
        round: Number of the round, -1 for the one whose model is kept.
        every: Optimiser steps between two checkpoints; None = by time.
        tell: Hears of a checkpoint that could not be written.
        stop: Knows whether an interrupt finds the training whole.
    """

    folder: ResumeFolder | None = None
    round: int = -1
    every: int | None = None
    tell: Tell = field(default=lambda *_, **__: None)
    stop: Stop = field(default_factory=Stop)
    _since: float = field(default_factory=time.monotonic)
    _cost: float = 0.0
    _last: tuple[int, int, int] | None = None

    def resume(self, course: Course) -> None:
        """Let a training stand where its last good checkpoint was; nothing in a new run."""
        saved = self.folder.newest(self.round, self.tell) if self.folder is not None and course.by_gradient else None
        if self.folder is not None:
            _cut(self.folder.run / "metrics.jsonl", self.folder.lines if saved is None else saved.facts["lines"])
        saved = shared(course.training.ranks, saved)
        if saved is None:
            return
        course.go_on(saved)
        self._last = _place(course)
        phase = course.phase
        epoch = course.passage.epoch if course.passage is not None else 1
        done = course.step + (course.passage.step if course.passage is not None else 0)
        self.tell("resumed", phase=None if phase is None else phase.name, epoch=epoch, step=done)

    def asked(self, key: str, indices: Sequence[int]) -> Sequence[int]:
        """The examples that a disk store lacked when this run first filled it: those that it lacks now, and those that it got
        before the run was stopped.
        """
        if self.folder is None:
            return indices
        file, key = self.folder.path / ASKED, f"{self.round} {key}"
        known: dict[str, list[int]] = read_json(file) if file.exists() else {}
        if not set(indices) <= set(known.get(key, ())):
            known[key] = list(indices)
            write_json(file, known)
        return known[key]

    def offer(self, course: Course, *, is_phase_end: bool = False) -> None:
        """Write a checkpoint if one is due; call between optimiser steps."""
        if self.folder is not None and course.by_gradient and self._is_due(course, is_phase_end=is_phase_end):
            with self.stop.held():
                self.save(course)

    def save(self, course: Course) -> None:
        """Write a checkpoint now, unless the last one has the same place; a run goes on where the disk is full."""
        if self.folder is None or not course.by_gradient or _place(course) == self._last:
            return
        started, saved = time.monotonic(), course.saved()
        try:
            facts = {"round": self.round, "lines": lines_of(self.folder.run), **saved.facts}
            self.folder.write(replace(saved, facts=facts))
            self._last = _place(course)
        except OSError as error:
            size = sum(tensor.nbytes for tensor in saved.tensors.values())
            self.tell(
                "warning",
                message=f"no checkpoint could be written ({error.strerror or error}): it takes {size:,} bytes in "
                f"'{self.folder.path}'; the last good one is kept, training goes on",
            )
        self._since = time.monotonic()
        self._cost = self._since - started

    @contextmanager
    def watching(self, course: Course) -> Iterator[None]:
        """Whoever stops the training inside: its place is kept."""
        try:
            yield
        except KeyboardInterrupt:
            if self.stop.is_orderly:
                self.save(course)
            raise

    def _is_due(self, course: Course, *, is_phase_end: bool) -> bool:
        if self.every is not None and course.passage is not None:
            return course.passage.step % self.every == 0
        waited = time.monotonic() - self._since
        least = PHASE_SECONDS if is_phase_end else max(LEAST_SECONDS, self._cost / COST_SHARE)
        return (is_phase_end and self.every is not None) or waited >= least


def _place(course: Course) -> tuple[int, int, int]:
    """Phase, steps in it, and epoch: after the last step of an epoch validation moves the place."""
    passage = course.passage
    return (course.number, -1, 0) if passage is None else (course.number, passage.step, passage.epoch)


def lines_of(run: Path) -> int:
    """Bytes of the run's `metrics.jsonl`, flushed to the disk."""
    try:
        with (run / "metrics.jsonl").open("rb+") as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        return 0


def _cut(path: Path, size: int) -> None:
    """Forget the epochs that are carried out again."""
    if path.exists() and path.stat().st_size > size:
        os.truncate(path, size)
