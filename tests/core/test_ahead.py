"""Preparing ahead: order, bounds, errors, and no thread that stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from headstart.ahead import PATIENCE, ahead, default_workers
from headstart.errors import DataError, UsageError


def threads() -> list[str]:
    """Names of the threads that prepare."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("headstart-ahead")]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_everything_comes_in_order_even_where_the_first_takes_longest(workers: int) -> None:
    def prepare(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(ahead(range(20), prepare, workers=workers)) == [(number, number * number) for number in range(20)]
    assert threads() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_one_batch_beyond_the_workers_waits(workers: int) -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    for done, (number, _) in enumerate(ahead(source(), lambda number: number, workers=workers), start=1):
        assert number == done - 1
        assert len(taken) - done <= workers + 1


def test_batches_are_prepared_while_the_caller_computes() -> None:
    others = []
    for _, name in ahead(range(4), lambda _: threading.current_thread().name, workers=2):
        others.append(name)
        time.sleep(0.01)
    assert all(name.startswith("headstart-ahead") for name in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_as_it_was_raised_behind_the_batches_before_it(workers: int) -> None:
    def prepare(number: int) -> int:
        if number == 3:
            raise LookupError("picture 3 is broken")
        return number

    seen: list[int] = []
    with pytest.raises(LookupError, match="picture 3 is broken"):
        for number, _ in ahead(range(9), prepare, workers=workers):
            seen.append(number)
    assert seen == [0, 1, 2]
    assert threads() == []


def test_leaving_early_ends_the_threads_and_what_was_not_begun() -> None:
    begun: list[int] = []

    def prepare(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    numbers = ahead(range(1000), prepare, workers=2)
    next(numbers)
    numbers.close()  # type: ignore[attr-defined]  # it is a generator
    assert threads() == []
    assert len(begun) <= 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_that_hangs_is_named_in_time_and_its_thread_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv(PATIENCE, "0.2")
    hang, before, seen = threading.Event(), time.monotonic(), []

    def prepare(number: int) -> bool:
        return number == 3 and hang.wait(60)

    numbers = ahead(range(9), prepare, workers=workers, name=lambda number: f"scan {number}")
    with pytest.raises(DataError, match=r"reading scan 3 has not ended in 0\.2 seconds.*go on with --resume, or wait longer"):
        seen.extend(number for number, _ in numbers)
    assert time.monotonic() - before < 30
    hang.set()  # the thread that was left behind ends


def test_without_workers_nothing_is_begun_before_it_is_asked_for() -> None:
    begun: list[int] = []
    for number, _ in ahead(range(5), begun.append, workers=0):
        assert begun == list(range(number + 1))
    assert threads() == []


@pytest.mark.parametrize(("workers", "patience"), [(None, "600"), (0, "0")])
def test_where_no_one_watches_the_clock_batches_are_prepared_by_the_caller(
    monkeypatch: pytest.MonkeyPatch, workers: int | None, patience: str
) -> None:
    monkeypatch.setenv(PATIENCE, patience)
    names = {name for _, name in ahead(range(3), lambda _: threading.current_thread().name, workers=workers)}
    assert names == {threading.current_thread().name}


def test_a_caller_that_leaves_waits_for_a_hanging_thread_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.ahead.LEAVING", 0.2)
    hang, before = threading.Event(), time.monotonic()
    numbers = ahead(range(9), lambda number: number > 0 and hang.wait(60), workers=2)
    next(numbers)
    numbers.close()  # type: ignore[attr-defined]  # it is a generator
    assert 0.2 <= time.monotonic() - before < 30
    hang.set()


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_patience_that_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(PATIENCE, text)
    with pytest.raises(UsageError, match=f"HEADSTART_PATIENCE: '{text}' is no number of seconds; write for example 600"):
        list(ahead(range(2), str, workers=1))


def test_the_callers_gradient_mode_stays_as_it_is() -> None:
    with torch.no_grad():
        modes = [torch.is_grad_enabled() for _ in ahead(range(3), lambda number: number, workers=1)]
    assert modes == [False] * 3
    assert torch.is_grad_enabled()


def test_there_is_a_worker_for_each_core_up_to_eight() -> None:
    assert 1 <= default_workers() <= 8
