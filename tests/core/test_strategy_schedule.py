"""The strategy `schedule`: phases out of a recipe, with every fault of them at its own line, and trained as written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.builtin.strategies import Full, Gradual, Probe
from headstart.builtin.strategies_partial import BitFit, LastStages, ProbeThenFull
from headstart.builtin.strategies_whole import LayerDecay
from headstart.builtin.strategy_schedule import Schedule, phase_plan
from headstart.errors import RecipeError, UsageError
from headstart.files import read_json
from headstart.fit import fit
from headstart.model import Model
from headstart.phases import Group, Phase
from headstart.recipe import Recipe
from headstart.recipe_file import check_recipe, dump_recipe
from headstart.strategy import Strategy
from headstart.trial import make_parts

TRAIN = {"device": "cpu", "store": "memory"}
RECIPE = """\
data: {use: table, path: rows.csv, text: text, label: label}
backbone: tiny/words
strategy:
  use: schedule
  phases:
    - name: head
      epochs: 2
      train:
        - {select: [head], lr: 1e-2}
"""


def at(tmp_path: Path, phases: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE + phases, encoding="utf-8")
    return path


def test_phases_are_those_of_the_recipe(tiny: Any, tmp_path: Path) -> None:
    more = """\
    - name: top
      epochs: 3
      schedule: linear
      warmup: 0.2
      patience: 1
      steps: 5
      train:
        - {select: [head, block.2], lr: 1, weight_decay: 0.1}
        - {select: ["*.bias"], lr: 1e-4}
"""
    recipe = Recipe.load(at(tmp_path, more))
    [strategy] = make_parts(recipe, ["strategy"])
    assert strategy.phases(None) == (
        Phase("head", 2, (Group(("head",), 1e-2),)),
        Phase("top", 3, (Group(("head", "block.2"), 1, 0.1), Group(("*.bias",), 1e-4)), "linear", 0.2, 1, 5),
    )
    again = tmp_path / "again.yaml"
    again.write_text(dump_recipe(recipe), encoding="utf-8")
    assert Recipe.load(again).strategy == recipe.strategy


@pytest.mark.parametrize("strategy", [
    Probe(), Full(), Gradual(step=1, patience=None), LayerDecay(), ProbeThenFull(), LastStages(stages=2), BitFit()
], ids=lambda strategy: type(strategy).__name__)  # fmt: skip
def test_the_plans_of_a_strategys_phases_give_those_phases(make_tiny: Callable[..., Model], strategy: Strategy) -> None:
    phases = tuple(strategy.phases(make_tiny()))
    assert Schedule(phases=tuple(map(phase_plan, phases))).phases(make_tiny()) == phases


@pytest.mark.parametrize(("phases", "places", "messages"), [
    ("    - {name: all, epoch: 3, epochs: 1, train: []}\n", ["10:19"], ["unknown key 'epoch'"]),
    ("    - {name: all, train: []}\n", ["10:7"], ["the key 'epochs' is missing at 'phases.1'"]),
    ("    - {name: all, epochs: two, train: []}\n", ["10:27"], ["'phases' at '1.epochs' must be a whole number, got 'two'"]),
    ("    - {name: all, epochs: 1, schedule: cosin, train: []}\n", ["10:40"], ["must be 'one-cycle', 'cosine'"]),
    ("    - {name: all, epochs: 1, train: [{select: head, lr: 1}]}\n", ["10:47"], ["at '1.train.0.select' must be a list"]),
    ("    - {name: 1, epochs: 1, train: [{select: [head]}]}\n", ["10:14", "10:36"], ["must be text", "'lr' is missing"]),
    ("    - {name: all, epochs: 1, patience: true, train: []}\n", ["10:40"], ["must be a whole number"]),
])  # fmt: skip
def test_every_fault_is_told_at_its_place(tiny: Any, tmp_path: Path, phases: str, places, messages) -> None:
    problems = check_recipe(at(tmp_path, phases))
    assert [f"{problem.line}:{problem.column}" for problem in problems] == places
    for problem, message in zip(problems, messages, strict=True):
        assert message in problem.message


def test_a_nearly_right_key_is_hinted_at(tiny: Any, tmp_path: Path) -> None:
    [problem] = check_recipe(at(tmp_path, "    - {name: all, epochs: 1, patiance: 3, train: []}\n"))
    assert problem.hint == "did you mean 'patience'?"


@pytest.mark.parametrize(("phase", "place", "message"), [
    ("{name: all, epochs: 0, train: []}", "10:27", "phases.1.epochs is 0; it must be at least 1"),
    ("{name: all, epochs: 1, warmup: 1, train: []}", "10:38", "phases.1.warmup is 1.0; it must be at least 0"),
    ("{name: all, epochs: 1, train: [{select: [head], lr: 0}]}", "10:59", "phases.1.train.0.lr is 0.0; it must be greater"),
    ("{name: all, epochs: 1, train: [{select: [], lr: 1}]}", "10:47", "phases.1.train.0.select is empty"),
])  # fmt: skip
def test_values_out_of_range_are_told_at_their_place(tiny: Any, tmp_path: Path, phase: str, place: str, message: str) -> None:
    recipe = Recipe.load(at(tmp_path, f"    - {phase}\n"))
    with pytest.raises(RecipeError) as caught:
        make_parts(recipe, ["strategy"])
    [problem] = caught.value.problems
    assert f"{problem.line}:{problem.column}" == place
    assert message in problem.message


@pytest.mark.parametrize(("selects", "message"), [
    ([["head"], ["blok.2"]], "phase 'two': the selector 'blok.2' matches no parameter; did you mean 'block.2'"),
    ([["head"], ["head", "*.wieght"]], r"phase 'two': the selector '\*.wieght' matches no parameter"),
    ([["nothing"], ["nowhere"]], "phase 'one': the selector 'nothing' .*phase 'two': the selector 'nowhere'"),
])  # fmt: skip
def test_selectors_that_match_nothing_stop_the_run_before_it_writes(
    tiny, make_recipe, tmp_path: Path, selects, message
) -> None:
    phases = [
        {"name": name, "epochs": 1, "train": [{"select": select, "lr": 0.1}]}
        for name, select in zip(("one", "two"), selects, strict=True)
    ]
    recipe = make_recipe(tmp_path, strategy={"use": "schedule", "phases": phases})
    with pytest.raises(UsageError, match=message):
        fit(recipe, tmp_path / "runs", report=False)
    assert not (tmp_path / "runs").exists()


def test_no_phases_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="phases is empty; it must have at least one phase"):
        Schedule(phases=())


def test_a_run_trains_what_the_schedule_says(tiny: Any, make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    phases = [
        {"name": "low", "epochs": 1, "train": [{"select": ["embedding"], "lr": 0.1}]},
        {
            "name": "top",
            "epochs": 3,
            "steps": 4,
            "train": [{"select": ["head"], "lr": 0.1}, {"select": ["block.2"], "lr": 0.01}],
        },
    ]
    recipe = make_recipe(tmp_path, strategy={"use": "schedule", "phases": phases}, baselines="none", train=TRAIN)
    low, top = read_json(fit(recipe, tmp_path / "runs", report=False).folder / "ledger.json")["phases"]
    assert {stage for stage, drift in low["drift"].items() if drift} == {"embedding"}
    assert {stage for stage, rate in top["rates"].items() if rate} == {"block.2", "head"}
    assert top["drift"]["embedding"] == low["drift"]["embedding"]
    assert top["stored"] == ["block.1"]
    assert top["steps"] == 4
