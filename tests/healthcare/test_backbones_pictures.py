"""Picture backbones of healthcare: MONAI's networks and published weights, on files made in the official layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet121 as MonaiDense
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from headstart.builtin.heads_neural import Linear
from headstart.data import Data
from headstart.device import Compute
from headstart.errors import UsageError, WeightsError
from headstart.example import Example, Target
from headstart.feed import LiveFeed
from headstart.model import Model
from headstart.plugins import registry
from headstart.prefix_feed import prove
from headstart.stages import owners
from headstart_healthcare.backbones.monai_networks import make_resnet

TARGET = Target("class", ("a", "b"))
MONAI = ("monai-resnet10", "monai-resnet18", "monai-resnet50", "monai-densenet121")


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return registry().find("backbone", f"healthcare/{name}").load()(**options)


def shaken(network: nn.Module) -> dict[str, Tensor]:
    """A state dict whose every tensor has values of its own, BatchNorm's statistics included."""
    generator = torch.Generator().manual_seed(1)
    return {name: _shaken(tensor, generator) if tensor.is_floating_point() else tensor for name, tensor in tensors_of(network)}


def tensors_of(network: nn.Module) -> list[tuple[str, Tensor]]:
    return list(network.state_dict().items())


def _shaken(tensor: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.rand(tensor.shape, generator=generator)
    return tensor * (1 + 0.1 * noise) + (0.01 * noise if tensor.ndim == 1 else 0)


def pixels(channels: int, side: int = 64, count: int = 2) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(2))


def features(backbone: Any, batch: Mapping[str, Tensor]) -> Any:
    with torch.inference_mode():
        return backbone.eval()(batch)


class Grey(Data):
    """Grey pictures of noise in memory."""

    modality = "image"
    target = TARGET

    def examples(self) -> list[Example]:
        """Three of them."""
        generator = np.random.default_rng(0)
        return [Example(str(at), generator.integers(0, 255, (80, 64), dtype=np.uint8), "a") for at in range(3)]

    def read(self, source: Any) -> Any:
        """As it is."""
        return source


@pytest.mark.parametrize("name", MONAI)
def test_monais_networks_on_pictures_have_stages_ports_and_an_exact_replay(name: str) -> None:
    backbone = make(name, weights="none", size=64, channels=1).eval()
    assert set(owners(backbone.network, backbone.stages).values()) == {stage.name for stage in backbone.stages}
    model = Model(backbone, Linear(backbone.ports, TARGET))
    data = Grey()
    proof = prove(LiveFeed(model, data, data.examples(), Compute(torch.device("cpu"))), model.stage_names)
    assert tuple(proof.patterns) == model.stage_names
    found = features(backbone, {"pixels": pixels(1)})
    assert set(found) == set(backbone.ports) == set(backbone.port_names)
    assert all(found[port].shape[1] == width for port, width in backbone.ports.items())


@pytest.mark.parametrize(
    ("name", "arch"), [("monai-resnet18", "resnet18"), ("monai-resnet50", "resnet50"), ("monai-densenet121", "densenet121")]
)
def test_torchvisions_files_fill_monais_networks_and_give_the_same(name: str, arch: str, tmp_path: Path) -> None:
    theirs = models.get_model(arch, weights=None).eval()
    theirs.load_state_dict(shaken(theirs))
    torch.save(theirs.state_dict(), tmp_path / "published.pth")
    backbone = make(name, weights=str(tmp_path / "published.pth"), size=64)
    seen: list[Tensor] = []
    last = theirs.fc if hasattr(theirs, "fc") else theirs.classifier
    last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        theirs(pixels(3))
    torch.testing.assert_close(features(backbone, {"pixels": pixels(3)})["pooled"], seen[0], rtol=1e-4, atol=1e-5)


