"""A lock of a picture run: repeated to the bit, begun from, and refused where the bytes of a picture changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headstart.build import build
from headstart.errors import DataError
from headstart.fit import fit
from headstart.locking import first_other_file
from headstart.recipe import Recipe
from headstart.recipe_file import recipe_from_mapping
from headstart.run import LOCK


def test_a_picture_run_is_repeated_to_the_bit_and_refuses_a_changed_picture(save: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(12):
        save(f"pictures/red/{number}.png", (200, 40 + number, 30))
        save(f"pictures/blue/{number}.png", (30, 40 + number, 200))
    recipe = recipe_from_mapping(
        {
            "data": {"use": "vision/folder", "path": str(tmp_path / "pictures"), "augment": "light"},
            "backbone": {"use": "vision/squeezenet1-1", "weights": "none", "size": 32},
            "strategy": {"use": "full", "epochs": 2},
            "split": {"val": 4, "test": 4, "near": False},
            "train": {"batch_size": 8, "device": "cpu"},
            "baselines": "none",
        }
    )
    run = fit(recipe, tmp_path / "runs", report=False)
    again = fit(Recipe.load(run.folder / LOCK), tmp_path / "runs", report=False)
    assert first_other_file(run.folder, again.folder) is None

    model = build(replace(recipe, parent=str(run.folder))).model
    saved = run.model.state()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state().items())

    save("pictures/red/3.png", (199, 43, 31))
    with pytest.raises(DataError, match="the contents of examples changed"):
        fit(Recipe.load(run.folder / LOCK), tmp_path / "runs", report=False)
