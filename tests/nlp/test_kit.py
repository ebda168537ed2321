"""A kit carries a recipe's weights and data from a machine with caches to one that has neither caches nor a network."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import WeightsError
from headstart.kit import fetch_kit
from headstart.recipe_file import recipe_from_mapping
from headstart_nlp.weights import find_weights, supply_of

COMMIT, DATA_COMMIT = "0123456789abcdef0123456789abcdef01234567", "f" * 40
RECIPE = """
name: moods
data: {{use: {data}}}
backbone: {{use: nlp/encoder, weights: {weights}}}
head: linear
strategy: {{use: probe, epochs: 1}}
baselines: none
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


class Machine:
    """A folder with caches of its own, in which the command runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    @property
    def hub(self) -> Path:
        return self.root / "hf" / "hub"

    def __call__(self, *args: object, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {
            "HF_HOME": str(self.root / "hf"),
            "TORCH_HOME": str(self.root / "torch"),
            "HOME": str(self.root),
            "HEADSTART_CACHE": str(self.root / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "headstart", *map(str, args)]
        environment = {**os.environ, **own, **variables}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=120)


def cached(folder: Path, repository: Path, commit: str, *, tag: str = "") -> None:
    """The folder's files as huggingface_hub caches them: content under its hash, links from the snapshot."""
    snapshot, blobs = repository / "snapshots" / commit, repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in folder.iterdir():
        content = file.read_bytes()
        large = file.suffix == ".safetensors"
        name = (
            hashlib.sha256(content).hexdigest()
            if large
            else hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        )
        (blobs / name).write_bytes(content)
        (snapshot / file.name).symlink_to(f"../../blobs/{name}")
    if tag:
        (repository / "refs").mkdir()
        (repository / "refs" / tag).write_text(commit)


def write_texts(path: Path, rows: int = 40) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(
            [f"w{n} {'joy warm' if n % 2 else 'dull lifeless'} w{n + 1}", "good" if n % 2 else "bad"] for n in range(rows)
        )


@pytest.fixture
def here(tmp_path: Path, tiny: Callable[[str], Path]) -> Machine:
    """A machine whose caches hold `someone/tiny` at the tag v1 and the data set `someone/moods`."""
    machine = Machine(tmp_path / "here")
    weights = Path(shutil.copytree(tiny("bert"), tmp_path / "weights"))
    (weights / "README.md").write_text("---\nlicense: mit\n---\n")
    cached(weights, machine.hub / "models--someone--tiny", COMMIT, tag="v1")
    (tmp_path / "set").mkdir()
    write_texts(tmp_path / "set" / "train.csv")
    cached(tmp_path / "set", machine.hub / "datasets--someone--moods", DATA_COMMIT)
    return machine


def write_recipe(machine: Machine, data: str, weights: str) -> None:
    (machine.root / "moods.yaml").write_text(RECIPE.format(data=data, weights=weights))


def test_what_the_hub_gave_runs_on_a_machine_that_has_never_seen_a_network(here: Machine, tmp_path: Path) -> None:
    write_recipe(here, f"hub, dataset: someone/moods, revision: {DATA_COMMIT}", "someone/tiny@v1")
    packed = here("--offline", "cache", "fetch", "moods.yaml", "--to", "kit.zip", "--with-data")
    assert packed.returncode == 0, packed.stderr
    assert "weights someone/tiny@v1: " in packed.stdout
    assert "licence mit" in packed.stdout
    assert "the kit holds data" in packed.stdout

    there = Machine(tmp_path / "there")
    shutil.copy(here.root / "moods.yaml", there.root)
    refused = there("--offline", "run", "moods.yaml")
    assert refused.returncode == 4
    said = "offline, and weights someone/tiny@v1, data someone/moods@" + DATA_COMMIT + " are not on this machine"
    assert said in refused.stderr
    assert (
        "headstart cache fetch moods.yaml --to kit.zip --with-data; then here: headstart cache import kit.zip" in refused.stderr
    )
    assert not (there.root / "runs").exists()

    shutil.copy(here.root / "kit.zip", there.root)
    digest = hashlib.sha256((here.root / "kit.zip").read_bytes()).hexdigest()
    imported = there("cache", "import", "kit.zip", "--sha256", digest)
    assert imported.returncode == 0, imported.stderr
    assert "next    headstart --offline run kit/moods.yaml" in imported.stdout
    assert (there.hub / f"models--someone--tiny/snapshots/{COMMIT}/model.safetensors").is_symlink()
    run = there("--offline", "run", "moods.yaml")
    assert run.returncode == 0, run.stderr
    card = json.loads((there.root / "runs" / "latest" / "model" / "config.json").read_text())["card"]
    assert card["source"] == f"someone/tiny@{COMMIT}"
    assert card["sha256"] == hashlib.sha256((tmp_path / "weights" / "model.safetensors").read_bytes()).hexdigest()


def test_a_cached_file_that_is_not_what_the_hub_published_is_neither_loaded_nor_packed(
    here: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here.hub))
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    place = "someone/tiny@v1"
    assert find_weights(place).source == f"someone/tiny@{COMMIT}"
    for name in ("model.safetensors", "config.json"):
        file = here.hub / f"models--someone--tiny/snapshots/{COMMIT}/{name}"
        content = file.read_bytes()
        file.resolve().write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(WeightsError, match=f"{name} is not what the hub published"):
            find_weights(place)
        recipe = recipe_from_mapping(
            {"data": {"use": "table", "path": "none.csv"}, "backbone": {"use": "nlp/encoder", "weights": place}}
        )
        with pytest.raises(WeightsError, match=f"{name} is not what the hub published"):
            fetch_kit([recipe], tmp_path / "kit.zip")
        assert not (tmp_path / "kit.zip").exists()
        file.resolve().write_bytes(content)


def test_weights_of_which_a_shard_is_absent_are_absent(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here.hub))
    snapshot = here.hub / f"models--someone--tiny/snapshots/{COMMIT}"
    assert supply_of("someone/tiny@v1").pieces()
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert supply_of("someone/tiny@v1").pieces() == []
    (snapshot / "model-00002-of-00002.safetensors").write_bytes(b"")
    assert supply_of("someone/tiny@v1").pieces()