def test_a_file_of_monais_own_dense_network_fits(tmp_path: Path) -> None:
    theirs = MonaiDense(2, 1, 5).eval()
    theirs.load_state_dict(shaken(theirs))
    save_file(theirs.state_dict(), tmp_path / "monai.safetensors")
    backbone = make("monai-densenet121", weights=str(tmp_path / "monai.safetensors"), size=64, channels=1)
    with torch.inference_mode():
        torch.testing.assert_close(
            theirs.class_layers.out(features(backbone, {"pixels": pixels(1)})["pooled"]),
            theirs(pixels(1)),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("name", [*MONAI, "radimagenet-densenet121"])
def test_one_channel_gives_what_the_grey_value_repeated_gives(name: str, tmp_path: Path) -> None:
    colour = make(name, weights="none", channels=3, size=64).eval()
    colour.network.load_state_dict(shaken(colour.network))
    colour.save(tmp_path)
    grey = make(name, **{**type(colour).saved_options(tmp_path, {"weights": "x", "size": 64}), "channels": 1})
    picture = np.random.default_rng(3).integers(0, 255, (64, 64), dtype=np.uint8)
    both = [features(backbone, backbone.prepare([picture])) for backbone in (colour, grey)]
    assert grey.prepare([picture])["pixels"].shape[1] == 1
    torch.testing.assert_close(both[0]["pooled"], both[1]["pooled"], rtol=1e-4, atol=2e-5)


def test_nobody_has_published_a_resnet10_and_that_is_said() -> None:
    with pytest.raises(WeightsError, match="none are published for a ResNet-10"):
        make("monai-resnet10", weights="default")


# MedicalNet


def medicalnet_map(state: Mapping[str, Tensor], voxels: Tensor) -> Tensor:
    """The published network (Tencent/MedicalNet, models/resnet.py) written out for basic blocks of one per layer."""

    def norm(values: Tensor, name: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(values, *(state[f"{name}.{part}"] for part in names))

    values = F.relu(norm(F.conv3d(voxels, state["conv1.weight"], stride=2, padding=3), "bn1"))
    values = F.max_pool3d(values, 3, 2, 1)
    for layer, (stride, reach) in enumerate([(1, 1), (2, 1), (1, 2), (1, 4)], start=1):
        block = f"layer{layer}.0"
        inner = F.conv3d(values, state[f"{block}.conv1.weight"], stride=stride, padding=reach, dilation=reach)
        inner = F.relu(norm(inner, f"{block}.bn1"))
        inner = norm(F.conv3d(inner, state[f"{block}.conv2.weight"], padding=reach, dilation=reach), f"{block}.bn2")
        if f"{block}.downsample.0.weight" in state:
            values = norm(F.conv3d(values, state[f"{block}.downsample.0.weight"], stride=stride), f"{block}.downsample.1")
        elif layer > 1:
            values = values[:, :, ::stride, ::stride, ::stride]
            values = torch.cat([values, torch.zeros_like(values)], dim=1)
        values = F.relu(inner + values)
    return values


@pytest.fixture
def medicalnet(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    """A file as Tencent publishes it: wrapped, every name beginning with "module.", no classifier."""
    state = shaken(make_resnet(10, 3, 1))
    file = tmp_path / "resnet_10_23dataset.pth"
    torch.save({"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, file)
    return file, state


def test_medicalnets_file_gives_the_published_network_and_not_monais(medicalnet) -> None:
    file, state = medicalnet
    backbone = make("medicalnet-10", weights=str(file), size=32)
    voxels = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        wanted = medicalnet_map(state, voxels)
    torch.testing.assert_close(features(backbone, {"voxels": voxels})["map"], wanted, rtol=1e-4, atol=1e-4)
    monai = make("monai-resnet10-3d", weights=str(file), size=32)
    assert features(monai, {"voxels": voxels})["map"].shape != wanted.shape
    assert backbone.card.licence == "MIT"
    assert backbone.card.sha256 == sha256(file.read_bytes()).hexdigest()
    assert "23 sets" in backbone.card.trained_on


def test_a_file_with_other_shortcuts_names_the_option_that_makes_it_fit(medicalnet) -> None:
    file, _ = medicalnet
    with pytest.raises(WeightsError, match="write shortcut: B"):
        make("monai-resnet10-3d", weights=str(file), shortcut="A")
    with pytest.raises(WeightsError, match="write shortcut_bias: false"):
        make("monai-resnet10-3d", weights=str(file), shortcut_bias=True)


def test_three_channels_of_weights_are_summed_for_one(tmp_path: Path) -> None:
    colour = make("monai-resnet10-3d", channels=3, width=0.25, size=32)
    colour.network.load_state_dict(shaken(colour.network))
    save_file(colour.network.state_dict(), tmp_path / "three.safetensors")
    grey = make("monai-resnet10-3d", weights=str(tmp_path / "three.safetensors"), width=0.25, size=32)
    voxels = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(6))
    wanted = features(colour, {"voxels": voxels.expand(-1, 3, -1, -1, -1)})["pooled"]
    torch.testing.assert_close(features(grey, {"voxels": voxels})["pooled"], wanted, rtol=1e-4, atol=1e-5)


def test_a_hash_is_held_to_and_not_asked_of_a_saved_run(medicalnet, tmp_path: Path) -> None:
    file, _ = medicalnet
    digits = sha256(file.read_bytes()).hexdigest()
    backbone = make("medicalnet-10", weights=str(file), sha256=digits[:8].upper(), size=32)
    with pytest.raises(WeightsError, match=f"has sha256 {digits}, not {'0' * 64}"):
        make("medicalnet-10", weights=str(file), sha256="0" * 64)
    with pytest.raises(WeightsError, match="at least its first 8 digits"):
        make("medicalnet-10", weights=str(file), sha256="abc")
    backbone.save(tmp_path / "run")
    given = {"weights": str(file), "sha256": digits, "size": 32}
    again = make("medicalnet-10", **type(backbone).saved_options(tmp_path / "run", given))
    assert torch.equal(again.network.conv1.weight, backbone.network.conv1.weight)


def test_a_file_of_another_network_is_refused_with_counts(medicalnet) -> None:
    with pytest.raises(WeightsError, match="tensors are missing"):
        make("medicalnet-50", weights=str(medicalnet[0]))


# torchxrayvision


class _Xrv(nn.Module):
    """Stands for a pickled network, as torchxrayvision publishes its DenseNets."""


def test_torchxrayvisions_tensors_give_its_network_on_its_range(tmp_path: Path) -> None:
    theirs = models.densenet121(weights=None, num_classes=18)
    theirs.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    theirs.load_state_dict(shaken(theirs))
    file = tmp_path / "xrv.safetensors"
    save_file({**theirs.eval().state_dict(), "op_threshs": torch.zeros(18)}, file)
    backbone = make("xrv-densenet121", weights=str(file), size=64)
    picture = np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)
    prepared = backbone.prepare([picture])["pixels"]
    assert prepared.shape == (1, 1, 64, 64)
    theirs_of = (2 * torch.from_numpy(picture).float() / 255 - 1) * 1024  # torchxrayvision, utils.normalize
    torch.testing.assert_close(prepared[0, 0], theirs_of, rtol=1e-5, atol=1e-3)
    with torch.inference_mode():
        torch.testing.assert_close(
            theirs.classifier(features(backbone, {"pixels": prepared})["pooled"]), theirs(prepared), rtol=1e-4, atol=1e-3
        )
    backbone.save(tmp_path / "run")
    again = make("xrv-densenet121", **type(backbone).saved_options(tmp_path / "run", {"weights": "gone", "size": 64}))
    assert torch.equal(again.prepare([picture])["pixels"], prepared)
    assert "Apache-2.0" in backbone.card.licence


def test_a_pickled_network_is_never_run(tmp_path: Path) -> None:
    torch.save(_Xrv(), tmp_path / "pickled.pt")
    with pytest.raises(WeightsError, match="holds code, which is never run"):
        make("xrv-densenet121", weights=str(tmp_path / "pickled.pt"))


def test_torchxrayvisions_resnet_reads_512(tmp_path: Path) -> None:
    theirs = models.resnet50(weights=None, num_classes=18)
    theirs.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    torch.save({f"model.{name}": tensor for name, tensor in shaken(theirs).items()}, tmp_path / "xrv.pt")
    backbone = make("xrv-resnet50", weights=str(tmp_path / "xrv.pt"))
    assert backbone.expects.size == 512
    assert torch.equal(backbone.network.conv1.weight, shaken(theirs)["conv1.weight"])


# RadImageNet


@pytest.mark.parametrize(
    ("name", "arch"), [("resnet50", "resnet50"), ("densenet121", "densenet121"), ("inception-v3", "inception_v3")]
)
def test_radimagenets_numbered_parts_find_their_places(name: str, arch: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if arch == "inception_v3" else {}
    theirs = models.get_model(arch, weights=None, **options).eval()
    theirs.load_state_dict(shaken(theirs))
    cut = nn.Module()
    cut.backbone = nn.Sequential(*list(theirs.children())[:-1])  # as their pytorch_example.ipynb makes it
    torch.save(cut.state_dict(), tmp_path / "published.pt")
    backbone = make(f"radimagenet-{name}", weights=str(tmp_path / "published.pt"), channels=3)
    assert (backbone.expects.size, backbone.expects.resize) == (224, 224)
    values = pixels(3, side=96, count=1) * 2 - 1
    parts = list(cut.backbone) if arch != "densenet121" else [cut.backbone, nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    with torch.inference_mode():
        wanted = nn.Sequential(*parts)(values).flatten(1)
    torch.testing.assert_close(features(backbone, {"pixels": values})["pooled"], wanted, rtol=1e-4, atol=1e-4)
    picture = np.random.default_rng(0).integers(0, 256, (224, 224), dtype=np.uint8)
    torch.testing.assert_close(backbone.prepare([picture])["pixels"][0, 0], (torch.from_numpy(picture) - 127.5) * 2 / 255)


# RAD-DINO


@pytest.fixture
def dino(tmp_path: Path) -> Path:
    """A small network in the layout of microsoft/rad-dino, written by transformers itself."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14)
    Dinov2Model(config).save_pretrained(tmp_path)
    BitImageProcessor(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_mean=[0.53] * 3, image_std=[0.26] * 3
    ).save_pretrained(tmp_path)
    return tmp_path


def test_rad_dinos_folder_gives_what_transformers_gives(dino: Path) -> None:
    backbone = make("rad-dino", weights=str(dino))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 64), dtype=np.uint8))
    processor = BitImageProcessor.from_pretrained(dino)
    theirs = torch.as_tensor(np.asarray(processor(picture.convert("RGB"))["pixel_values"]))
    prepared = backbone.prepare([picture])
    torch.testing.assert_close(prepared["pixels"], theirs, rtol=0, atol=0.03)  # a grey level of resampling is 0.015
    with torch.inference_mode():
        wanted = Dinov2Model.from_pretrained(dino)(theirs)
    found = features(backbone, {"pixels": theirs})
    torch.testing.assert_close(found["pooled"], wanted.pooler_output, rtol=1e-4, atol=1e-5)
    assert found["map"].shape == (1, 32, 4, 4)
    torch.testing.assert_close(found["map"].flatten(2).mT, wanted.last_hidden_state[:, 1:], rtol=1e-4, atol=1e-5)
    assert "research only" in backbone.card.licence


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation_internal", "auto_map"])
def test_no_key_of_rad_dinos_config_brings_in_foreign_code(dino: Path, key: str) -> None:
    config = json.loads((dino / "config.json").read_text())
    (dino / "config.json").write_text(json.dumps({**config, key: "someone/kernel"}))
    with pytest.warns(UserWarning, match=f"ignored {key}; no foreign code is run"):
        backbone = make("rad-dino", weights=str(dino))
    assert "someone/kernel" not in str(backbone.network.config.to_dict())
    assert backbone.network.config._attn_implementation == "sdpa"


def test_rad_dinos_stages_replay_exactly_and_another_size_is_read(dino: Path, tmp_path: Path) -> None:
    backbone = make("rad-dino", weights=str(dino), size=28).eval()
    assert set(owners(backbone.network, backbone.stages).values()) == {stage.name for stage in backbone.stages}
    model = Model(backbone, Linear(backbone.ports, TARGET))
    data = Grey()
    proof = prove(LiveFeed(model, data, data.examples(), Compute(torch.device("cpu"))), model.stage_names)
    assert tuple(proof.patterns) == model.stage_names
    backbone.save(tmp_path / "run")
    again = make("rad-dino", **type(backbone).saved_options(tmp_path / "run", {"weights": "gone", "size": 28}))
    batch = backbone.prepare([data.examples()[0].input])
    assert torch.equal(features(again, batch)["pooled"], features(backbone, batch)["pooled"])


def test_a_folder_that_is_no_dino_is_refused(dino: Path) -> None:
    with pytest.raises(UsageError, match="multiple of 14"):
        make("rad-dino", weights=str(dino), size=30)
    (dino / "preprocessor_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="does not say how pictures are made ready"):
        make("rad-dino", weights=str(dino))
    config = json.loads((dino / "config.json").read_text())
    (dino / "config.json").write_text(json.dumps({**config, "model_type": "vit"}))
    with pytest.raises(WeightsError, match="describes a vit"):
        make("rad-dino", weights=str(dino))
