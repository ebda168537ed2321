"""MedMNIST files: the exact layout in 2D, RGB and 3D, the class that is looked for, checksums, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import DataError, MissingError, UsageError
from headstart.recipe import Part, Recipe
from headstart_healthcare.data.medmnist import MedMNIST, MedMNIST3D
from headstart_healthcare.data.medmnist_catalogue import SETS

COUNTS = {"train": 60, "val": 24, "test": 120}


def file_of(
    path: Path, shape: tuple[int, ...] = (28, 28), classes: int = 2, columns: int = 1, seed: int = 0, **wrong: Any
) -> Path:
    """A file of the official layout; the brightness of the middle grows with the class: a planted signal."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in COUNTS.items():
        labels = rng.integers(0, classes if columns == 1 else 2, (count, columns)).astype(np.uint8)
        images = rng.integers(0, 60, (count, *shape))
        middle = (slice(None), *(slice(10, 18) for _ in shape[: 3 if len(set(shape)) == 1 else 2]))
        images[middle] += (labels[:, 0] * (150 // max(classes - 1, 1))).reshape(-1, *[1] * len(shape))
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = images.astype(np.uint8), labels
    np.savez_compressed(path, **{**arrays, **wrong})
    return path


def test_two_dimensions_colour_and_three_dimensions_in_the_official_layout(tmp_path):
    grey = MedMNIST(set="pneumoniamnist", group="none", path=str(file_of(tmp_path / "a.npz"))).examples()
    assert grey[0].input.pixels().shape == (28, 28) and grey[0].input.pixels().dtype == np.uint8
    colour = MedMNIST(set="retinamnist", group="none", path=str(file_of(tmp_path / "b.npz", (28, 28, 3), 5))).examples()
    assert colour[0].input.pixels().shape == (28, 28, 3)
    solid = MedMNIST3D(set="nodulemnist3d", group="none", path=str(file_of(tmp_path / "c.npz", (28, 28, 28)))).examples()
    opened = solid[0].input.open()
    assert opened.shape == (1, 28, 28, 28) and opened.dtype == np.float32
    assert np.array_equal(opened[0], solid[0].input.values.astype(np.float32) / 255), "divided by 255, axes as stored"


def test_the_division_of_the_file_is_kept(tmp_path):
    data = MedMNIST(set="pneumoniamnist", group="none", path=str(file_of(tmp_path / "a.npz")))
    splits = [example.meta["split"] for example in data.examples()]
    assert {name: splits.count(name) for name in COUNTS} == COUNTS


def test_zero_is_malignant_in_the_breast_set(tmp_path):
    path = file_of(tmp_path / "a.npz")
    data = MedMNIST(set="breastmnist", group="none", path=str(path))
    labels = np.load(path)["train_labels"][:, 0]
    assert data.target.positive == "malignant"
    assert [example.target == "malignant" for example in data.examples()[:60]] == (labels == 0).tolist()


def test_fourteen_findings_of_the_chest_set(tmp_path):
    path = file_of(tmp_path / "a.npz", columns=14)
    data = MedMNIST(set="chestmnist", group="none", path=str(path))
    row = np.load(path)["train_labels"][3]
    assert data.target.kind == "labels" and len(data.target.labels) == 14
    assert data.examples()[3].target == tuple(np.array(data.target.labels)[row == 1])


def test_a_file_that_is_not_the_official_one_is_said_to_be_none(tmp_path):
    data = MedMNIST(set="pneumoniamnist", group="none", path=str(file_of(tmp_path / "a.npz")))
    assert any("Not known to be an official pneumoniamnist" in text for text in data.facts()["notes"])
    assert any("No patient is known" in text for text in data.facts()["warnings"])


def test_an_official_checksum_is_recognised(tmp_path, monkeypatch):
    import dataclasses
    import hashlib

    path = file_of(tmp_path / "a.npz")
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(
        "headstart_healthcare.data.medmnist.SETS",
        {**SETS, "pneumoniamnist": dataclasses.replace(SETS["pneumoniamnist"], md5=md5)},
    )
    data = MedMNIST(set="pneumoniamnist", group="none", path=str(path))
    assert any("The official pneumoniamnist" in text for text in data.facts()["notes"])


def test_pickled_objects_other_arrays_and_other_shapes_are_refused(tmp_path):
    objects = np.array([{"a": 1}] * COUNTS["train"], dtype=object)
    cases = {
        "pickled objects": file_of(tmp_path / "a.npz", train_labels=objects),
        "MedMNIST's files hold": file_of(tmp_path / "b.npz", extra=np.zeros(3)),
        "not uint8": file_of(tmp_path / "c.npz", train_images=np.zeros((60, 28, 28), np.float32)),
        "not integers": file_of(tmp_path / "d.npz", test_labels=np.zeros((7, 1), np.uint8)),
        "has the classes 0 to 1": file_of(tmp_path / "e.npz", classes=9),
    }
    for said, path in cases.items():
        with pytest.raises(DataError, match=said):
            MedMNIST(set="pneumoniamnist", group="none", path=str(path)).examples()
    (tmp_path / "f.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"is no \.npz file"):
        MedMNIST(set="pneumoniamnist", group="none", path=str(tmp_path / "f.npz")).examples()
    with pytest.raises(DataError, match="not uint8"):
        MedMNIST3D(set="nodulemnist3d", group="none", path=str(file_of(tmp_path / "g.npz"))).examples()


def test_an_archive_that_unfolds_to_too_much_is_refused_before_it_is_unfolded(tmp_path, monkeypatch):
    monkeypatch.setattr("headstart_healthcare.reading.medmnist_file.LIMIT", 1000)
    with pytest.raises(DataError, match="that is no MedMNIST file"):
        MedMNIST(set="pneumoniamnist", group="none", path=str(file_of(tmp_path / "a.npz"))).examples()


def test_without_a_network_the_message_says_where_the_file_is_to_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match=r"zenodo.*breastmnist_64\.npz"):
        MedMNIST(set="breastmnist", group="none", size=64).examples()
    with pytest.raises(MissingError, match="switched off"):
        MedMNIST(set="breastmnist", group="none", download=True).examples()


def test_options_are_judged_when_the_part_is_made():
    with pytest.raises(UsageError, match="write group: none"):
        MedMNIST(set="breastmnist", group="patient")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(UsageError, match="is none of pneumoniamnist"):
        MedMNIST(set="nodulemnist3d", group="none")
    with pytest.raises(UsageError, match="32 is none of 28, 64"):
        MedMNIST3D(set="nodulemnist3d", group="none", size=32)


def run_on(tmp_path: Path, path: Path) -> dict[str, Any]:
    options = {"set": "pneumoniamnist", "group": "none", "path": str(path)}
    recipe = Recipe(
        Part("healthcare/medmnist", options), Part("vision/efficientnet-lite0", {"size": 64}),
        strategy=Part("probe", {"epochs": 15}), baselines="none",
    )  # fmt: skip
    metrics = json.loads((recipe.run(tmp_path / "runs").folder / "metrics.json").read_text())
    found: dict[str, Any] = metrics["evaluations"]["healthcare/clinical"]["test"]["questions"]["pneumonia"]
    return found


def test_a_planted_signal_is_found_and_permuted_labels_are_not(tmp_path):
    path = file_of(tmp_path / "a.npz")
    assert run_on(tmp_path, path)["auroc"]["value"] >= 0.95
    aurocs = []  # one draw of 120 test pictures is off by 0.1 in one case of twenty, the mean of three in one of a thousand
    for seed in range(3):
        arrays, rng = dict(np.load(path)), np.random.default_rng(seed)
        for part in COUNTS:
            arrays[f"{part}_labels"] = rng.permutation(arrays[f"{part}_labels"])
        np.savez_compressed(tmp_path / f"{seed}.npz", **arrays)
        aurocs.append(run_on(tmp_path, tmp_path / f"{seed}.npz")["auroc"]["value"])
    assert 0.4 <= np.mean(aurocs) <= 0.6, aurocs
