"""`headstart init` on a tree of pictures writes a recipe that this plugin's parts accept as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from headstart.cli.main import cli
from headstart.data_check import check_data
from headstart.recipe import Recipe


def test_a_tree_with_splits_gives_a_recipe_that_is_accepted_unchanged(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split, count in (("train", 12), ("valid", 4)):
        for number in range(count):
            save(f"pets/{split}/cat/{number}.png")
            save(f"pets/{split}/dog/{number}.jpg")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["init", "pets"], standalone_mode=False, catch_exceptions=False)
    assert "train/: 24 pictures in 2 classes: cat 12, dog 12." in done.stderr
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    assert (recipe.data.use, recipe.backbone.use) == ("vision/folder", "vision/efficientnet-lite0")
    report = check_data(recipe)
    assert not report.has_errors, report.lines()
    assert report.figures["splits"][0]["val"]["n"] == 8
