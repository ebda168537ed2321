"""Bags: volumes as slices or patches, with as many as they have, and equal to the inner network on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.data import Data
from headstart.device import Compute
from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.feed import LiveFeed, StoredFeed
from headstart.model import Model
from headstart.plugins import registry
from headstart.prefix_feed import prove
from headstart.stages import owners
from headstart_healthcare.heads.bag import Bag

CPU = Compute(torch.device("cpu"))
TARGET = Target("class", ("a", "b"))
INNER: dict[str, Any] = {"weights": "none", "channels": 1, "size": 64}


def make(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return registry().find("backbone", f"healthcare/{name}").load()(**options).eval()


def slices(**options: Any) -> Any:
    return make("slices", **{"main": "vision/resnet18", "options": INNER, "slices": 6, **options})


def patches(**options: Any) -> Any:
    inner = {"weights": "none", "width": 0.25}
    return make("patches", **{"main": "healthcare/monai-resnet10-3d", "options": inner, "size": 16, **options})


def volume(seed: int, shape: tuple[int, ...] = (20, 24, 28)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


class Volumes(Data):
    """Volumes of different depths in memory."""

    modality = "volume"
    target = TARGET

    def examples(self) -> Sequence[Example]:
        """Four of them, the second with fewer slices than are asked for."""
        return [Example(str(at), volume(at, (depth, 24, 28)), "ab"[at % 2]) for at, depth in enumerate((20, 4, 9, 12))]

    def read(self, source: Any) -> Any:
        """As it is."""
        return source


def test_each_vector_of_a_bag_is_what_the_inner_network_gives_for_that_slice() -> None:
    backbone = slices()
    scans = [volume(0), volume(1, (4, 24, 28))]
    with torch.inference_mode():
        features = backbone(backbone.prepare(scans))
        places = [1, 5, 8, 11, 15, 18]  # the middles of six equal parts of 20
        wanted = backbone.inner(backbone.inner.prepare([scans[0][place] for place in places]))["pooled"]
        few = backbone.inner(backbone.inner.prepare(list(scans[1])))["pooled"]
    torch.testing.assert_close(features["tokens"][0], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features["tokens"][1, :4], few, rtol=1e-4, atol=1e-5)
    assert features["mask"].tolist() == [[1] * 6, [1, 1, 1, 1, 0, 0]]
    assert (features["tokens"][1, 4:] == 0).all()
    torch.testing.assert_close(features["pooled"][1], few.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert set(features) == set(backbone.ports) == set(backbone.port_names)


def test_the_axis_of_slices_can_be_chosen_and_keys_the_store() -> None:
    scan = volume(0)
    first, second = slices(axis="depth"), slices(axis="width")
    assert first.reading() != second.reading()
    wanted = second.inner.prepare([np.ascontiguousarray(scan[:, :, 2])])["pixels"][0]
    assert torch.equal(second.prepare([scan])["instances"][0, 0], wanted)


def test_patches_cover_the_volume_at_its_own_resolution_and_leave_out_what_is_empty() -> None:
    backbone = patches()
    scan = np.zeros((20, 16, 33), np.float32)
    scan[2:9, 2:9, 2:9] = volume(3, (7, 7, 7))
    instances = backbone.prepare([scan])["instances"]
    starts = [(z, x) for z in (0, 4) for x in (0, 8, 17)]
    wanted = [scan[z : z + 16, :, x : x + 16] for z, x in starts]
    filled = sorted((patch for patch in wanted if patch.any()), key=lambda patch: -patch.mean())
    assert instances.shape == (1, len(filled), 1, 16, 16, 16)
    torch.testing.assert_close(instances[0, :, 0], torch.from_numpy(np.stack(filled)) * 2 - 1)
    assert backbone.prepare([np.zeros((16, 16, 16), np.float32)])["mask"].tolist() == [[1]]
    assert patches(patches=1).prepare([scan])["mask"].tolist() == [[1]]


@pytest.mark.parametrize("kind", [slices, patches])
def test_stored_bags_of_different_sizes_give_the_head_what_live_ones_give(kind: Any) -> None:
    backbone = kind()
    assert set(owners(backbone.network, backbone.stages).values()) == {stage.name for stage in backbone.stages}
    torch.manual_seed(1)
    model = Model(backbone, Bag(backbone.ports, TARGET)).eval()
    data = Volumes()
    live = LiveFeed(model, data, data.examples(), CPU)
    with torch.no_grad():
        rows = []
        for at in range(4):
            found, count = live.batch([at]), int(live.batch([at])["mask"].sum())
            rows.append([found["tokens"][0, :count], found["mask"][0, :count]])
        stored = StoredFeed(live, ("tokens", "mask"), [rows])
        torch.testing.assert_close(
            model.head.outputs(stored.batch([0, 1, 2, 3])), model.head.outputs(live.batch([0, 1, 2, 3])), rtol=1e-4, atol=1e-5
        )


def test_a_boundary_within_a_bag_is_given_up_in_words() -> None:
    backbone = slices()
    model = Model(backbone, Bag(backbone.ports, TARGET))
    data = Volumes()
    proof = prove(LiveFeed(model, data, data.examples(), CPU), model.stage_names)
    assert proof.patterns == {}
    assert all("cannot be taken apart by example" in why for why in proof.refused.values())


def test_training_a_bag_reaches_the_inner_networks_stem() -> None:
    backbone = slices().train()
    torch.manual_seed(1)
    model = Model(backbone, Bag(backbone.ports, TARGET))
    batch = backbone.prepare([volume(0), volume(1, (4, 24, 28))])
    sum(model.head.loss(model(batch), ["a", "b"]).values()).backward()
    assert not [name for name, weight in backbone.network.named_parameters() if weight.grad is None]


@pytest.mark.parametrize("kind", [slices, patches])
def test_a_saved_bag_gives_the_same_vectors(kind: Any, tmp_path: Path) -> None:
    backbone = kind()
    backbone.save(tmp_path)
    given = {
        "main": "vision/resnet18" if kind is slices else "healthcare/monai-resnet10-3d",
        "options": INNER if kind is slices else {"weights": "gone", "width": 0.25},
        **({"slices": 6} if kind is slices else {"size": 16}),
    }
    again = type(backbone)(**type(backbone).saved_options(tmp_path, given)).eval()
    batch = backbone.prepare([volume(5)])
    with torch.inference_mode():
        assert torch.equal(again(again.prepare([volume(5)]))["tokens"], backbone(batch)["tokens"])
    assert backbone.pictures(batch)[0].dtype == np.uint8


def test_what_cannot_be_a_bag_is_refused() -> None:
    with pytest.raises(UsageError, match="does not read images"):
        slices(main="healthcare/monai-resnet10-3d", options={"weights": "none"})
    with pytest.raises(UsageError, match="does not read volumes"):
        patches(main="vision/resnet18", options={"weights": "none"})
    with pytest.raises(UsageError, match="slices is 0"):
        slices(slices=0)
    with pytest.raises(UsageError, match="own option size"):
        patches(options={"size": 32})
    with pytest.raises(DataError, match="has 2 channels"):
        slices().prepare([np.zeros((2, 8, 8, 8), np.float32)])
