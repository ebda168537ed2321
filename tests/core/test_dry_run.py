"""The dry run: what it says of each phase is what the run does, and the schedule that it writes trains to the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.cli.main import execute
from headstart.example import Example
from headstart.files import read_json
from headstart.fit import fit
from headstart.forecast import look_ahead
from headstart.measuring import measured
from headstart.model import Model
from headstart.recipe import Recipe
from headstart.recipe_file import dump_recipe

STRATEGIES: dict[str, dict[str, Any]] = {
    "gradual": {"head_epochs": 2, "step": 1, "lr": 0.01},
    "probe-then-full": {"head_epochs": 2, "epochs": 2, "lr": 0.01},
    "layer-decay": {"epochs": 2, "lr": 0.01},
    "last-stages": {"stages": 1, "epochs": 2, "lr": 0.01},
    "bitfit": {"epochs": 2, "lr": 0.01},
}


@pytest.fixture
def written(tiny: Any, make_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., Path]:
    """A recipe file: `written("gradual", **sections)`."""

    def write(strategy: str, **sections: Any) -> Path:
        sections = {"baselines": "none", **sections}
        recipe = make_recipe(tmp_path, strategy={"use": strategy, **STRATEGIES.get(strategy, {})}, **sections)
        path = tmp_path / f"{strategy}.yaml"
        path.write_text(dump_recipe(recipe), encoding="utf-8")
        return path

    return write


def dry(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = execute(["run", *map(str, args), "--dry-run"])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_foretold_is_what_the_run_does(strategy: str, written: Callable[..., Path], tmp_path: Path, capsys) -> None:
    file = written(strategy, train={"device": "cpu", "store": "memory"})
    code, out, err = dry(capsys, file, "--json")
    assert code == 0, err
    told = json.loads(out)
    run = fit(Recipe.load(file), tmp_path / "runs", report=False)
    ledger = read_json(run.folder / "ledger.json")
    assert [phase["name"] for phase in told["phases"]] == [entry["name"] for entry in ledger["phases"]]
    for phase, entry in zip(told["phases"], ledger["phases"], strict=True):
        assert phase["trainable"] == entry["trainable"]["parameters"]
        assert set(phase["trains"]) == {stage for stage, rate in entry["rates"].items() if rate}
        assert phase["rates"] == sorted({min(g["lr"] for g in entry["groups"]), max(g["lr"] for g in entry["groups"])})
        stored = entry["stored"]
        assert phase["replayed"] == ("" if not stored else "pooled" if stored == ["pooled"] else f"after {stored[0]}")
        assert phase["epochs"] >= entry["epochs"]
        if phase["epochs"] == entry["epochs"]:
            assert phase["steps"] == entry["steps"]
    assert told["n"] == dict(run.metrics["n"])


def test_a_dry_run_trains_and_writes_nothing(written: Callable[..., Path], tmp_path: Path, capsys) -> None:
    file = written("gradual")
    before = sorted(tmp_path.rglob("*"))
    code, out, _ = dry(capsys, file, "--out", tmp_path / "runs")
    assert code == 0
    assert sorted(tmp_path.rglob("*")) == before
    lines = out.splitlines()
    assert lines[0] == "tiny: gradual on tiny/words, 2,250 parameters; train 32, val 16, test 16; nothing is trained"
    assert lines[1].split("  ")[0] == "phase"
    assert [line.split("  ")[0] for line in lines[2:6]] == ["head", "thaw to block.2", "thaw to block.1", "thaw to embedding"]
    assert "nothing: embedding trains" in lines[5]
    assert "after block.1" in lines[3]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_written_schedule_gives_the_same_phases_and_the_same_bits(strategy: str, written, tmp_path: Path, capsys) -> None:
    original, schedule = written(strategy), tmp_path / "schedule.yaml"
    code, out, err = dry(capsys, original, "--schedule", schedule)
    assert code == 0, err
    assert out.splitlines()[-1] == f"next    edit {schedule}, then headstart run {schedule}"
    explicit = Recipe.load(schedule)
    assert explicit.strategy.use == "schedule"
    assert look_ahead(explicit).phases == look_ahead(Recipe.load(original)).phases
    first, second = (fit(Recipe.load(file), tmp_path / "runs", report=False) for file in (original, schedule))
    assert_equal(first.model, second.model)
    assert first.metrics["test"] == second.metrics["test"]


def assert_equal(first: Model, second: Model) -> None:
    ours, theirs = first.state(), second.state()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_schedule_is_never_overwritten(written: Callable[..., Path], tmp_path: Path, capsys) -> None:
    file = written("gradual")
    text = file.read_text()
    code, _, err = dry(capsys, file, "--schedule", file)
    assert (code, file.read_text()) == (2, text)
    assert "is there already, and is not overwritten" in err


@pytest.mark.parametrize("strategy", ["l2-sp", "scratch", "lora"])
def test_a_strategy_that_is_more_than_its_phases_is_not_written(strategy: str, written, tmp_path: Path, capsys) -> None:
    code, _, err = dry(capsys, written(strategy), "--schedule", tmp_path / "schedule.yaml")
    assert code == 2
    assert f"strategy '{strategy}' changes the model or the loss as well" in err
    assert not (tmp_path / "schedule.yaml").exists()


def test_a_schedule_without_a_dry_run_is_refused(written: Callable[..., Path], tmp_path: Path) -> None:
    assert execute(["run", str(written("probe")), "--schedule", str(tmp_path / "s.yaml")]) == 2


def test_baseline_scratch_sets_the_recipes_baselines(written: Callable[..., Path], tmp_path: Path, capsys) -> None:
    schedule = tmp_path / "schedule.yaml"
    code, _, err = dry(capsys, written("gradual"), "--baseline", "scratch", "--schedule", schedule)
    assert code == 0, err
    assert Recipe.load(schedule).baselines == "scratch"


def test_the_store_off_and_a_closed_head_are_told(written: Callable[..., Path], capsys) -> None:
    [phase] = json.loads(dry(capsys, written("probe", train={"device": "cpu", "store": "off"}), "--json")[1])["phases"]
    assert (phase["replayed"], phase["why"]) == ("", "train.store is off")
    [closed] = json.loads(dry(capsys, written("probe", head="logistic"), "--json")[1])["phases"]
    assert (closed["trains"], closed["rates"], closed["steps"], closed["replayed"]) == ([], [], 0, "pooled")


@pytest.mark.parametrize(
    ("strategy", "is_warned"), [("bitfit", True), ("full", False), ("last-stages", False), ("probe", False)]
)
def test_a_few_low_parameters_are_warned_of(strategy, is_warned, written, tmp_path: Path, capsys) -> None:
    file = written(strategy, backbone={"use": "tiny/words", "width": 32})
    [*warnings] = json.loads(dry(capsys, file, "--json")[1])["warnings"]
    assert bool(warnings) is is_warned
    run = fit(Recipe.load(file), tmp_path / "runs", report=False)
    told = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    assert [event["message"] for event in told if event["event"] == "warning"] == warnings
    if is_warned:
        assert warnings[0].startswith(
            "phase 'bitfit': the lowest trainable parameter is in stage 'block.1': the backward pass runs through 2 of 3 stages"
        )
        assert "strategy last-stages with stages: 1 would compute" in warnings[0]


def test_operations_are_those_of_the_formulas(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny(width=8)
    network = measured(model, Example("a", "warm funny film", "good"))
    linear, head = 2 * 8 * 8, 2 * 8 * 2  # operations of a linear layer: twice its weights
    every, probe = list(model.weights()), [name for name in model.weights() if name.startswith("head.")]
    assert network.forward() == 2 * linear + head
    assert network.backward(every) == 2 * (2 * linear + head)
    assert (network.backward(probe), network.frozen(probe)) == (head, 2 * linear)
    assert network.epoch(probe, is_stored=True) == 2 * head
    top = [name for name in every if model.owner[name] in ("head", "block.2")]
    assert (network.backward(top), network.frozen(top)) == (linear + 2 * head, linear)  # no gradient of the first one's input
    biases = [name for name in every if name.endswith("bias")]
    assert (
        network.backward(biases) == linear + head
    )  # through block.2 and the head to the bias in block.1, for no weight at all


def test_counting_leaves_the_model_as_it_was(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    measured(model, Example("a", "warm funny film", "good"))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state().items())
    assert all(weight.grad is None for weight in model.weights().values())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
