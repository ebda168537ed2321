"""A kit carries MedMNIST's files, and a recipe that names one is refused offline where it is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import MissingError
from headstart.kit import fetch_kit
from headstart.kit_import import import_kit
from headstart.recipe_file import recipe_from_mapping
from headstart.supplying import refuse_absent
from headstart_healthcare.data.medmnist import MedMNIST


def write_breast(path: Path) -> None:
    """A file of the official form: breastmnist, 28 pixels, few pictures."""
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 6), ("val", 4), ("test", 4)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % 2).reshape(-1, 1).astype(np.uint8)
    np.savez(path, **arrays)


def test_a_set_is_packed_with_the_data_and_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "here"))
    write_breast(tmp_path / "here" / ".medmnist" / "breastmnist.npz")
    data = {"use": "healthcare/medmnist", "set": "breastmnist", "group": "none"}
    recipe = recipe_from_mapping({"data": data, "backbone": {"use": "vision/resnet18", "weights": "none"}})
    assert not any(entry.home == "medmnist" for entry in fetch_kit([recipe], tmp_path / "without.zip").files)
    fetch_kit([recipe], tmp_path / "kit.zip", with_data=True)

    monkeypatch.setenv("HOME", str(tmp_path / "there"))
    with pytest.raises(MissingError, match=r"offline, and data breastmnist.npz is not on this machine.*--with-data"):
        refuse_absent(recipe)
    import_kit(tmp_path / "kit.zip", tmp_path / "into")
    refuse_absent(recipe)
    assert len(MedMNIST(set="breastmnist", group="none").examples()) == 14
