"""`--from RUN`: a new run begins with the weights of a model that was saved, or says why it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart import faults
from headstart.build import build
from headstart.errors import HeadstartError, UsageError, WeightsError
from headstart.files import MANIFEST, file_hash
from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.resume import resume
from headstart.run import LOCK, Run
from headstart.run_files import RunFiles

FULL = {"use": "full", "epochs": 1, "lr": 0.02}


@pytest.fixture(scope="module")
def first(tiny_for_module: Any, make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that trained everything."""
    folder = tmp_path_factory.mktemp("first")
    return fit(make_recipe(folder, strategy=FULL, baselines="none"), folder / "runs", report=False).folder


@pytest.fixture
def parent(first: Path, tiny: Any, tmp_path: Path) -> Path:
    """A copy of it that a test may harm."""
    return shutil.copytree(first, tmp_path / "parent")


@pytest.fixture
def recipe(parent: Path, make_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe that begins from the parent."""

    def make(**sections: Any) -> Recipe:
        return make_recipe(tmp_path, **{"from": str(parent), "strategy": FULL, "baselines": "none", **sections})

    return make


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], part: str) -> bool:
    names = [name for name in theirs if name.startswith(part)]
    assert names
    return all(torch.equal(ours[name], theirs[name]) for name in names)


def test_backbone_and_head_begin_where_the_parent_ended(recipe, parent: Path) -> None:
    model, saved = build(recipe()).model, Run(parent).model.state()
    assert same(model.state(), saved, "backbone.")
    assert same(model.state(), saved, "head.")
    assert model.origin == "begins from parent: backbone and head taken"


def test_folds_begin_from_the_parent_too(recipe, parent: Path, tmp_path: Path) -> None:
    sections = {"split": {"folds": 2, "val": 0.25}, "strategy": {"use": "probe", "epochs": 1}}
    run = fit(recipe(**sections), tmp_path / "runs", report=False)
    assert same(run.model.state(), Run(parent).model.state(), "backbone.")  # a probe changes nothing of it


def test_other_labels_give_a_new_head_and_are_told(recipe, parent: Path, tmp_path: Path) -> None:
    path = tmp_path / "others.csv"
    rows = [f"film number {at} {('warm', 'dull', 'plain')[at % 3]},{('good', 'bad', 'fair')[at % 3]}" for at in range(60)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    sections = {"data": {"use": "table", "path": str(path), "text": "text", "label": "label"}}
    model = build(recipe(**sections)).model
    assert same(model.state(), Run(parent).model.state(), "backbone.")
    assert model.head.target.labels == ("bad", "fair", "good")
    assert model.origin.endswith("the head begins anew: its labels are bad, good in the run and bad, fair, good here")


def test_another_head_begins_anew(recipe) -> None:
    assert build(recipe(head="mlp")).model.origin.endswith("the head begins anew: it is linear in the run and mlp here")


def test_another_network_is_refused_by_its_first_tensor(recipe, parent: Path) -> None:
    with pytest.raises(
        UsageError, match=r"the tensor 'embedding\.weight' is \[257, 16\] here and \[257, 8\] in the run"
    ) as caught:
        build(recipe(backbone={"use": "tiny/words", "width": 16}))
    assert caught.value.exit_code == 2


def test_options_that_change_no_tensor_are_the_new_recipes(recipe, parent: Path) -> None:
    model = build(recipe(backbone={"use": "tiny/words", "dropout": 0.5})).model
    assert same(model.state(), Run(parent).model.state(), "backbone.")
    assert model.backbone.network.drop.p == 0.5


@pytest.mark.parametrize("name", ["backbone/model.safetensors", "head.safetensors", "config.json"])
def test_a_damaged_parent_is_refused_by_its_file(recipe, parent: Path, name: str, tmp_path: Path) -> None:
    path = parent / "model" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(HeadstartError, match=rf"{name}: its bytes changed"):
        fit(recipe(), tmp_path / "runs", report=False)
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_no_finished_run_is_refused(recipe, parent: Path) -> None:
    (parent / "metrics.json").unlink()
    with pytest.raises(UsageError, match="this run did not finish"):
        build(recipe())


def test_the_run_tells_of_its_parent_and_needs_it_no_more(recipe, parent: Path, tmp_path: Path) -> None:
    manifest = file_hash(parent / "model" / MANIFEST)
    run = fit(recipe(), tmp_path / "runs", quiet=True)
    files = RunFiles(run.folder)
    assert files.made_from["parent"] == {"run": "parent", "model": manifest}
    assert files.made_from["weights"]["sha256"] == manifest
    assert [event["message"] for event in files.events if event["event"] == "origin"] == [
        "begins from parent: backbone and head taken"
    ]
    assert "begins from parent: backbone and head taken" in files.text("report.html")
    assert "begins from parent" in files.text("train.log")
    assert run.model.backbone.card.licence == "CC0-1.0"
    shutil.rmtree(parent)
    assert len(Run(run.folder).predict(["a warm film"])) == 1


def test_its_lock_repeats_it_and_refuses_another_parent(recipe, parent: Path, tmp_path: Path) -> None:
    run = fit(recipe(), tmp_path / "runs", report=False)
    again = fit(Recipe.load(run.folder / LOCK), tmp_path / "runs", report=False)
    assert (run.folder / "model" / MANIFEST).read_bytes() == (again.folder / "model" / MANIFEST).read_bytes()
    shutil.rmtree(parent)
    shutil.copytree(run.folder, parent)
    with pytest.raises(WeightsError, match=r"training began from run parent \(model \w{12}\) then, from run parent"):
        fit(Recipe.load(run.folder / LOCK), tmp_path / "runs", report=False)


def test_a_run_with_a_parent_goes_on_after_it_was_stopped(recipe, tmp_path: Path) -> None:
    sections = {"train": {"device": "cpu", "batch_size": 8, "checkpoint": 2}}
    undisturbed = fit(recipe(**sections), tmp_path / "runs", report=False)
    faults.arm("step:3:raise")
    try:
        with pytest.raises(faults.Fault):
            fit(recipe(**sections), tmp_path / "stopped", report=False)
    finally:
        faults.arm("")
    [folder] = (tmp_path / "stopped").iterdir()
    ended = resume(folder, report=False)
    assert (ended.folder / "model" / MANIFEST).read_bytes() == (undisturbed.folder / "model" / MANIFEST).read_bytes()


def test_the_command_takes_a_run_and_refuses_what_does_not_go_together(recipe, parent: Path, tmp_path: Path, capfd) -> None:
    from headstart.cli.main import execute
    from headstart.recipe_file import dump_recipe

    plain = tmp_path / "plain.yaml"
    text = dump_recipe(recipe())
    plain.write_text("".join(line for line in text.splitlines(keepends=True) if not line.startswith("from:")))
    assert execute(["run", str(plain), "--from", str(parent), "--out", str(tmp_path / "runs")]) == 0
    assert "begins from parent: backbone and head taken" in capfd.readouterr().err
    latest = (tmp_path / "runs" / "latest").resolve()
    assert f"# --set from={parent}\n" in (latest / "recipe.yaml").read_text()
    assert Recipe.load(latest / LOCK).parent == str(parent)
    assert execute(["run", "--resume", str(latest), "--from", str(parent)]) == 2
    assert "--from RUN goes with a RECIPE" in capfd.readouterr().err
