"""A saved model is the trained one to the bit, and a damaged one is refused by the name of its file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.checkpoint import load_model
from headstart.errors import HeadstartError, UsageError
from headstart.fit import fit
from headstart.predictions import read_predictions
from headstart.recipe import Recipe
from headstart.run import Run, load


@pytest.fixture(scope="module")
def original(tiny_for_module: Any, make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose backbone, statistics and head were trained."""
    folder = tmp_path_factory.mktemp("run")
    train = {"exact": True, "device": "cpu", "precision": "float32"}
    recipe = make_recipe(folder, strategy={"use": "full", "epochs": 2, "lr": 0.05}, train=train, baselines="none")
    return fit(recipe, folder / "runs", report=False).folder


@pytest.fixture
def run(original: Path, tiny: Any, tmp_path: Path) -> Run:
    """A copy of it in another place."""
    return load(shutil.copytree(original, tmp_path / "moved"))


def test_a_loaded_run_gives_the_predictions_of_the_trained_one_to_the_bit(run: Run) -> None:
    data = Path(run.recipe.data.options["path"])
    tested = next(outcome for outcome in read_predictions(run.folder / "predictions.parquet") if outcome.split == "test")
    texts = [example.input for example in tested.examples]  # shorter than an excerpt's 300 characters
    data.rename(data.with_suffix(".away"))  # predicting needs no training data
    try:
        found = run.predict(texts)
    finally:
        data.with_suffix(".away").rename(data)
    assert [(p.value, p.probabilities) for p in found] == [(p.value, p.probabilities) for p in tested.predictions]
    assert [p.probabilities for p in load(run.folder).predict(texts[::-1])] == [p.probabilities for p in found[::-1]]


def test_the_saved_backbone_is_the_trained_one(run: Run, tiny: Any) -> None:
    found = run.model.state()
    fresh = {f"backbone.{name}": tensor for name, tensor in tiny.Words().network.state_dict().items()}
    assert not torch.equal(found["backbone.block1.linear.weight"], fresh["backbone.block1.linear.weight"])
    assert not torch.equal(found["backbone.block1.norm.running_mean"], fresh["backbone.block1.norm.running_mean"])
    assert not run.model.training


def test_an_empty_list_has_no_predictions(run: Run) -> None:
    assert run.predict([]) == []


FILES = ("backbone/model.safetensors", "head.safetensors", "config.json", "README.md")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_file_is_refused_by_name(run: Run, name: str, damage: str) -> None:
    path = run.folder / "model" / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    with pytest.raises(HeadstartError, match=rf"{name}: (missing|its bytes changed)") as caught:
        run.predict(["a film"])
    assert caught.value.exit_code == 1


def test_a_missing_manifest_is_named(run: Run) -> None:
    (run.folder / "model" / "manifest.json").unlink()
    with pytest.raises(HeadstartError, match=r"manifest\.json: not found"):
        run.predict(["a film"])


def test_a_model_of_another_format_is_refused(run: Run) -> None:
    from headstart.files import read_json, write_json, write_manifest

    folder = run.folder / "model"
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "format": 99})
    write_manifest(folder)
    with pytest.raises(HeadstartError, match="model format 99; this version reads format 1"):
        load_model(run.recipe, folder)


def test_the_config_says_what_the_model_is(run: Run) -> None:
    config = json.loads((run.folder / "model" / "config.json").read_text())
    assert config["target"]["labels"] == ["bad", "good"]
    assert config["backbone"]["use"] == "tiny/words"
    assert config["stages"] == ["embedding", "block.1", "block.2"]
    assert config["card"]["licence"] == "CC0-1.0"


@pytest.mark.parametrize(("name", "message"), [("metrics.json", "this run did not finish"), ("recipe.lock.yaml", "not a run")])
def test_a_folder_that_is_no_finished_run_is_refused(run: Run, name: str, message: str) -> None:
    (run.folder / name).unlink()
    with pytest.raises(UsageError, match=message):
        load(run.folder)
