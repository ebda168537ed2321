"""Picture backbones: counts, stages, freezing, ports, preparing and saving, on random weights and small inputs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models

from headstart.builtin.heads_neural import Linear
from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.freezing import train_only
from headstart.model import Model
from headstart.plugins import registry
from headstart.stages import owners

# parameters of torchvision 0.29's networks with their classifier and without auxiliary ones, as its Weights.meta say them
# (Inception v3, counted there with its auxiliary classifier, is 23,834,568 without)
PUBLISHED = {
    "alexnet": 61_100_840, "vgg11": 132_863_336, "vgg11-bn": 132_868_840, "vgg13": 133_047_848, "vgg13-bn": 133_053_736,
    "vgg16": 138_357_544, "vgg16-bn": 138_365_992, "vgg19": 143_667_240, "vgg19-bn": 143_678_248, "googlenet": 6_624_904,
    "inception-v3": 23_834_568, "resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032,
    "resnet101": 44_549_160, "resnet152": 60_192_808, "resnext50-32x4d": 25_028_904, "resnext101-32x8d": 88_791_336,
    "resnext101-64x4d": 83_455_272, "wide-resnet50-2": 68_883_240, "wide-resnet101-2": 126_886_696,
    "densenet121": 7_978_856, "densenet161": 28_681_000, "densenet169": 14_149_480, "densenet201": 20_013_928,
    "squeezenet1-0": 1_248_424, "squeezenet1-1": 1_235_496, "mobilenet-v2": 3_504_872, "mobilenet-v3-small": 2_542_856,
    "mobilenet-v3-large": 5_483_032, "efficientnet-b0": 5_288_548, "efficientnet-b1": 7_794_184,
    "efficientnet-b2": 9_109_994, "efficientnet-b3": 12_233_232, "efficientnet-b4": 19_341_616,
    "efficientnet-b5": 30_389_784, "efficientnet-b6": 43_040_704, "efficientnet-b7": 66_347_960,
    "efficientnet-v2-s": 21_458_488, "efficientnet-v2-m": 54_139_356, "efficientnet-v2-l": 118_515_272,
    "convnext-tiny": 28_589_128, "convnext-small": 50_223_688, "convnext-base": 88_591_464, "convnext-large": 197_767_336,
    "swin-t": 28_288_354, "swin-s": 49_606_258, "swin-b": 87_768_224, "swin-v2-t": 28_351_570, "swin-v2-s": 49_737_442,
    "swin-v2-b": 87_930_848, "vit-b-16": 86_567_656, "vit-b-32": 88_224_232, "vit-l-16": 304_326_632,
    "vit-l-32": 306_535_400, "vit-h-14": 633_470_440,
}  # fmt: skip

# one of each family, small, with the side of its pictures here
SMALL = {
    "efficientnet-lite0": 64, "googlenet": 64, "inception-v3": 96, "resnet18": 64, "alexnet": 64, "squeezenet1-1": 64,
    "mobilenet-v2": 64, "mobilenet-v3-small": 64, "densenet121": 64, "efficientnet-b0": 64, "convnext-tiny": 64,
    "swin-t": 64, "vit-b-32": 64,
}  # fmt: skip
CLASSIC = [name for name in SMALL if name != "efficientnet-lite0"]


@lru_cache(maxsize=1)
def built(name: str) -> Any:
    """A small backbone with random weights; pytest runs the tests of one name together, so one is enough to keep."""
    torch.manual_seed(0)
    return make(name, size=SMALL[name]).eval()


def make(name: str, *, weights: str = "none", **options: Any) -> Any:
    return registry().find("backbone", f"vision/{name}").load()(weights=weights, **options)


@pytest.fixture(scope="module", params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=CLASSIC)
def classic(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def picture() -> Image.Image:
    """A smooth colour picture, wider than high."""
    y, x = np.mgrid[0:90, 0:130]
    waves = [np.sin(x / 9) + np.cos(y / 11), np.sin(x / 15 + 1) - y / 90, np.cos((x + y) / 20)]
    return Image.fromarray(np.uint8(np.clip(np.stack(waves, axis=-1) * 60 + 128, 0, 255)))


def pixels(name: str, channels: int = 3) -> dict[str, Tensor]:
    return {"pixels": torch.randn(4, channels, SMALL[name], SMALL[name], generator=torch.Generator().manual_seed(1))}


def test_every_classic_network_of_the_plan_is_offered() -> None:
    offered = {name.removeprefix("vision/") for name in registry().names("backbone") if name.startswith("vision/")}
    assert set(PUBLISHED) <= offered


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_stages_and_ports_of_published_networks(name: str) -> None:
    """On the meta device, at the size of the default weights: nothing is computed or stored."""
    with torch.device("meta"):
        backbone = make(name).eval()
        size = backbone.expects.size
        features = backbone({"pixels": torch.zeros(2, 3, size, size)})
    own = sum(weight.numel() for weight in backbone.network.parameters())
    assert own + (backbone.ports["pooled"] + 1) * 1000 == PUBLISHED[name]
    assert set(owners(backbone.network, backbone.stages).values()) <= {stage.name for stage in backbone.stages}
    assert features["pooled"].shape == (2, backbone.ports["pooled"])
    assert features["map"].shape[:2] == (2, backbone.ports["map"])
    assert features["map"].ndim == 4
    assert set(backbone.ports) == set(backbone.port_names) == set(features)
    sides = [features[port].shape[2] for port in sorted(backbone.ports) if port.startswith("map.")]
    assert len(sides) >= 3
    assert sides == sorted(sides, reverse=True)
    assert all(features[port].shape[:2] == (2, width) for port, width in backbone.ports.items())


def test_stages_run_in_order_and_each_module_once(name: str) -> None:
    backbone = built(name)
    listed = [path for stage in backbone.stages for path in stage.modules]
    ran: list[str] = []
    handles = [
        backbone.network.get_submodule(path).register_forward_hook(lambda *_, path=path: ran.append(path)) for path in listed
    ]
    with torch.inference_mode():
        backbone(pixels(name))
    for handle in handles:
        handle.remove()
    assert ran == listed


def test_every_tensor_has_one_stage_and_every_stage_has_weights(name: str) -> None:
    backbone = built(name)
    assert set(owners(backbone.network, backbone.stages).values()) == {stage.name for stage in backbone.stages}, (
        "a stage without weights could be selected, but would train nothing"
    )


def test_features_equal_those_of_torchvisions_own_network(classic: str) -> None:
    backbone = built(classic)
    arch = type(backbone).arch
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if "inception" in type(backbone).__module__ else {}
    options |= {"image_size": SMALL[classic]} if arch.startswith("vit") else {}
    whole = models.get_model(arch, weights=None, **options).eval()
    surplus = whole.load_state_dict(backbone.network.state_dict(), strict=False).unexpected_keys
    assert not surplus
    seen: list[Tensor] = []
    last = [module for module in whole.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        whole(pixels(classic)["pixels"])
        features = backbone(pixels(classic))
    reference = seen[0].mean(dim=(2, 3)) if seen[0].ndim == 4 else seen[0]
    torch.testing.assert_close(features["pooled"], reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "block"), [("googlenet", {"aux1": "inception4a", "aux2": "inception4d"}), ("inception-v3", {"aux1": "Mixed_6e"})]
)
def test_auxiliary_ports_are_maps_of_the_right_blocks_and_lead_to_the_stem(name: str, block: dict[str, str]) -> None:
    torch.manual_seed(0)
    backbone = make(name, size=SMALL[name]).train()
    seen: dict[str, Tensor] = {}
    for port, path in block.items():
        module = backbone.network.get_submodule(path)
        module.register_forward_hook(lambda _module, _inputs, output, port=port: seen.update({port: output}))
    features = backbone(pixels(name))
    for port, output in seen.items():
        assert torch.equal(features[port], output)
        assert output.shape[1] == backbone.ports[port]
        (gradient,) = torch.autograd.grad(output.square().sum(), [next(backbone.network.parameters())], retain_graph=True)
        assert gradient.abs().sum() > 0
    assert set(seen) == {port for port in features if port.startswith("aux")}


def test_inception_normalises_as_torchvision_does_inside_the_network() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    backbone = built("inception-v3")
    whole = models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    usual = built("resnet18").expects.sized(96).apply([picture])
    inside = whole._transform_input(usual)
    torch.testing.assert_close(backbone.prepare([picture])["pixels"], inside, rtol=1e-5, atol=1e-5)


def test_frozen_stages_stay_bit_identical_through_a_step(name: str) -> None:
    torch.manual_seed(0)
    backbone = make(name, size=SMALL[name])
    model = Model(backbone, Linear(backbone.ports, Target("class", ("a", "b"))))
    top = backbone.stages[-1].name
    trainable = [key for key, owner in model.owner.items() if owner in (top, "head") and key in model.weights()]
    train_only(model, trainable)
    before = {key: tensor.clone() for key, tensor in model.state().items()}
    optimizer = torch.optim.SGD([model.weights()[key] for key in trainable], lr=0.1)
    sum(model.head.loss(model(pixels(name)), ["a", "a", "a", "b"]).values()).backward()
    optimizer.step()
    moved = {key for key, tensor in model.state().items() if not torch.equal(tensor, before[key])}
    assert {model.owner.get(key, "head") for key in moved} == {top, "head"}


def test_training_all_reaches_the_stem(name: str) -> None:
    torch.manual_seed(0)
    backbone = make(name, size=SMALL[name]).train()
    backbone(pixels(name))["pooled"].square().sum().backward()
    stem = next(iter(backbone.network.parameters()))
    unreached = [key for key, weight in backbone.network.named_parameters() if weight.grad is None]
    assert not unreached
    assert stem.grad.abs().sum() > 0


def test_a_saved_network_gives_the_same_features(name: str, tmp_path: Path) -> None:
    backbone = built(name)
    backbone.save(tmp_path)
    options = type(backbone).saved_options(tmp_path, {"weights": "none", "size": SMALL[name]})
    again = type(backbone)(**options).eval()
    with torch.inference_mode():
        assert torch.equal(again(pixels(name))["pooled"], backbone(pixels(name))["pooled"])
    assert again.expects == backbone.expects


def test_preparing_is_deterministic_and_has_the_networks_size(name: str, picture: Image.Image) -> None:
    backbone = built(name)
    first, second = (backbone.prepare([picture, picture])["pixels"] for _ in range(2))
    assert first.shape == (2, 3, SMALL[name], SMALL[name])
    assert first.dtype == torch.float32
    assert torch.equal(first, second)


@pytest.mark.parametrize("classic", [name for name in CLASSIC if name not in ("googlenet", "inception-v3")])
def test_preparing_does_what_the_weights_own_transforms_do(classic: str, picture: Image.Image) -> None:
    """Of the Inceptions see the test of their normalisation."""
    with torch.device("meta"):
        backbone = make(classic)
    preset = models.get_model_weights(type(backbone).arch).DEFAULT.transforms()
    difference = (backbone.prepare([picture])["pixels"][0] - preset(picture)).abs()
    assert difference.max() <= 2.1 / 255 / 0.224, "resizing bytes as tensors may round two grey levels otherwise than PIL"
    assert difference.mean() < 0.5 / 255 / 0.224


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet18", "googlenet", "vit-b-32", "densenet121"])
def test_one_channel_equals_the_grey_value_repeated(name: str, tmp_path: Path, picture: Image.Image) -> None:
    colour = built(name)
    colour.save(tmp_path)
    grey = make(name, weights=str(tmp_path), channels=1, size=SMALL[name]).eval()
    repeated = Image.merge("RGB", [picture.convert("L")] * 3)
    batch = grey.prepare([picture.convert("L")])
    assert batch["pixels"].shape[1] == 1
    with torch.inference_mode():
        torch.testing.assert_close(grey(batch)["pooled"], colour(colour.prepare([repeated]))["pooled"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet18"])
def test_other_channels_are_saved_and_loaded(name: str, channels: int, tmp_path: Path) -> None:
    backbone = make(name, channels=channels, size=64).eval()
    backbone.save(tmp_path)
    again = make(name, weights=str(tmp_path), channels=channels, size=64).eval()
    batch = backbone.prepare([np.random.default_rng(0).integers(0, 256, (70, 80, channels), dtype=np.uint8)])
    assert batch["pixels"].shape == (1, channels, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(batch)["pooled"], backbone(batch)["pooled"])
    owners(again.network, again.stages)


def test_four_equal_channels_excite_the_stem_as_three_did() -> None:
    torch.manual_seed(0)
    colour = make("efficientnet-lite0", size=64).network.conv_stem
    torch.manual_seed(0)
    four = make("efficientnet-lite0", channels=4, size=64).network.conv_stem
    plane = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(four(plane.repeat(1, 4, 1, 1)), colour(plane.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-5)


def test_arrays_and_pictures_are_read_alike(picture: Image.Image) -> None:
    backbone = built("resnet18")
    from_picture, from_array = (backbone.prepare([given])["pixels"] for given in (picture, np.asarray(picture)))
    assert torch.equal(from_picture, from_array)
    grey = picture.convert("L")
    assert torch.equal(*(backbone.prepare([given])["pixels"] for given in (grey, np.asarray(grey))))


@pytest.mark.parametrize("bad", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 5), np.uint8), np.zeros((0, 8), np.uint8)])
def test_pictures_that_cannot_be_read_are_data_errors(bad: Any) -> None:
    with pytest.raises(DataError, match=r"channels|uint8"):
        built("resnet18").prepare([bad])


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("inception-v3", {"size": 64}, "size is 64, but inception_v3 needs at least 75"),
        ("alexnet", {"size": 32}, "write size: 63 or more"),
        ("vit-b-16", {"size": 100}, "multiple of 16; write size: 96 or 112"),
        ("efficientnet-lite0", {"size": 8}, "needs at least 32"),
        ("resnet18", {"channels": 0}, "channels is 0"),
    ],
)
def test_impossible_sizes_and_channels_say_what_is_possible(name: str, options: dict[str, int], says: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match=says):
        make(name, **options)


@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("inception-v3", 75), ("densenet121", 29), ("squeezenet1-0", 21),
     ("squeezenet1-1", 17), ("convnext-tiny", 32), ("efficientnet-v2-s", 33), ("swin-t", 32), ("swin-v2-t", 32),
     ("vit-b-16", 16)],
)  # fmt: skip
def test_the_smallest_size_works(name: str, size: int) -> None:
    with torch.device("meta"):
        backbone = make(name, size=size).eval()
        assert backbone({"pixels": torch.zeros(2, 3, size, size)})["pooled"].shape[0] == 2


def test_random_weights_follow_the_global_seed() -> None:
    def stem(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return next(make("squeezenet1-1").network.parameters())

    assert torch.equal(stem(1), stem(1))
    assert not torch.equal(stem(1), stem(2))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tiny tensors: threads cost more than they bring, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
