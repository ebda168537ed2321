"""The folder `checkpoints/` of a run: each checkpoint is whole or absent, and verified on reading; the last two are kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load, save
from torch import Tensor

from headstart.errors import HeadstartError, UsageError
from headstart.events import Tell
from headstart.faults import reach
from headstart.files import read_json, sync, verify_manifest, write_bytes, write_json, write_manifest
from headstart.memory import claim

NAME = "checkpoints"
RUN_FILE = "run.json"
LOCK = "lock"
TENSORS, FACTS = "state.safetensors", "state.json"
KEPT = 2  # the last good one, and the one before: a disk may lose what it said it had written
FORMAT = 1
BEGAN_WITH = {"recipe": str, "data": str, "versions": dict}


@dataclass(frozen=True)
class Saved:
    """Facts as plain JSON (NaN and infinity allowed), and tensors by name."""

    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class ResumeFolder:
    """What a run needs to go on after it was stopped; gone when the run has finished.

    Args:
        run: The run's folder.

    Attributes:
        lines: Bytes of `metrics.jsonl` that were written by rounds which are complete.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.path = run, run / NAME
        self.lines = 0
        self._lock: int | None = None

    @property
    def exists(self) -> bool:
        """Whether the run can be resumed."""
        return (self.path / RUN_FILE).exists()

    @property
    def is_filled(self) -> bool:
        """Whether there is a checkpoint, or a round that is complete."""
        return self.exists and any(not path.name.startswith(".") for path in self._folders())

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Make the folder, and write down what the run began with."""
        self.path.mkdir(exist_ok=True)
        self.lock()
        write_json(self.path / RUN_FILE, {"format": FORMAT, **facts})

    def began_with(self) -> dict[str, Any]:
        """What `begin` got.

        Raises:
            HeadstartError: It is missing, damaged or of a format that this version does not know.
        """
        found: dict[str, Any] = read_json(self.path / RUN_FILE)
        if not isinstance(found, dict):
            raise HeadstartError(f"{self.path / RUN_FILE}: does not say what the run began with; the file is damaged")
        if found.get("format") != FORMAT:
            raise HeadstartError(f"{self.path / RUN_FILE}: format {found.get('format')}; this version reads format {FORMAT}")
        if absent := [name for name, kind in BEGAN_WITH.items() if not isinstance(found.get(name), kind)]:
            raise HeadstartError(f"{self.path / RUN_FILE}: lacks what the run began with ({absent[0]}); the file is damaged")
        return found

    def lock(self) -> None:
        """Keep other processes from going on with the run at the same time; the lock ends with this process.

        Raises:
            UsageError: Another process has it.
        """
        try:
            import fcntl
        except ImportError:  # no POSIX system
            return
        held = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            number = os.pread(held, 32, 0).decode("ascii", "replace").strip()
            os.close(held)
            raise UsageError(f"{self.run}: process {number} works on this run; stop it first, or wait") from error
        except OSError:  # a file system without locks
            pass
        else:
            os.pwrite(held, f"{os.getpid():<20}\n".encode(), 0)
        self._lock = held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """The run has finished: nothing of this is needed any more."""
        (self.path / RUN_FILE).unlink(missing_ok=True)  # from now on it counts as finished
        reach("removed")
        shutil.rmtree(self.path, ignore_errors=True)
        self.__exit__()

    # checkpoints of a training

    def write(self, saved: Saved) -> int:
        """Write a checkpoint and remove the older ones; returns its bytes.

        Raises:
            OSError: It could not be written; those that were there still are.
        """
        numbers = self._numbers()
        size = self._write_whole(f"{numbers[0] + 1 if numbers else 1:06d}", saved)
        for number in numbers[KEPT - 1 :]:
            reach("checkpoint.remove")
            self._discard(self.path / f"{number:06d}")
        return size

    def newest(self, number: int, tell: Tell) -> Saved | None:
        """The last good checkpoint of a round; one that is damaged is warned of and passed over."""
        for at in self._numbers():
            saved = self._read(self.path / f"{at:06d}", tell)
            if saved is not None and saved.facts["round"] == number:
                return saved
        return None

    # rounds that are complete

    def write_round(self, number: int, saved: Saved) -> None:
        """Keep what a round gave."""
        self.lines = saved.facts["lines"]
        self._write_whole(f"round{number}", saved)

    def read_round(self, number: int, tell: Tell) -> Saved | None:
        """What a round gave; None = it is not complete, or damaged."""
        path = self.path / f"round{number}"
        saved = self._read(path, tell) if path.exists() else None
        if saved is not None and number >= 0:
            self.lines = saved.facts["lines"]
        return saved

    # whole or absent

    def _write_whole(self, name: str, saved: Saved) -> int:
        temporary = self.path / f".{name}.tmp"
        self._discard(temporary)
        reach("checkpoint.begin")
        try:
            temporary.mkdir()
            claim(sum(tensor.nbytes for tensor in saved.tensors.values()), copies=3)  # tensors of its own, and two of the file
            content = save({key: _plain(tensor) for key, tensor in saved.tensors.items()})
            write_bytes(temporary / TENSORS, content, site="checkpoint")
            facts = json.dumps(saved.facts, ensure_ascii=False).encode()
            write_bytes(temporary / FACTS, facts, site="checkpoint.facts")
            write_manifest(temporary, site="checkpoint.manifest")
            self._discard(self.path / name)
            reach("checkpoint.rename")
            temporary.rename(self.path / name)
            sync(self.path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return len(content) + len(facts)

    def _read(self, path: Path, tell: Tell) -> Saved | None:
        try:
            verify_manifest(path)
            return Saved(json.loads((path / FACTS).read_text(encoding="utf-8")), load((path / TENSORS).read_bytes()))
        except (HeadstartError, OSError, ValueError, AttributeError) as error:
            tell("warning", message=f"the checkpoint {path.name} is damaged and is passed over: {error}")
            return None

    def _numbers(self) -> list[int]:
        """Of the checkpoints, newest first."""
        return sorted((int(path.name) for path in self._folders() if path.name.isdigit()), reverse=True)

    def _folders(self) -> Iterator[Path]:
        return (path for path in self.path.iterdir() if path.is_dir())

    def _discard(self, path: Path) -> None:
        """Remove a folder; under another name first, so that no half of it is ever taken for the whole."""
        if path.exists():
            doomed = path.with_name(f".{path.name.strip('.')}.old")
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def _plain(tensor: Tensor) -> Tensor:
    """Of its own memory, as safetensors wants it."""
    return tensor.detach().cpu().clone().contiguous()
