"""Kits with weights that torchvision and timm know by name: fetched where they are absent, found by their loaders elsewhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from headstart.errors import MissingError
from headstart.kit import fetch_kit
from headstart.kit_import import import_kit
from headstart.recipe import Recipe
from headstart.recipe_file import recipe_from_mapping
from headstart.supplying import refuse_absent, supplies_of
from headstart_vision.backbones.plain import SqueezeNet11
from headstart_vision.backbones.timm_network import Timm

COMMIT = "c" * 40


def use_machine(monkeypatch: pytest.MonkeyPatch, root: Path, *, offline: bool) -> None:
    """From now on the caches are those of this folder."""
    monkeypatch.setenv("TORCH_HOME", str(root / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(root / "hub"))
    for name in ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1" if offline else "0")


def recipe_with(**backbone: Any) -> Recipe:
    volumes = {"use": "healthcare/medmnist-3d", "set": "organmnist3d", "group": "none"}
    pictures = {"use": "vision/folder", "path": "none"}
    data = volumes if str(backbone["use"]).startswith("healthcare") else pictures
    return recipe_from_mapping({"name": "nets", "data": data, "backbone": backbone})


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SqueezeNet's weights as torchvision publishes them, at an address that this machine has itself."""
    torch.manual_seed(0)
    file = tmp_path / "new.pth"
    torch.save(models.squeezenet1_1(weights=None).state_dict(), file)
    served = file.rename(tmp_path / f"squeezenet1_1-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
    monkeypatch.setattr(models.SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", served.as_uri())
    return served


def test_torchvisions_weights_are_fetched_packed_and_found(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_with(use="vision/squeezenet1-1")
    use_machine(monkeypatch, tmp_path / "here", offline=False)
    packed = fetch_kit([recipe], tmp_path / "kit.zip")
    weights = next(entry for entry in packed.files if entry.what == "weights")
    assert (weights.home, weights.path, weights.licence) == ("torch", published.name, "BSD-3-Clause")
    published.unlink()

    use_machine(monkeypatch, tmp_path / "there", offline=True)
    with pytest.raises(MissingError, match=r"offline, and weights SqueezeNet1_1_Weights\.IMAGENET1K_V1 is not on this machine"):
        refuse_absent(recipe, with_data=False)
    import_kit(tmp_path / "kit.zip", tmp_path / "into")
    refuse_absent(recipe, with_data=False)
    assert SqueezeNet11().card.sha256 == weights.sha256


def test_timms_weights_at_the_revision_that_was_cached_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "here" / "hub" / "models--timm--test_resnet.r160_in1k"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    network: Any = timm.create_model("test_resnet", pretrained=False)
    save_file(network.state_dict(), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": {"license": "mit"}}))
    use_machine(monkeypatch, tmp_path / "here", offline=True)
    assert list(map(str, supplies_of(recipe_with(use="vision/timm", model="test_resnet")))) == [
        "weights timm/test_resnet.r160_in1k@main",
        "data none",
    ]
    packed = fetch_kit([recipe_with(use="vision/timm", model="test_resnet")], tmp_path / "kit.zip")
    assert {entry.licence for entry in packed.files if entry.what == "weights"} == {"mit"}

    use_machine(monkeypatch, tmp_path / "there", offline=True)
    import_kit(tmp_path / "kit.zip", tmp_path / "into")
    backbone = Timm(model="test_resnet")
    assert backbone.card.source == f"timm/test_resnet.r160_in1k@{COMMIT}"
    assert torch.equal(backbone.network.conv1[0].weight, network.conv1[0].weight)


@pytest.mark.parametrize("weights", ["none", "SOME.safetensors"])
def test_weights_that_no_network_brings_are_left_to_the_part(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_machine(monkeypatch, tmp_path, offline=True)
    refuse_absent(recipe_with(use="vision/resnet18", weights=weights))
