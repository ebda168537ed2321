"""Faults around a whole run, each in a process of its own: workers, memory and disk. A sentence, in time, and nothing torn."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mounts import mounted, remounted
from resuming import KILLED, RECIPE, Children, differing

PATIENCE = 3  # seconds
THREADED = RECIPE.replace("tiny/words", "{{use: tiny/unsized, width: 64}}").replace("train: {{", "train: {{workers: 2, ")


@pytest.fixture(scope="module")
def children(write_csv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """A folder with a recipe whose batches two threads prepare, and its processes."""
    place = tmp_path_factory.mktemp("place")
    write_csv(place / "rows.csv")
    (place / "recipe.yaml").write_text(THREADED.format(path=place / "rows.csv"), encoding="utf-8")
    children = Children(place)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HEADSTART_PATIENCE", str(PATIENCE))
        yield children
        children.close()
    shutil.rmtree(place, ignore_errors=True)


def line(children: Children, out: Path, *overrides: str) -> tuple[object, ...]:
    """The command line of a run."""
    changes = [word for override in overrides for word in ("--set", override)]
    return ("run", children.place / "recipe.yaml", "--out", out, *changes)


def said(children: Children) -> str:
    """The last error, which is one line."""
    assert "Traceback" not in children.log
    return next(text for text in reversed(children.log.splitlines()) if text.startswith("error: "))


def halves(folder: Path) -> list[str]:
    """Files under a temporary name, and files of nothing."""
    found = [
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("lock", "build.lock", "use.lock", "used")
    ]
    return [path.name for path in found if path.name.startswith(".") or not path.stat().st_size]


def test_a_killed_worker_ends_the_run_at_once_and_it_goes_on_to_the_same_result(children, undisturbed) -> None:
    begun = time.monotonic()
    out = children.place / "killed"
    assert children.call(*line(children, out), fault="ahead:25", cache="killed-cache") == KILLED, children.log
    assert time.monotonic() - begun < 60
    folder = children.folder("killed")
    assert children.resume(folder) == 0, children.log
    assert differing(undisturbed, folder) == []


def test_a_worker_that_hangs_stops_the_run_in_a_sentence_and_it_goes_on_to_the_same_result(children, undisturbed) -> None:
    begun = time.monotonic()
    out = children.place / "hung"
    assert children.call(*line(children, out), fault="ahead:25:hang", cache="hung-cache") == 3, children.log
    assert PATIENCE <= time.monotonic() - begun < PATIENCE + 60
    assert said(children).startswith("error: reading rows:")
    assert f"has not ended in {PATIENCE} seconds: where they lie does not answer, or what reads them hangs" in said(children)
    assert "go on with --resume, or wait longer with HEADSTART_PATIENCE=SECONDS (0 = for ever)" in said(children)
    folder = children.folder("hung")
    assert children.resume(folder) == 0, children.log
    assert differing(undisturbed, folder) == []


def test_a_read_that_hangs_without_workers_stops_the_run_too(children: Children) -> None:
    given = line(children, children.place / "alone", "train.workers=0")
    assert children.call(*given, fault="ahead:25:hang", cache="alone-cache") == 3, children.log
    assert f"has not ended in {PATIENCE} seconds: where they lie does not answer" in said(children)


def test_a_second_signal_ends_a_run_whose_worker_hangs_at_once(children: Children) -> None:
    """The first waits for the end of the step, which does not come."""
    number = children.start(*line(children, children.place / "waiting"), fault="ahead:25:hang", cache="waiting-cache")
    until = time.monotonic() + 60
    while "phase thaw to embedding" not in children.log.rpartition("/waiting/")[2] and time.monotonic() < until:
        time.sleep(0.02)
    for _ in range(2):
        time.sleep(0.4)
        os.kill(number, signal.SIGTERM)
    assert children.wait(number, 60) in (-signal.SIGTERM, 143), children.log  # 143: the step had not yet begun


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS counts elsewhere in another way, or not at all")
@pytest.mark.parametrize("megabytes", [0, 40, 200])  # the network finds no room, nor what is computed once, nor a step
def test_a_run_that_gets_no_memory_ends_in_a_sentence_and_leaves_no_half(children: Children, megabytes: int) -> None:
    out = children.place / f"memory-{megabytes}"
    changes = ("backbone.width=2000", "strategy={use: full, epochs: 1}", "train.checkpoint=0")
    given = line(children, out, *changes)
    assert children.call(*given, cache=f"memory-{megabytes}-cache", memory=megabytes * 10**6) == 1, children.log
    assert said(children).startswith(("error: the memory does not suffice (", "error: the memory does not hold "))
    assert halves(out) == []
    assert not list(out.glob("*/model"))


def test_a_disk_that_is_full_in_the_middle_stops_the_run_which_goes_on_when_there_is_room(children, undisturbed) -> None:
    disk = children.place / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs"):
        code = children.call(*line(children, disk), cache="disk-cache")
        assert (code, said(children)) == (1, "error: No space left on device; make room there, and do it again")
        assert "what was done is kept, and the run can go on; its log: " in children.log.splitlines()[-1]
        folder = children.folder("disk")
        assert not (folder / "model").exists()
        remounted(disk, "size=64m")
        assert children.resume(folder) == 0, children.log
        assert differing(undisturbed, folder) == []
        assert halves(folder) == []


@pytest.mark.parametrize("kind", ["full", "io"])
def test_a_disk_that_takes_no_stores_costs_the_stores_alone(children: Children, undisturbed: Path, kind: str) -> None:
    code, folder = children.run(f"storeless-{kind}", fault=f"store.half:1:{kind}")
    assert code == 0, children.log
    words = {"full": "No space left on device", "io": "Input/output error"}[kind]
    assert any("warning: " in text and words in text for text in (folder / "train.log").read_text().splitlines())
    assert differing(undisturbed, folder) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("file.half:1:full", "/recipe.yaml: No space left on device; make room there"),
        ("file.fsync:3:io", "/env.json: Input/output error; the disk, or the way to it, is broken"),
    ],
)
def test_a_file_that_cannot_be_written_is_named_and_is_not_there(children: Children, fault: str, words: str) -> None:
    name = fault.replace(":", "-")
    assert children.call(*line(children, children.place / name), fault=fault, cache=f"{name}-cache") == 1, children.log
    assert words in said(children)
    assert halves(children.folder(name)) == []
    assert not (children.folder(name) / "metrics.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(children: Children) -> None:
    frozen = children.place / "frozen"
    frozen.mkdir()
    with mounted(frozen, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        assert children.call(*line(children, frozen / "runs")) == 2, children.log
    assert "frozen/runs' (Read-only file system); name another with --out" in said(children)


def test_a_clock_that_jumped_changes_nothing(children: Children, undisturbed: Path) -> None:
    """Of a stopped run and its stores every second file is from the next year by its time, the others are from the last."""
    code, folder = children.run("clock", fault="step:10")
    assert code == KILLED
    for place in (folder, children.place / "clock-cache"):
        for at, path in enumerate(sorted([place, *place.rglob("*")])):
            then = time.time() + 3600 * 24 * 400 * (-1) ** at
            os.utime(path, (then, then))
    assert children.resume(folder) == 0, children.log
    assert differing(undisturbed, folder) == []
