"""Several real processes on one store: each example is computed once, nothing is torn, and a kill loses little."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from headstart.store import DiskRows, open_store
from headstart.store_eviction import stored
from headstart.store_folder import StoreError
from headstart.store_key import StoreKey

KEY = StoreKey("weights", "preparing", "layer3", "plain", "float32", "cpu", "code")
FORK = multiprocessing.get_context("fork")  # torch is loaded already, so that eight processes start at once

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of a POSIX system")


class Builder:
    """Writes a line for each row that it computes, and takes its time."""

    def __init__(self, log: Path, *, seconds: float = 0.0) -> None:
        self._log, self._seconds = log, seconds

    def __call__(self, indices: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
        for index in indices:
            with self._log.open("a") as file:
                file.write(f"{index}\n")
            time.sleep(self._seconds)
            yield index, [torch.full((3 + index % 2, 50), float(index))]


def open_rows(folder: Path, log: Path, count: int, *, seconds: float = 0.0, tell: Any = None) -> DiskRows:
    contents, builder = [str(index) for index in range(count)], Builder(log, seconds=seconds)
    return open_store(folder, KEY, contents, builder, shard_bytes=3000, tell=tell or (lambda *_, **__: None))


def check(rows: DiskRows, count: int) -> None:
    assert len(rows) == count
    for index in range(count):
        assert torch.equal(rows[index][0], torch.full((3 + index % 2, 50), float(index)))


def open_and_check(folder: Path, log: Path, count: int, told: Path, start: Any = None) -> None:
    if start is not None:
        start.wait()

    def tell(event: str, **facts: Any) -> None:
        with told.open("a") as file:
            file.write(f"{os.getpid()} {event} {facts['message']}\n")

    check(open_rows(folder, log, count, seconds=0.01, tell=tell), count)


def run(*arguments: Any, target: Any = open_and_check) -> BaseProcess:
    process = FORK.Process(target=target, args=arguments)
    process.start()
    return process


def computed(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)


@pytest.mark.parametrize("processes", [2, 8, 50])
def test_processes_that_start_together_compute_each_example_once(tmp_path, processes):
    log, told, start = tmp_path / "log", tmp_path / "told", FORK.Event()
    started = [run(tmp_path / "stores", log, 24, told, start) for _ in range(processes)]
    start.set()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * processes
    assert sorted(computed(log)) == list(range(24))
    waiting = told.read_text().splitlines()
    assert len({line.split()[0] for line in waiting}) == len(waiting) <= processes - 1  # each says it once
    named = [f" store waiting for {name}, which fills" for name in ("another process", *(f"process {p.pid}" for p in started))]
    assert all(any(name in line for name in named) for line in waiting)


def test_processes_with_other_examples_fill_one_store_together(tmp_path):
    log, told = tmp_path / "log", tmp_path / "told"
    for process in [run(tmp_path / "stores", log, count, told) for count in (8, 16, 24)]:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(computed(log)) == list(range(24))
    check(open_rows(tmp_path / "stores", log, 24), 24)


def test_a_killed_builder_loses_only_what_it_had_not_published(tmp_path):
    log, count = tmp_path / "log", 40
    process = run(tmp_path / "stores", log, count, tmp_path / "told")
    wait_until(lambda: len(computed(log)) >= 20)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    before, published = len(computed(log)), stored(tmp_path / "stores")[0].rows
    assert 0 < published < count
    assert before - published <= 6  # rows that one shard of 3,000 bytes waits for
    rows = open_rows(tmp_path / "stores", log, count)
    check(rows, count)
    assert rows.computed == len(computed(log)) - before == count - published


def test_any_number_of_kills_at_any_time_leaves_a_right_store(tmp_path):
    log, count, chance = tmp_path / "log", 60, random.Random(0)
    kills = 0
    for _ in range(25):
        process = run(tmp_path / "stores", log, count, tmp_path / "told")
        time.sleep(chance.uniform(0.0, 0.06))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join(20)
    before, published = len(computed(log)), sum(store.rows for store in stored(tmp_path / "stores"))
    rows = open_rows(tmp_path / "stores", log, count)
    check(rows, count)
    assert kills > 5
    assert len(computed(log)) - before == count - published
    assert not list((tmp_path / "stores" / KEY.digest()).glob("*.tmp"))


def test_the_lock_of_a_killed_builder_is_free_at_once(tmp_path):
    log = tmp_path / "log"
    process = run(tmp_path / "stores", log, 1000, tmp_path / "told")
    wait_until(lambda: len(computed(log)) >= 3)
    waiting = run(tmp_path / "stores", tmp_path / "second", 200, tmp_path / "told")
    wait_until((tmp_path / "told").exists)
    assert waiting.is_alive()  # the first still builds
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(20)
    waiting.join(20)
    assert waiting.exitcode == 0
    assert f"waiting for process {process.pid}, which fills" in (tmp_path / "told").read_text()


def churn(folder: Path, number: int) -> None:
    """Open stores of several keys under a limit that holds only some of them."""
    for step in range(12):
        key = StoreKey(f"w{(number + step) % 4}", *"pbvdcc")
        try:
            rows = open_store(
                folder,
                key,
                [str(index) for index in range(4)],
                lambda asked: ((index, [torch.full((500,), float(index))]) for index in asked),
                limit_bytes=25_000,
            )
        except StoreError as error:
            assert error.needed > 0  # no room beside stores in use, and nothing else
            continue
        assert [float(rows[at][0].mean()) for at in range(4)] == [0, 1, 2, 3]


def test_stores_removed_and_opened_by_several_processes_are_never_torn(tmp_path):
    started = [run(tmp_path / "stores", number, target=churn) for number in range(6)]
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * 6
