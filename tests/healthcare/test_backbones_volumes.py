"""Volume backbones: stages, exact replay in three dimensions, gradients, inflation, preparing and saving; random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet as monai_resnet
from torch import Tensor

from headstart.builtin.heads_neural import Linear
from headstart.data import Data
from headstart.device import Compute
from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.feed import LiveFeed
from headstart.freezing import train_only
from headstart.model import Model
from headstart.optimise import optimised
from headstart.plugins import registry
from headstart.prefix_feed import PrefixFeed, prove, upto_boundary
from headstart.stages import owners
from headstart_healthcare.backbones.inflated import Inflated, picture_network
from headstart_healthcare.backbones.monai_networks import PadShortcut
from headstart_healthcare.backbones.volume_expectation import VolumeExpectation, as_voxels

CPU = Compute(torch.device("cpu"))
TARGET = Target("class", ("a", "b"))
SIDE = 32
SMALL: dict[str, dict[str, Any]] = {
    "monai-resnet10-3d": {"width": 0.25},
    "monai-resnet18-3d": {"width": 0.25, "shortcut": "A"},
    "monai-resnet50-3d": {"width": 0.25},
    "monai-densenet121-3d": {},
    "medicalnet-18": {},
    "inflated": {"options": {"weights": "none"}},
}


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    weights = {} if name == "inflated" else {"weights": "none"}
    return (
        registry().find("backbone", f"healthcare/{name}").load()(**{"size": SIDE, **weights, **SMALL.get(name, {}), **options})
    )


@lru_cache(maxsize=1)
def built(name: str) -> Any:
    """Pytest runs the tests of one name together, so one is enough to keep."""
    return make(name).eval()


@pytest.fixture(scope="module", params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def volume(seed: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side, side), dtype=np.float32)


class Volumes(Data):
    """Random volumes in memory."""

    modality = "volume"
    target = TARGET

    def __init__(self, count: int) -> None:
        self._rows = [Example(str(at), volume(at), "ab"[at % 2]) for at in range(count)]

    def examples(self) -> Sequence[Example]:
        """All of them."""
        return self._rows

    def read(self, source: Any) -> Any:
        """As it is."""
        return source


def model_of(backbone: Any) -> Model:
    torch.manual_seed(1)
    return Model(backbone, Linear(backbone.ports, TARGET))


def test_every_tensor_has_one_stage_and_stages_run_in_order(name: str) -> None:
    backbone = built(name)
    names = [stage.name for stage in backbone.stages]
    assert set(owners(backbone.network, backbone.stages).values()) == set(names)
    listed = [path for stage in backbone.stages for path in stage.modules]
    ran: list[str] = []
    handles = [
        backbone.network.get_submodule(path).register_forward_hook(lambda *_, path=path: ran.append(path)) for path in listed
    ]
    with torch.inference_mode():
        backbone(backbone.prepare([volume(0)]))
    for handle in handles:
        handle.remove()
    assert ran == listed


def test_ports_are_named_from_fine_to_coarse_and_have_the_widths_they_say(name: str) -> None:
    backbone = built(name)
    with torch.inference_mode():
        features = backbone(backbone.prepare([volume(0), volume(1)]))
    assert set(features) == set(backbone.ports) == set(type(backbone).port_names)
    sides = [features[port].shape[2] for port in sorted(backbone.ports) if port.startswith("map.")]
    assert sides == sorted(sides, reverse=True)
    assert all(features[port].shape[:2] == (2, width) for port, width in backbone.ports.items())
    torch.testing.assert_close(features["pooled"], features["map"].mean(dim=(2, 3, 4)))


def test_replay_is_exact_at_every_boundary_and_reads_no_voxels(name: str) -> None:
    model = model_of(built(name))
    live = LiveFeed(model, Volumes(3), Volumes(3).examples(), CPU)
    proof = prove(live, model.stage_names)
    assert proof.refused == {}
    assert tuple(proof.patterns) == model.stage_names
    assert all(pattern.inputs is not None for pattern in proof.patterns.values()), "inputs would be prepared in every step"


def test_training_through_replay_gives_the_weights_of_training_without() -> None:
    after = {}
    for is_replayed in (False, True):
        model = model_of(make("monai-resnet18-3d").eval())
        data = Volumes(4)
        live = LiveFeed(model, data, data.examples(), CPU)
        every = list(range(4))
        pattern = prove(live, ["layer3"]).patterns["layer3"]
        rows = upto_boundary(live, model, pattern, every, live.prepare(every))
        trained = [key for key in model.weights() if model.owner[key] in ("layer4", "head")]
        train_only(model, trained)
        feed = PrefixFeed(live, pattern, [_Rows(rows)]) if is_replayed else live
        optimizer = torch.optim.SGD([model.weights()[key] for key in trained], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            sum(model.head.loss(feed.batch(every, epoch=1), list("abab")).values()).backward()
            optimizer.step()
        after[is_replayed] = {key: tensor.clone() for key, tensor in model.state().items()}
    assert all(torch.equal(tensor, after[True][key]) for key, tensor in after[False].items())


class _Rows(list[Any]):
    nbytes = 0


def test_the_quick_copy_for_frozen_passes_folds_what_three_dimensions_have_too() -> None:
    backbone = built("monai-densenet121-3d")
    quick = optimised(backbone, backbone.prepare([volume(0), volume(1)]), compute=CPU, examples=500, may_compile=False)
    assert any("BatchNorm" in step for step in quick.steps)
    assert quick.difference < 1e-5


def test_full_training_reaches_every_weight(name: str) -> None:
    backbone = make(name).train()
    voxels = {"voxels": torch.randn(2, 1, 40, 40, 40, generator=torch.Generator().manual_seed(2))}
    backbone(voxels)["pooled"].square().sum().backward()
    assert not [key for key, weight in backbone.network.named_parameters() if weight.grad is None]


def test_shortcut_a_passes_the_gradient_that_monai_cuts_and_gives_the_same_values() -> None:
    theirs = monai_resnet.resnet18(spatial_dims=3, n_input_channels=1, conv1_t_stride=2, feed_forward=False, shortcut_type="A")
    ours = make("monai-resnet18-3d", width=1.0)
    ours.network.load_state_dict(theirs.state_dict(), strict=False)
    assert [name for name, module in ours.network.named_modules() if isinstance(module, PadShortcut)] == [
        f"layer{at}.0.downsample" for at in (2, 3, 4)
    ]
    voxels = torch.randn(1, 1, SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(ours.eval()({"voxels": voxels})["pooled"], theirs.eval()(voxels))
    for network, is_cut in ((theirs, True), (ours.network, False)):
        values = torch.randn(1, 64, 4, 4, 4, requires_grad=True)
        shortcut = network.layer2[0].downsample(values)
        assert shortcut.requires_grad is not is_cut
    shortcut.sum().backward()
    assert values.grad is not None
    assert values.grad.sum() == 64 * 2**3  # every second value along each axis, once


def test_medicalnet_keeps_the_resolution_of_its_last_two_layers() -> None:
    backbone = built("medicalnet-18")
    with torch.inference_mode():
        features = backbone({"voxels": torch.zeros(1, 1, 64, 64, 64)})
    assert features["map"].shape[2:] == features["map.2"].shape[2:] == (8, 8, 8)
    convs = [module for module in backbone.network.layer4.modules() if isinstance(module, torch.nn.Conv3d)]
    assert {(conv.dilation, conv.padding, conv.stride) for conv in convs} == {((4, 4, 4), (4, 4, 4), (1, 1, 1))}


FLAT: dict[str, dict[str, Any]] = {
    "vision/efficientnet-lite0": {},
    "vision/resnet18": {"weights": "none"},
    "vision/densenet121": {"weights": "none"},
    "vision/efficientnet-b0": {"weights": "none"},
    "healthcare/monai-resnet10": {"weights": "none"},
}


@pytest.mark.parametrize("main", FLAT)
def test_an_inflated_network_says_of_a_repeated_picture_what_the_flat_one_says(main: str) -> None:
    torch.manual_seed(0)
    flat = picture_network(main, FLAT[main], 1).eval()
    torch.manual_seed(0)
    inflated = Inflated(main=main, options=FLAT[main]).eval()
    picture = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        wanted = flat({"pixels": picture})
        found = inflated({"voxels": picture[:, :, None].expand(-1, -1, 37, -1, -1)})
    scale = wanted["map"].abs().max()
    assert float((found["pooled"] - wanted["pooled"]).abs().max() / scale) < 1e-5
    for port in ("map", "map.1", "map.2"):
        scale = wanted[port].abs().max()
        assert float((found[port] - wanted[port][:, :, None]).abs().max() / scale) < 1e-5


def test_an_inflated_network_sees_along_depth() -> None:
    backbone = built("inflated")
    slices = torch.rand(1, 1, SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        first, shuffled = (backbone({"voxels": v})["pooled"] for v in (slices, slices[:, :, torch.randperm(SIDE)]))
    assert not torch.allclose(first, shuffled, rtol=1e-3)


@pytest.mark.parametrize("main", ["vision/convnext-tiny", "vision/vit-b-32"])
def test_a_network_that_cannot_be_inflated_is_refused_by_name(main: str) -> None:
    with pytest.raises(UsageError, match=f"'{main}' cannot be inflated"):
        Inflated(main=main, options={"weights": "none"})


def test_an_inflated_network_refuses_what_is_no_network_on_pictures_and_options_of_its_own() -> None:
    with pytest.raises(UsageError, match="no network on pictures"):
        Inflated(main="healthcare/monai-resnet10-3d", options={"weights": "none"})
    with pytest.raises(UsageError, match="own option size"):
        Inflated(options={"size": 64})


def test_a_saved_network_gives_the_same_features_and_needs_nothing_else(name: str, tmp_path: Path) -> None:
    backbone = built(name)
    backbone.save(tmp_path / "saved")
    options = type(backbone).saved_options(tmp_path / "saved", {"size": SIDE, **SMALL[name], "weights": "gone.pth"})
    again = type(backbone)(**options).eval()
    batch = backbone.prepare([volume(7, side=20)])
    assert torch.equal(again.prepare([volume(7, side=20)])["voxels"], batch["voxels"])
    with torch.inference_mode():
        assert torch.equal(again(batch)["pooled"], backbone(batch)["pooled"])
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} == {".safetensors", ".json"}


# preparing


def test_stretching_keeps_the_mean_and_centring_keeps_the_voxels() -> None:
    big = volume(1, side=48)
    stretched = VolumeExpectation((24, 24, 24), "stretch", "fixed", (0.0,), (1.0,)).apply([big])
    np.testing.assert_allclose(stretched.numpy()[0, 0], big.reshape(24, 2, 24, 2, 24, 2).mean(axis=(1, 3, 5)), atol=1e-6)
    cut = VolumeExpectation((48, 16, 64), "centre", "fixed", (0.0,), (1.0,)).apply([big])[0, 0].numpy()
    np.testing.assert_array_equal(cut[:, :, 8:56], big[:, 16:32])
    assert (cut[:, :, :8] == big[:, 16:32].min()).all()


def test_normalising_by_its_own_voxels_ignores_the_background_and_the_scale() -> None:
    inside = np.random.default_rng(0).normal(100, 15, (8, 8, 8)).astype(np.float32)
    scan = np.pad(inside, 4)
    expects = VolumeExpectation((16, 16, 16), "stretch", "volume", (0.0,), (1.0,))
    first, second = expects.apply([scan, scan * 3]).numpy()
    np.testing.assert_allclose(first, second, atol=1e-5)
    seen = first[0, 4:12, 4:12, 4:12]
    assert abs(seen.mean()) < 1e-5
    assert abs(seen.std() - 1) < 1e-5
    assert first[0, 0, 0, 0] == 0


def test_a_volume_may_say_itself_how_it_is_opened() -> None:
    class Lazy:
        def open(self) -> np.ndarray:
            return volume(3)[None]

    assert torch.equal(as_voxels(Lazy()), as_voxels(volume(3)))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((8, 8)), r"shape \[8, 8\]"),
        (np.full((8, 8, 8), np.nan), "NaN or infinity"),
        (np.zeros((2, 8, 8, 8)), "has 2 channels, but the network reads 1; write channels: 2"),
        (np.array([[["a"]]]), "a volume is numbers"),
        ("scan.nii", "a volume is numbers"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(bad: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        VolumeExpectation((8, 8, 8)).apply([bad])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": [32, 32]}, "three: \\[depth, height, width\\]"),
        ({"size": 8}, "at least 16"),
        ({"channels": 0}, "channels is 0"),
        ({"width": 0.0}, "width is 0"),
        ({"stem_stride": 4}, "stem_stride is 4"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make("monai-resnet10-3d", **options)


def test_preparing_is_the_same_for_the_same_volume_and_shows_three_planes(name: str) -> None:
    backbone = built(name)
    first, second = (backbone.prepare([volume(5, side=40)], train=train)["voxels"] for train in (False, True))
    assert torch.equal(first, second)
    assert first.shape == (1, 1, SIDE, SIDE, SIDE)
    (picture,) = backbone.pictures({"voxels": first})
    assert picture.dtype == np.uint8
    assert picture.shape == (SIDE, 3 * SIDE + 4)


def test_more_channels_are_read_as_they_are() -> None:
    backbone = make("monai-resnet10-3d", channels=2).eval()
    batch: dict[str, Tensor] = backbone.prepare([np.stack([volume(0), volume(1)])])
    with torch.inference_mode():
        assert backbone(batch)["pooled"].shape == (1, 128)
