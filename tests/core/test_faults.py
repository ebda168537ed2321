"""Faults on purpose: they come at the pass that was named, and cost nothing where none is asked for."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart import faults
from headstart.files import write_text


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    faults.arm("")


def test_a_fault_comes_at_the_pass_that_was_named_and_once() -> None:
    faults.arm("step:3:raise")
    faults.reach("step")
    faults.reach("other")
    faults.reach("step")
    with pytest.raises(faults.Fault):
        faults.reach("step")
    faults.reach("step")


def test_several_faults_each_have_their_site() -> None:
    faults.arm("open:1:full,step:2:raise")
    with pytest.raises(OSError, match="No space left") as caught:
        faults.reach("open")
    assert caught.value.errno == errno.ENOSPC
    faults.reach("step")
    with pytest.raises(faults.Fault):
        faults.reach("step")


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")
    for site in ("open", "half", "fsync", "replace"):
        faults.arm(f"file.{site}:1:full")
        with pytest.raises(OSError, match="No space left"):
            write_text(path, "after, and longer")
        assert path.read_text() == "before"
        assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_the_variable_kills_a_process_at_its_site() -> None:
    code = "from headstart.faults import reach\nreach('a'); print('once', flush=True); reach('a'); print('never')"
    environment = {**os.environ, "HEADSTART_FAULT": "a:2"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert (done.returncode, done.stdout) == (-9, "once\n"), done.stderr


def test_without_a_fault_a_site_takes_next_to_nothing() -> None:
    fastest = min(timeit.repeat(lambda: faults.reach("step"), number=10_000, repeat=5)) / 10_000
    assert fastest < 5e-6  # measured 0.1 microseconds; the rest is for a busy machine
