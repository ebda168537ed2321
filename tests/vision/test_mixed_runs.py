"""Whole runs on mixed pictures: live, told, and the same for any number of threads that read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.recipe_file import recipe_from_mapping
from headstart.run import Run


@pytest.fixture
def run(save: Callable[..., Path], tmp_path: Path) -> Callable[..., Run]:
    for number in range(10):
        save(f"pictures/red/{number}.png", (200, 40 + number, 30))
        save(f"pictures/blue/{number}.png", (30, 40 + number, 200))

    def made(strategy: str, **train: Any) -> Run:
        whole = recipe_from_mapping(
            {
                "data": {"use": "vision/folder", "path": str(tmp_path / "pictures")},
                "backbone": {"use": "vision/squeezenet1-1", "weights": "none", "size": 32},
                "strategy": {"use": strategy, "epochs": 2},
                "split": {"val": 0},
                "train": {"batch_size": 8, **train},
                "baselines": "none",
            }
        )
        return whole.run(tmp_path / "runs")

    return made


def told(run: Run, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_a_probe_on_mixed_pictures_runs_live_and_says_so(run: Callable[..., Run], how: str) -> None:
    (live,) = [event for event in told(run("probe", mix=how), "live") if event["split"] == "train"]
    assert live["why"] == "train.mix makes new pictures in every step"


def test_mixing_changes_what_is_learnt_and_threads_do_not(run: Callable[..., Run]) -> None:
    def weights(**train: Any) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in run("full", **train).model.state().items()}

    plain, alone, threaded = weights(workers=0), weights(workers=0, mix="cutmix"), weights(workers=3, mix="cutmix")
    assert all(torch.equal(alone[name], threaded[name]) for name in alone)
    assert any(not torch.equal(alone[name], plain[name]) for name in alone)
