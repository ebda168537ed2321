"""Maps within the networks, and cards of every variant of weights: what they promise is what is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import models

from headstart.build import make_model
from headstart.builtin.heads_neural import Linear
from headstart.errors import UsageError
from headstart.example import Target
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart_vision.catalogue import CLASSIC
from headstart_vision.variants import expectation_of

AB = Target("class", ("a", "b"))
SMALL = {
    "efficientnet-lite0": 64, "googlenet": 64, "inception-v3": 96, "resnet18": 64, "alexnet": 64,
    "densenet121": 64, "mobilenet-v3-small": 64, "squeezenet1-1": 64, "convnext-tiny": 64, "swin-t": 64, "vit-b-32": 64,
}  # fmt: skip
TIMM = {
    "resnet18": ["layer1", "layer2", "layer3"],
    "swin_tiny_patch4_window7_224": ["layers.0", "layers.1", "layers.2"],
    "vit_tiny_patch16_224": ["blocks.2", "blocks.5", "blocks.8"],
    "mixer_s32_224": [],
}


class OneMap(Linear):
    """A linear head on the mean of a map: the simplest head that reads one."""

    needs = ("pooled", "map.2")

    def outputs(self, features: Any) -> Tensor:
        values: Tensor = self.out(features["map.2"].mean(dim=(2, 3)))
        return values


def make(name: str, **options: Any) -> Any:
    return registry().find("backbone", f"vision/{name}").load()(weights="none", **options)


@pytest.fixture(scope="module", params=SMALL)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(name: str) -> Any:
    """The network, made once for all tests of its name."""
    return make(name, size=SMALL[name]).eval()


@pytest.fixture
def backbone(built: Any) -> Iterator[Any]:
    yield built
    built.want(built.ports)


def pixels(size: int) -> dict[str, Tensor]:
    return {"pixels": torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))}


def test_each_map_is_what_its_stage_gave(backbone: Any, name: str) -> None:
    given: dict[str, Tensor] = {}
    handles = []
    for port, stage in backbone.port_stages.items():
        path = next(each.modules[-1] for each in backbone.stages if each.name == stage)
        module = backbone.network.get_submodule(path)
        handles.append(module.register_forward_hook(lambda _m, _i, output, port=port: given.update({port: output.clone()})))
    with torch.inference_mode():
        features = backbone(pixels(SMALL[name]))
    for handle in handles:
        handle.remove()
    for port, value in given.items():
        assert torch.equal(features[port], backbone._as_map(value)), "a later layer that works in place would change it"
    last = max(port for port in backbone.ports if port.startswith("map."))
    assert torch.equal(features[last], features["map"])


def test_only_the_maps_that_are_wanted_are_kept(backbone: Any, name: str) -> None:
    with torch.inference_mode():
        everything = backbone(pixels(SMALL[name]))
        backbone.want(("pooled",))
        without = backbone(pixels(SMALL[name]))
        backbone.want(("map.2",))
        one = backbone(pixels(SMALL[name]))
    assert torch.equal(without["pooled"], everything["pooled"])
    assert not set(without) & set(backbone.port_stages)
    assert set(one) & set(backbone.port_stages) == {"map.2"} & set(backbone.port_stages)
    assert torch.equal(one["map.2"], everything["map.2"])


def test_gradients_reach_the_stem_from_a_map(backbone: Any, name: str) -> None:
    backbone.zero_grad()
    backbone(pixels(SMALL[name]))["map.1"].square().mean().backward()
    assert next(iter(backbone.network.parameters())).grad.abs().sum() > 0


def test_a_recipes_model_makes_no_map_that_its_head_does_not_read() -> None:
    backbone = Part("vision/resnet18", {"weights": "none", "size": 32})
    model = make_model(Recipe(Part("vision/folder"), backbone), AB)
    assert not any(port in model.backbone.port_stages for port in model(pixels(32)))


@pytest.mark.parametrize("model", TIMM)
def test_timms_networks_give_maps_where_they_have_them(model: str) -> None:
    backbone = make("timm", model=model).eval()
    size = backbone.expects.size
    with torch.inference_mode():
        features = backbone({"pixels": torch.zeros(1, 3, size, size)})
    assert set(features) == set(backbone.ports) <= set(backbone.port_names)
    assert {port: value.shape[1] for port, value in features.items()} == dict(backbone.ports)
    assert list(backbone.port_stages.values()) == TIMM[model]


def test_a_head_that_reads_what_a_network_has_not_says_what_there_is() -> None:
    backbone = make("timm", model="mixer_s32_224")
    with pytest.raises(UsageError, match=r"reads the port map\.2; this network gives pooled"):
        OneMap(backbone.ports, AB)


def test_a_frozen_map_is_stored_and_equal_to_the_live_one(save: Callable[..., Path]) -> None:
    from headstart.device import choose
    from headstart.features import collate, unbatch
    from headstart.feed import LiveFeed
    from headstart.freezing import train_only
    from headstart.model import Model
    from headstart.recipe import TrainPlan
    from headstart_vision.folder import Folder

    for number in range(6):
        save(f"pictures/{'ab'[number % 2]}/{number}.png", (40 * number, 90, 120))
    data = Folder(path=str(save("pictures/a/x.png").parents[1]))
    backbone = make("resnet18", size=32).eval()
    model = Model(backbone, OneMap({**backbone.ports, "pooled": backbone.ports["map.2"]}, AB))
    train_only(model, ())
    live = LiveFeed(model, data, data.examples(), choose(TrainPlan()), exact=True)
    rows = unbatch(live.batch(range(7)), model.head.needs)
    assert torch.equal(collate([rows[3], rows[1]])["map.2"], live.batch([3, 1])["map.2"])


def variants() -> dict[str, Any]:
    """One of torchvision's variants for each way to prepare a picture."""
    every = [variant for arch in models.list_models(module=models) for variant in models.get_model_weights(arch)]
    return {str(expectation_of(variant)): variant for variant in every if type(variant).__name__.lower() in ARCHES}


ARCHES = {f"{name.replace('-', '')}_weights" for name, *_ in CLASSIC} | {
    f"{name.replace('-', '_')}_weights" for name, *_ in CLASSIC
}


@pytest.mark.parametrize("variant", variants().values(), ids=str)
def test_pictures_are_prepared_as_each_variants_own_transforms_do(variant: Any) -> None:
    y, x = np.mgrid[0:90, 0:130]
    waves = [np.sin(x / 9) + np.cos(y / 11), np.sin(x / 15 + 1) - y / 90, np.cos((x + y) / 20)]
    picture = Image.fromarray(np.uint8(np.clip(np.stack(waves, axis=-1) * 60 + 128, 0, 255)))
    difference = (expectation_of(variant).apply([picture])[0] - variant.transforms()(picture)).abs()
    assert difference.max() <= 2.1 / 255 / 0.224, "resizing bytes as tensors may round two grey levels otherwise than PIL"


@pytest.mark.parametrize(("name", "target"), [(row[0], row[1]) for row in CLASSIC])
def test_every_variant_of_every_network_says_its_source_size_and_hash(name: str, target: str) -> None:
    arch = registry().find("backbone", f"vision/{name}").load().arch
    for variant in models.get_model_weights(arch):
        expects = expectation_of(variant)
        assert expects.size >= max(variant.meta["min_size"]), "the size that it was trained at is one that it can take"
        assert expects.resize >= expects.size
        assert len(variant.url.rpartition("-")[2].removesuffix(".pth")) == 8, "torchvision names the file by its hash"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
