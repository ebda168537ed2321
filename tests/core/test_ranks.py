"""One run in several processes: what one of them would give, and whatever ends one of them, the run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from headstart import faults
from headstart.errors import UsageError
from headstart.fit import fit
from headstart.job import make_job
from headstart.order import training_batches
from headstart.plugins import registry
from headstart.ranks import Ranks, of_environment
from headstart.recipe import Recipe
from headstart.resume import resume
from headstart.stopping import Stop

PLUGIN = Path(__file__).with_name("ranks_parts.py")
CLOSE = 1e-10  # in float64: only the order of sums differs

RECIPE = """
name: moods
data: {{use: table, path: "{path}", text: text, label: label}}
backbone: ranks/words
head: ranks/linear
strategy: {{use: gradual, head_epochs: 2, epochs: 2}}
split: {{test: 0.25, val: 0.25}}
baselines: none
train: {{device: cpu, store: memory, ema: 0.5, clip: 0.1, batch_size: 7, checkpoint: 3}}
"""


@pytest.fixture(scope="module")
def place(write_csv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the recipe; the plugin is there for this process and its children."""
    folder = tmp_path_factory.mktemp("ranks")
    write_csv(folder / "rows.csv")
    (folder / "recipe.yaml").write_text(RECIPE.format(path=folder / "rows.csv"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HEADSTART_PLUGIN_FILES", str(PLUGIN))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert next(record for record in registry().records if record.name == PLUGIN.stem).error is None
        yield folder


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    """The run of one process."""
    return fit(Recipe.load(place / "recipe.yaml"), place / "alone", report=False, quiet=True).folder


def start(*args: object, count: int = 2, **variables: str) -> subprocess.Popen[str]:
    """`torchrun ... -m headstart ARGS` on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command = [*launcher, f"--nproc-per-node={count}", "-m", "headstart", *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **variables})


def call(*args: object, count: int = 2, **variables: str) -> SimpleNamespace:
    """The same to its end: code, out, err."""
    process = start(*args, count=count, **variables)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return SimpleNamespace(code=process.returncode, out=out, err=err)


def only_run(place: Path) -> Path:
    """The run's folder, of which there is one, whoever took part."""
    [folder] = [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the saved model."""
    found = {}
    for file in sorted((folder / "model").rglob("*.safetensors")):
        found |= {f"{file.name}:{name}": tensor for name, tensor in load_file(file).items()}
    assert len(found) > 5
    return found


def distance(first: Path, second: Path) -> float:
    """The largest difference of two weights."""
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def assert_same(first: Path, second: Path) -> None:
    """Weights, curves and scores, up to the order of sums."""
    assert distance(first, second) <= CLOSE
    curves = [[json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (first, second)]
    assert len(curves[0]) == len(curves[1]) > 5
    for left, right in zip(*curves, strict=True):
        assert (left["phase"], left["epoch"], left["step"], left["best"]) == tuple(
            right[name] for name in ("phase", "epoch", "step", "best")
        )
        assert left["train_loss"] == pytest.approx(right["train_loss"], abs=CLOSE)
        assert left["val"] == pytest.approx(right["val"], abs=CLOSE)
    scores = [json.loads((path / "metrics.json").read_text())["test"] for path in (first, second)]
    for name, score in scores[0].items():
        assert score == pytest.approx(scores[1][name], abs=CLOSE)


def test_two_processes_give_the_weights_curves_and_scores_of_one(place: Path, alone: Path) -> None:
    ended = call("run", place / "recipe.yaml", "--out", place / "two")
    assert ended.code == 0, ended.err
    folder = only_run(place / "two")
    assert_same(alone, folder)
    files = [{path.name for path in run.iterdir()} for run in (alone, folder)]
    assert files[1] - files[0] == {"report.html", "figures"}
    assert files[0] <= files[1]
    assert ended.out.count("next ") == 1  # one of them speaks
    other = fit(Recipe.load(place / "recipe.yaml", ["train.seed=1"]), place / "other", report=False, quiet=True).folder
    assert distance(alone, other) > 1e6 * CLOSE  # another seed ends elsewhere: so small a distance is no accident
    done = [json.loads((path / "ledger.json").read_text()) for path in (alone, folder)]
    assert done[1]["floor"]["gflop"] >= done[0]["floor"]["gflop"]  # what both computed counts


def test_a_killed_process_ends_the_others_in_a_sentence_and_one_process_goes_on(place: Path, alone: Path) -> None:
    ended = call("run", place / "recipe.yaml", "--out", place / "killed", DOOMED="1:step:14")
    assert ended.code != 0
    assert 'Traceback (most recent call last):\n  File "<frozen' not in ended.err.split("ChildFailedError")[0] or ended.err
    said = [line for line in ended.err.splitlines() if line.startswith(("error: ", "stopped by SIGTERM"))]
    assert len(said) == 1, ended.err
    folder = only_run(place / "killed")
    assert not (folder / "metrics.json").exists()
    assert not (folder / "model").exists()
    resume(folder, report=False, quiet=True)
    assert_same(alone, folder)


def test_two_processes_go_on_with_the_run_of_one(place: Path, alone: Path) -> None:
    faults.arm("step:14:raise")
    try:
        with pytest.raises(faults.Fault):
            fit(Recipe.load(place / "recipe.yaml"), place / "grown", report=False, quiet=True)
    finally:
        faults.arm("")
    folder = only_run(place / "grown")
    ended = call("run", "--resume", folder)
    assert ended.code == 0, ended.err
    assert "goes on after" in ended.err
    assert_same(alone, folder)


@pytest.mark.slow  # two pairs of processes
@pytest.mark.parametrize("count", [2, 3])
def test_after_the_first_process_was_killed_several_go_on(place: Path, alone: Path, count: int) -> None:
    out = place / f"first-{count}"
    ended = call("run", place / "recipe.yaml", "--out", out, DOOMED="0:backward:20")
    assert ended.code != 0
    assert "has ended" in ended.err
    ended = call("run", "--resume", only_run(out), count=count)
    assert ended.code == 0, ended.err
    assert_same(alone, only_run(out))


@pytest.mark.slow  # a pair of processes, and one that goes on
def test_a_signal_to_one_process_stops_all_after_the_same_step(place: Path, alone: Path) -> None:
    ended = call("run", place / "recipe.yaml", "--out", place / "told", DOOMED="1:backward:13:term")
    assert ended.code != 0
    assert "stopped by SIGTERM" in ended.err
    assert "run --resume" in ended.err
    folder = only_run(place / "told")
    saved = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    facts = json.loads((saved / "state.json").read_text())
    assert facts["step"] + facts["passage"]["step"] == 13  # the step in which it came is done, and none after it
    resume(folder, report=False, quiet=True)
    assert_same(alone, folder)


@pytest.mark.slow  # a pair of processes
def test_a_head_that_learns_in_one_go_runs_in_several_processes(place: Path) -> None:
    changes = ["--set", "head=logistic", "--set", "strategy={use: probe}"]
    ended = call("run", place / "recipe.yaml", "--out", place / "closed", *changes)
    assert ended.code == 0, ended.err
    assert (only_run(place / "closed") / "metrics.json").exists()


@pytest.mark.slow  # a pair of processes
def test_folds_and_a_store_on_disk_run_in_several_processes(place: Path) -> None:
    changes = ["split={folds: 2, val: 0.25}", "train.store=disk", "strategy={use: probe, epochs: 3}"]
    given = [part for change in changes for part in ("--set", change)]
    one = fit(Recipe.load(place / "recipe.yaml", changes), place / "folds-1", report=False, quiet=True).folder
    ended = call("run", place / "recipe.yaml", "--out", place / "folds-2", *given)
    assert ended.code == 0, ended.err
    assert_same(one, only_run(place / "folds-2"))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_slices_of_a_batch_make_the_batch_in_its_order(size: int, count: int) -> None:
    [batch, *_] = training_batches(0, 1, [1] * count, count)
    parts = [Ranks(rank, size).part(batch) for rank in range(size)]
    assert [index for part in parts for index in part] == batch
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["strategy={use: full, epochs: 1}"], "a BatchNorm trains in phase"),
        (["train.mix=mixup"], "train.mix is 'mixup'"),
        (["head=contrast", "strategy={use: probe}"], "compares the examples of a batch"),
    ],
)
def test_what_needs_the_whole_batch_is_refused(
    place: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch, changes: Sequence[str], words: str
) -> None:
    asked = Recipe.load(place / "recipe.yaml", ["backbone=tiny/words", "head=linear", *changes])
    with pytest.raises(UsageError, match=words):
        make_job(asked, ranks=Ranks(0, 2))


def test_who_one_is_stands_in_the_environment_of_the_launcher() -> None:
    assert of_environment({"WORLD_SIZE": "8", "RANK": "3"}) == Ranks()  # a batch system's, without a place to meet
    given = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    assert of_environment(given) == Ranks(5, 8, 1, 4)
    with pytest.raises(UsageError, match="RANK=five"):
        of_environment({**given, "RANK": "five"})


def test_a_signal_that_all_agreed_on_is_obeyed_where_they_meet_and_its_copy_passed_over() -> None:
    stop = Stop()
    stop.obey_agreed()
    stop.agree(signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop.receive(signal.SIGTERM, None)  # the copy comes late: nothing is raised
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stop.obey_agreed()
