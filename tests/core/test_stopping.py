"""Ctrl-C and SIGTERM: what was done is saved, the exit code tells which, the next line is printed; twice stops at once."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from headstart.stopping import Stop, Terminated, stopping_in_order

sys.path.insert(0, str(Path(__file__).parent))
from resuming import Children, differing

STOPS = [
    ("prepare:1:int", 130),
    ("store.half:1:term", 143),
    ("step:10:term", 143),
    ("validate:3:int", 130),
    ("checkpoint.half:2:term", 143),
    ("evaluate:1:term", 143),
    ("save:1:int", 130),
    ("report:1:term", 143),
]


@pytest.mark.parametrize(("fault", "code"), STOPS)
def test_a_run_that_is_stopped_can_go_on_and_ends_as_if_nothing_had_been(children, undisturbed, fault: str, code: int) -> None:
    name = f"stopped-{fault.replace(':', '-')}"
    place = children.place / name
    given = ("run", children.place / "recipe.yaml", "--out", place, "--set", "train.checkpoint=1000")
    assert children.call(*given, fault=fault, cache=f"{name}-cache") == code, children.log
    folder = children.folder(name)
    assert f"resume  headstart run --resume {folder}\n" in children.log
    left = {path.name for path in folder.rglob("*")}
    assert not [name for name in left if name.endswith((".tmp", ".partial", ".old"))], "something half-written was left"
    assert ("model" in left) == (fault == "report:1:term")
    assert not (place / "latest").exists()
    assert children.resume(folder, "train.checkpoint=1000") == 0, children.log
    assert differing(undisturbed, folder) == []


def test_a_signal_in_a_step_waits_for_its_end_and_loses_no_step(children: Children) -> None:
    given = ("run", children.place / "recipe.yaml", "--out", children.place / "whole", "--set", "train.checkpoint=1000")
    assert children.call(*given, fault="backward:13:term", cache="whole-cache") == 143, children.log
    saved = max(path for path in (children.folder("whole") / "checkpoints").iterdir() if path.name.isdigit())
    facts = json.loads((saved / "state.json").read_text())
    assert facts["step"] + facts["passage"]["step"] == 7  # the 13th half batch is the first of the 7th step


def test_a_second_signal_ends_the_process_at_once(children: Children) -> None:
    given = ("run", children.place / "recipe.yaml", "--out", children.place / "twice")
    assert children.call(*given, fault="forward:5:int,backward:5:term", cache="twice-cache") == -signal.SIGTERM


def test_signals_wait_while_they_are_held_and_not_longer() -> None:
    before = signal.getsignal(signal.SIGTERM)
    done = []
    with pytest.raises(Terminated, match="stopped by SIGTERM"), stopping_in_order() as stop:
        with stop.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the rest of the step")
        done.append("never")
    assert done == ["the rest of the step"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_released_stretch_is_left_at_once_and_what_surrounds_it_is_undone() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), stopping_in_order() as stop, stop.held():
        try:
            with stop.released():
                os.kill(os.getpid(), signal.SIGINT)
                done.append("never")
        finally:
            done.append("undone")
    assert done == ["undone"]


def test_without_handlers_nothing_is_held() -> None:
    with Stop().held():
        pass
    assert not Stop().is_orderly
