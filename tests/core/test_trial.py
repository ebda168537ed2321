"""Options that only a part itself can judge are found by `check`, where they stand, before anything trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.cli.main import execute
from headstart.errors import RecipeError
from headstart.recipe import Part, Recipe
from headstart.trial import make_parts

RECIPE = """data:
  use: table
  path: rows.csv
backbone: tiny/words
head:
  use: mlp
  dropout: 0.5
strategy:
  use: probe
  epochs: 3
"""


@pytest.fixture
def recipe(tiny: Any, write_csv: Callable[..., Path], tmp_path: Path) -> Path:
    write_csv(tmp_path / "rows.csv")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("was", "wrong", "place", "said"),
    [
        ("epochs: 3", "epochs: 0", "10:11", "the strategy's option epochs is 0; it must be at least 1"),
        ("dropout: 0.5", "dropout: 2.0", "7:12", "the head's option dropout is 2.0; it must be at least 0 and less than 1"),
        ("path: rows.csv", "path: rows.csv\n  rows: 0", "4:9", "the data's option rows is 0; it must be at least 1"),
    ],
)
def test_an_option_that_its_part_refuses_is_a_fault_at_its_place(recipe, capsys, was, wrong, place, said) -> None:
    assert execute(["check", str(recipe)]) == 0
    recipe.write_text(RECIPE.replace(was, wrong), encoding="utf-8")
    capsys.readouterr()
    assert execute(["check", str(recipe)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{recipe}:{place}: {said}" in err


def test_refused_options_of_data_and_strategy_are_told_at_once_and_as_json(recipe: Path, capsys) -> None:
    assert execute(["check", str(recipe), "--set", "data.rows=-1", "--set", "strategy.lr=0", "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)["recipe"]["problems"]
    assert [problem["source"] for problem in problems] == ["data.rows=-1", "strategy.lr=0"]
    assert "lr is 0.0; it must be greater than 0" in problems[1]["message"]


def test_a_recipe_without_a_file_names_the_way_to_the_option() -> None:
    recipe = Recipe(Part("table", {"path": "x.csv"}), Part("vectors"), strategy=Part("probe", {"epochs": 0}))
    with pytest.raises(RecipeError, match=r"strategy\.epochs: the strategy's option epochs is 0"):
        make_parts(recipe, ("data", "strategy"))
