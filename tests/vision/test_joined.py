"""Heads that read several maps of a picture network: the same stored, live, replayed and loaded, and small on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import RecipeError
from headstart.recipe import Recipe
from headstart.recipe_file import recipe_from_mapping
from headstart.run import Run, load

WIDTHS = {"pooled": 512, "map.1": 64, "map.3": 256}  # of ResNet-18
READS = list(WIDTHS)


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(10):
        save(f"pictures/red/{number}.png", (200, 40 + number, 30))
        save(f"pictures/blue/{number}.png", (30, 40 + number, 200))
    return tmp_path / "pictures"


def recipe(folder: Path, head: Any, strategy: Any, **train: Any) -> Recipe:
    return recipe_from_mapping(
        {
            "data": {"use": "vision/folder", "path": str(folder)},
            "backbone": {"use": "vision/resnet18", "weights": "none", "size": 32},
            "head": head,
            "strategy": strategy,
            "split": {"val": 0, "near": False},
            "train": {"batch_size": 8, **train},
            "baselines": "none",
        }
    )


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def shares(run: Run, folder: Path) -> list[float]:
    """Of red, of each picture in order."""
    paths = [str(path) for path in sorted(folder.rglob("*.png"))]
    return [found.probabilities["red"] for found in run.predict(paths)]


@pytest.mark.parametrize(
    ("main", "strategy"),
    [
        ("linear", {"use": "probe", "epochs": 2}),
        ("logistic", {"use": "probe"}),
        ("linear", {"use": "last-stages", "stages": 1, "epochs": 1}),  # map.3 ends below what trains, map.1 far below
    ],
)
def test_a_run_is_the_same_stored_and_live_and_loads_as_it_was(
    folder: Path, tmp_path: Path, main: str, strategy: dict[str, Any]
) -> None:
    head = {"use": "joined", "reads": READS, "main": main}
    runs = [recipe(folder, head, strategy, store=store).run(tmp_path / store) for store in ("memory", "off")]
    stored, live = (shares(load(run.folder), folder) for run in runs)
    np.testing.assert_allclose(stored, live, atol=1e-5)
    assert shares(runs[0], folder) == stored
    assert load(runs[0].folder).model.head.main.ports == {"pooled": sum(WIDTHS.values())}
    told = [event for event in events(runs[0], "stored") if event["split"] == "train"]
    if strategy["use"] == "last-stages":
        assert told == [], "a value behind the map does not tell the map"
    else:
        assert [event["ports"] for event in told] == [["joined(pooled+map.1+map.3)"]]
        assert told[0]["megabytes"] == pytest.approx(told[0]["examples"] * sum(WIDTHS.values()) * 4 / 1e6, abs=0.1)


def test_a_port_that_the_network_has_not_is_named_before_weights_are_loaded(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"needs the port map\.77, .* gives pooled, map"):
        recipe(folder, {"use": "joined", "reads": ["pooled", "map.77"]}, "probe")
    with pytest.raises(RecipeError, match="unknown key 'cc'"):
        recipe(folder, {"use": "joined", "reads": "pooled", "main": "logistic", "options": {"cc": 1.0}}, "probe")
