"""What a run that was stopped goes on from, in this process: folds, damage, full disks, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart import faults
from headstart.errors import DataError, HeadstartError, UsageError
from headstart.fit import fit
from headstart.recipe import Part, Recipe
from headstart.resume import resume
from headstart.resume_folder import ResumeFolder, Saved

sys.path.insert(0, str(Path(__file__).parent))
from resuming import differing

PLANS: dict[str, Any] = {
    "strategy": {"use": "gradual", "head_epochs": 2, "epochs": 1},
    "train": {"device": "cpu", "batch_size": 8, "checkpoint": 2},
    "baselines": "none",
}


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    faults.arm("")


@pytest.fixture
def stopped(tiny: Any, make_recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., tuple[Recipe, Path]]:
    """Run a recipe until a fault ends it: `stopped("step:9:raise", **sections)` gives the recipe and the run's folder."""

    def stop(fault: str, **sections: Any) -> tuple[Recipe, Path]:
        recipe = make_recipe(tmp_path, **PLANS | sections)
        faults.arm(fault)
        with pytest.raises((faults.Fault, HeadstartError)):
            fit(recipe, tmp_path / "stopped", report=False)
        faults.arm("")
        [folder] = (tmp_path / "stopped").iterdir()
        return recipe, folder

    return stop


def checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())


@pytest.mark.parametrize("fault", ["step:9:raise", "round:2:raise", "step:40:raise"])
def test_cross_validation_goes_on_in_the_fold_that_was_stopped(stopped, tmp_path: Path, fault: str) -> None:
    recipe, folder = stopped(fault, split={"folds": 2, "val": 0.25}, baselines="auto")
    undisturbed = fit(recipe, tmp_path / "undisturbed", report=False)
    assert differing(undisturbed.folder, resume(folder, report=False).folder) == []


def test_a_head_that_learns_in_one_go_learns_again(stopped, tmp_path: Path) -> None:
    recipe, folder = stopped("evaluate:1:raise", strategy="probe", head="logistic")
    undisturbed = fit(recipe, tmp_path / "undisturbed", report=False)
    assert differing(undisturbed.folder, resume(folder, report=False).folder) in ([], ["model"])  # skops writes ids of objects


def test_a_run_that_has_finished_keeps_no_checkpoints_and_says_so(tiny, make_recipe, tmp_path: Path) -> None:
    run = fit(make_recipe(tmp_path, **PLANS), tmp_path / "runs", report=False)
    assert not (run.folder / "checkpoints").exists()
    with pytest.raises(UsageError, match="this run has finished, there is nothing to resume"):
        resume(run.folder)


def test_what_a_kill_in_the_clearing_up_left_is_removed_when_the_run_says_that_it_has_finished(tiny, make_recipe, tmp_path):
    faults.arm("removed:1:raise")
    with pytest.raises(faults.Fault):
        fit(make_recipe(tmp_path, **PLANS), tmp_path / "runs", report=False)
    folder = (tmp_path / "runs" / "latest").resolve()
    assert checkpoints(folder) != []
    with pytest.raises(UsageError, match="this run has finished"):
        resume(folder)
    assert not (folder / "checkpoints").exists()


def test_halves_under_a_temporary_name_are_removed_before_it_goes_on(stopped) -> None:
    _, folder = stopped("step:9:raise")
    (folder / ".predictions.parquet.7.tmp").write_bytes(b"PAR1")
    (folder / ".model.tmp").mkdir()
    (folder / ".model.tmp" / "weights.safetensors").write_bytes(b"")
    assert list(resume(folder, report=False).folder.glob(".*")) == []


def test_without_checkpoints_a_run_cannot_go_on_and_says_what_to_type(stopped) -> None:
    _, folder = stopped("step:3:raise", train={"device": "cpu", "checkpoint": 0})
    assert not (folder / "checkpoints").exists()
    with pytest.raises(UsageError, match=r"kept nothing to go on from .* headstart run "):
        resume(folder)


def test_another_recipe_is_refused_with_what_differs(stopped) -> None:
    recipe, folder = stopped("step:9:raise")
    asked = replace(recipe, train=replace(recipe.train, batch_size=4), head=Part("mlp"))
    with pytest.raises(UsageError, match="is not the run's recipe") as caught:
        resume(folder, asked=asked)
    assert "-  batch_size: 8\n+  batch_size: 4" in str(caught.value)
    assert "+  use: mlp" in str(caught.value)
    assert "seed" not in str(caught.value)


def test_a_lock_that_was_changed_in_the_run_is_refused_with_what_differs(stopped) -> None:
    _, folder = stopped("step:9:raise")
    lock = folder / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("clip: 1.0", "clip: 2.0"))
    with pytest.raises(UsageError, match=r"was changed since the run began[\s\S]*-  clip: 1.0\n\+  clip: 2.0"):
        resume(folder)


def test_data_that_changed_are_refused(stopped, tmp_path: Path) -> None:
    _, folder = stopped("step:9:raise")
    [table] = tmp_path.glob("*.csv")
    table.write_text(table.read_text().replace("warm", "hot", 1))
    with pytest.raises(DataError, match="the data are not those that the run began with"):
        resume(folder)


