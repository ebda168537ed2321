"""A loss that stays far above its start is told of; one that only jumps, or stands at chance, is not."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from headstart.divergence import CHANCE, FACTOR, STEPS, limit, watch
from headstart.fit import fit


def told(losses: list[float], keep: str = "best") -> list[str]:
    """The warnings of a phase whose steps have these losses."""
    messages: list[str] = []
    training: Any = SimpleNamespace(plan=SimpleNamespace(keep=keep), tell=lambda event, message: messages.append(message))
    passage: Any = SimpleNamespace(began=None, above=0, is_told=False, step=0, phase=SimpleNamespace(name="full"))
    for loss in losses:
        watch(training, passage, loss)
        passage.step += 1
    return messages


@pytest.mark.parametrize(
    ("losses", "count"),
    [
        ([0.7] + [9.0] * STEPS, 1),
        ([0.7] + [9.0] * 5 * STEPS, 1),
        ([0.7] + [9.0] * (STEPS - 1) + [0.7] + [9.0] * (STEPS - 1), 0),
        ([0.7] + [FACTOR * 0.7 + CHANCE] * 2 * STEPS, 0),
        ([0.001] + [CHANCE] * 2 * STEPS, 0),
        ([-1.0] + [1.0] * STEPS, 1),
        ([9.0, 3.0, 1.0] * STEPS, 0),
    ],
)
def test_only_a_loss_that_stays_far_above_its_start_is_told_once(losses: list[float], count: int) -> None:
    assert len(told(losses)) == count


def test_the_warning_says_where_how_far_and_what_to_do() -> None:
    (message,) = told([1.0] + [50.0] * STEPS)
    assert message.startswith("training diverges: in phase 'full' the loss was over 3.69 for 20 steps in a row (it began with")
    assert "is 50 at step 21" in message and "try a smaller lr" in message and "validation saw are kept" in message
    assert "train.keep: best" in told([1.0] + [50.0] * STEPS, keep="last")[0]
    assert limit(1.0) == FACTOR + CHANCE


def warnings_of(folder: Any) -> list[str]:
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["message"] for event in map(json.loads, lines) if event["event"] == "warning"]


def test_a_run_whose_rate_is_far_too_large_says_so_and_a_sound_one_does_not(tiny: Any, make_recipe: Any, tmp_path: Any) -> None:
    wild = {"use": "probe", "epochs": 7, "lr": 300.0, "schedule": "constant", "patience": None}
    fixed: dict[str, Any] = {"kind": "number", "head": "regression", "baselines": "none"}
    fixed["train"] = {"device": "cpu", "batch_size": 8, "clip": 0.0}
    found = fit(make_recipe(tmp_path, strategy=wild, **fixed), tmp_path / "runs", report=False)
    assert sum("training diverges" in message for message in warnings_of(found.folder)) == 1
    sound = fit(make_recipe(tmp_path, strategy={**wild, "lr": 1e-2}, **fixed), tmp_path / "runs", report=False)
    assert not any("training diverges" in message for message in warnings_of(sound.folder))