def test_a_run_that_is_worked_on_is_left_alone(stopped) -> None:
    _, folder = stopped("step:9:raise")
    with ResumeFolder(folder) as other:
        other.lock()
        with pytest.raises(UsageError, match=r"process \d+ works on this run"):
            resume(folder)


def spoil_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "flipped byte": lambda path: spoil_one_byte(path / "state.safetensors"),
    "truncated": lambda path: (path / "state.safetensors").write_bytes((path / "state.safetensors").read_bytes()[:-9]),
    "zero length": lambda path: (path / "state.json").write_bytes(b""),
    "missing": lambda path: (path / "state.safetensors").unlink(),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "manifest of another kind": lambda path: (path / "manifest.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_it_serves(stopped, tmp_path: Path, capfd, damage: str) -> None:
    recipe, folder = stopped("step:9:raise")
    DAMAGE[damage](checkpoints(folder)[-1])
    ended = resume(folder, report=False)
    assert f"warning: the checkpoint {checkpoints_name(folder)} is damaged and is passed over: " in capfd.readouterr().err
    assert differing(fit(recipe, tmp_path / "undisturbed", report=False).folder, ended.folder) == []


def checkpoints_name(folder: Path) -> str:
    """Of the newest one, when the run was stopped: those before the ninth step were written after 2, 4, 6 and 8 steps."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    [message] = [event["message"] for event in events if event["event"] == "warning" and "damaged" in event["message"]]
    return str(message.split()[2])


def test_only_the_last_two_checkpoints_are_kept(stopped) -> None:
    _, folder = stopped("step:9:raise")
    numbers = [int(path.name) for path in checkpoints(folder)]
    assert len(numbers) == 2
    assert numbers[1] == numbers[0] + 1 > 2


def test_with_every_checkpoint_damaged_the_round_begins_anew(stopped, tmp_path: Path) -> None:
    recipe, folder = stopped("step:9:raise")
    for path in checkpoints(folder):
        spoil_one_byte(path / "state.safetensors")
    ended = resume(folder, report=False)
    assert differing(fit(recipe, tmp_path / "undisturbed", report=False).folder, ended.folder) == []


def test_a_full_disk_leaves_the_last_good_checkpoint_and_the_training_going(stopped, tmp_path: Path, capfd) -> None:
    _, folder = stopped("checkpoint.half:2:full,step:7:raise")
    said = capfd.readouterr().err
    assert "warning: no checkpoint could be written (No space left on device): it takes " in said
    assert f" bytes in '{folder / 'checkpoints'}'; the last good one is kept, training goes on" in said
    assert len(checkpoints(folder)) == 2  # after 2 steps and after 6; that after 4 found the disk full
    assert not [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".old"))]
    resume(folder, report=False)


def test_weights_that_are_others_by_now_are_refused(stopped) -> None:
    _, folder = stopped("step:3:raise", backbone={"use": "tiny/words", "seed": 3})
    for name in ("recipe.lock.yaml", "checkpoints/run.json"):
        path = folder / name
        path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    with pytest.raises(HeadstartError, match="weights of the network are not those that the run began with"):
        resume(folder)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(stopped) -> None:
    sections = {"strategy": {"use": "full", "epochs": 9, "lr": 1e3, "head_lr": 1e38, "schedule": "constant"}}
    _, folder = stopped("", **sections)
    for path in checkpoints(folder):
        saved = ResumeFolder(folder)._read(path, lambda *_, **__: pytest.fail("damaged"))
        assert saved is not None
        assert all(bool(tensor.isfinite().all()) for name, tensor in saved.tensors.items() if name.startswith("now."))


def test_a_half_line_in_the_log_is_cut_off_before_it_goes_on(stopped) -> None:
    _, folder = stopped("step:9:raise")
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "ste')
    resume(folder, report=False)
    names = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert names.count("resumed") == 1
    assert names[-1] == "end"


def test_checkpoints_come_back_equal_and_are_whole_or_absent(tmp_path: Path) -> None:
    import torch

    kept = ResumeFolder(tmp_path)
    kept.begin({"recipe": ""})
    tensors = {"a": torch.arange(6).reshape(2, 3).t(), "b": torch.tensor(float("nan")), "c": torch.zeros(0, dtype=torch.bool)}
    kept.write(Saved({"round": 0, "score": float("-inf")}, tensors))
    faults.arm("checkpoint.rename:1:raise")
    with pytest.raises(faults.Fault):
        kept.write(Saved({"round": 0}, {}))
    assert [path.name for path in checkpoints(tmp_path)] == ["000001"]
    found = kept.newest(0, lambda *_, **__: None)
    assert found is not None
    assert found.facts == {"round": 0, "score": float("-inf")}
    assert torch.equal(found.tensors["a"], tensors["a"])
    assert bool(found.tensors["b"].isnan())
    assert found.tensors["c"].shape == (0,)
    assert kept.newest(1, lambda *_, **__: None) is None
