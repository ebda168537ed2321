"""Explanations: heat lies where the planted sign is, in 2-D and 3-D, on frozen backbones; a check says when it says nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM, OcclusionSensitivity
from torch import Tensor, nn

from headstart.builtin.explained_scores import log_odds_of, score_of
from headstart.builtin.heads_closed import Logistic
from headstart.builtin.heads_neural import Linear, MultiLabel, Regression
from headstart.errors import UsageError
from headstart.example import Target
from headstart.freezing import train_only
from headstart.model import Model
from headstart.plugins import registry
from headstart_healthcare.explain.heat import choose_port, grad_cam, occlusion
from headstart_healthcare.explain.sanity import Sanity, check, randomised
from headstart_healthcare.heads.findings import Findings
from headstart_healthcare.heads.multilabel import KnownMultiLabel
from headstart_healthcare.heads.ordinal import Ordinal

TARGET = Target("class", ("well", "sick"))
SIDES = {"image": 128, "volume": 64}
RADIUS = {"image": 14, "volume": 11}
NAMES = {"image": "vision/efficientnet-lite0", "volume": "healthcare/inflated"}


def scene(place: tuple[int, ...] | None, side: int, radius: int, seed: int) -> np.ndarray:
    """Grey noise, with a striped ball around a place: float32 in [0, 1]."""
    axes = 3 if radius == RADIUS["volume"] else 2
    generator = np.random.default_rng(seed)
    picture = generator.normal(0.4, 0.06, (side,) * axes)
    if place is not None:
        grid = np.indices(picture.shape)
        distance = np.sqrt(sum((line - at) ** 2 for line, at in zip(grid, place, strict=True)))
        picture = np.where(distance < radius, np.where(grid[-1] % 8 < 4, 0.95, 0.05), picture)
    return picture.clip(0, 1).astype(np.float32)


def cases(kind: str, count: int, seed: int) -> tuple[list[np.ndarray], list[tuple[int, ...] | None]]:
    """Every second one is sick, its ball somewhere off the edge."""
    side, radius = SIDES[kind], RADIUS[kind]
    generator = np.random.default_rng(seed)
    axes = 3 if kind == "volume" else 2
    places = [tuple(map(int, generator.integers(radius, side - radius, axes))) if at % 2 else None for at in range(count)]
    return [scene(place, side, radius, seed + at) for at, place in enumerate(places)], places


@lru_cache(maxsize=2)
def probed(kind: str) -> Model:
    """A frozen backbone with ImageNet's weights and a linear head that has learnt the sign."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"channels": 1, "size": SIDES[kind]}
    backbone = registry().find("backbone", NAMES[kind]).load()(**options)
    backbone.made_with = options
    model = Model(backbone, Linear(backbone.ports, TARGET)).eval()
    model.backbone.want(("pooled",))
    pictures, places = cases(kind, 60 if kind == "image" else 24, seed=1)
    targets = ["sick" if place else "well" for place in places]
    with torch.no_grad():
        features = {
            "pooled": torch.cat(
                [backbone(backbone.prepare(pictures[at : at + 8]))["pooled"] for at in range(0, len(pictures), 8)]
            )
        }
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        sum(model.head.loss(features, targets).values()).backward()
        optimizer.step()
    train_only(model, ())
    return model


def sick(kind: str, count: int = 4) -> tuple[dict[str, Tensor], list[tuple[int, ...]]]:
    pictures, places = cases(kind, 2 * count, seed=50)
    return probed(kind).backbone.prepare(pictures[1::2]), [place for place in places if place]


def hits(fine: np.ndarray, places: list[tuple[int, ...]], radius: float) -> int:
    """How many maps are hottest within the ball, or as near as one cell of the map is wide."""
    peaks = [np.unravel_index(int(one.argmax()), one.shape) for one in fine]
    return sum(np.linalg.norm(np.subtract(peak, place)) <= 1.5 * radius for peak, place in zip(peaks, places, strict=True))


@pytest.mark.parametrize("kind", NAMES)
def test_grad_cam_is_hottest_at_the_sign_though_nothing_of_the_backbone_trains(kind: str) -> None:
    model = probed(kind)
    batch, places = sick(kind)
    assert not any(weight.requires_grad for weight in model.parameters())
    heat = grad_cam(model, batch, ["sick"] * len(places))
    assert min(heat.coarse.shape[1:]) == 8
    assert heat.fine.shape == (len(places), *next(iter(batch.values())).shape[2:])
    assert hits(heat.fine, places, RADIUS[kind]) == len(places)
    assert not any(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("kind", NAMES)
def test_occlusion_finds_the_sign_too(kind: str) -> None:
    batch, places = sick(kind, count=2)
    heat = occlusion(probed(kind), batch, ["sick"] * 2, cells=6 if kind == "image" else 3)
    assert hits(heat.fine, places, 1.5 * RADIUS[kind]) == 2
    assert "in turn" in heat.where


@pytest.mark.parametrize("kind", NAMES)
def test_maps_change_when_what_was_learnt_is_taken_away(kind: str) -> None:
    model = probed(kind)
    batch, places = sick(kind)
    explain = partial(grad_cam, batch=batch, labels=["sick"] * len(places), port=choose_port(model, batch))
    found = check(model, explain(model), explain)
    assert found.passes
    assert found.defined == len(places)
    assert str(found).startswith("randomised-weights check: agreement ")
    assert "depend on what was learnt" in str(found)


def test_the_check_fails_for_a_method_that_never_asks_the_network() -> None:
    """Edges of the picture look like an explanation and hang on nothing that was learnt (Adebayo et al. 2018, figure 1)."""
    model = probed("image")
    batch, _ = sick("image")
    plain = grad_cam(model, batch, ["sick"] * 4)
    lines = np.abs(np.diff(batch["pixels"][:, 0].numpy(), axis=2))
    edges = replace(plain, method="edges", coarse=lines, signed=lines)
    found = check(model, edges, lambda _model: edges)
    assert found.agreement == pytest.approx(1)
    assert not found.passes
    assert "ignore them" in str(found)


def test_the_check_is_not_defined_for_empty_maps() -> None:
    model = probed("image")
    batch, _ = sick("image")
    empty = grad_cam(model, batch, ["sick"] * 4)
    empty.signed[:] = 0
    assert check(model, empty, lambda _model: empty) == Sanity(None, 0, 4)
    assert "not defined" in str(Sanity(None, 0, 4))


def test_a_randomised_copy_leaves_the_model_as_it_is() -> None:
    model = probed("image")
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    other = randomised(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state().items())
    moved = [name for name, tensor in other.state().items() if tensor.ndim > 1 and not torch.equal(tensor, before[name])]
    assert len(moved) == len([name for name, tensor in before.items() if tensor.ndim > 1])


# against MONAI's own


class Logits(nn.Module):
    """The model as MONAI wants it: an input to logits."""

    def __init__(self, model: Model, name: str) -> None:
        super().__init__()
        self.network, self.backbone, self.head, self.name = model.backbone.network, model.backbone, model.head, name

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, ...] -> [B, K]."""
        logits: Tensor = self.head.outputs(self.backbone({self.name: values}))
        return logits


def monai_model() -> tuple[Model, dict[str, Tensor]]:
    torch.manual_seed(0)
    backbone = registry().find("backbone", "healthcare/monai-resnet10-3d").load()(size=64, width=0.25)
    model = Model(backbone, Linear(backbone.ports, TARGET)).eval()
    return model, {"voxels": torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(3))}


def test_grad_cam_equals_monais_on_the_same_layer() -> None:
    model, batch = monai_model()
    ours = grad_cam(model, batch, ["sick"], port="map.3")
    theirs = GradCAM(Logits(model, "voxels"), "network.layer3", postprocessing=lambda values: values)
    wanted = theirs(batch["voxels"].clone().requires_grad_(), class_idx=1)[0, 0].detach().numpy()
    np.testing.assert_allclose(ours.fine[0], wanted, rtol=1e-3, atol=1e-7)


def test_occlusion_agrees_with_monais() -> None:
    model, batch = monai_model()
    values = batch["voxels"][:, :, ::2, ::2, ::2]
    ours = occlusion(model, {"voxels": values}, ["sick"], cells=4, spread=0)
    theirs = OcclusionSensitivity(
        Logits(model, "voxels"), mask_size=8, overlap=0.0, mode="mean_img", activate=lambda v: v.softmax(1)
    )
    sensitivity, _ = theirs(values)
    plain = Logits(model.eval(), "voxels")(values).softmax(1)[0, 1].detach()
    wanted = (plain.logit() - sensitivity[0, 1].detach().logit())[4::8, 4::8, 4::8].numpy()
    np.testing.assert_allclose(ours.coarse[0], wanted, rtol=1e-3, atol=1e-6)


# the layer and the head


@pytest.mark.parametrize(("side", "port"), [(256, "map.4"), (128, "map.3"), (96, "map.2"), (64, "map.2"), (32, "map.1")])
def test_the_deepest_map_with_seven_cells_is_chosen(side: int, port: str) -> None:
    torch.manual_seed(0)
    backbone = registry().find("backbone", "healthcare/monai-resnet10").load()(weights="none", channels=1, size=side)
    model = Model(backbone, Linear(backbone.ports, TARGET))
    model.backbone.want(("pooled",))
    batch = {"pixels": torch.randn(1, 1, side, side)}
    assert choose_port(model, batch) == port
    assert set(backbone(batch)) == {"pooled", "map", "map.4"}, "what the head wants is wanted again"


def test_heads_of_every_kind_have_a_score_with_a_gradient() -> None:
    torch.manual_seed(0)
    features = {"pooled": torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()}
    grades, findings = Target("class", ("none", "mild", "severe")), Target("labels", ("edema", "mass"))
    signs = (features["pooled"][:, 0] > 0).tolist()
    logistic = Logistic({"pooled": 5}, TARGET, c=1.0)
    logistic.fit({"pooled": features["pooled"].detach()}, ["sick" if sign else "well" for sign in signs])
    for head, label in (
        (Linear({"pooled": 5}, TARGET), "sick"),
        (Ordinal({"pooled": 5}, grades), "severe"),
        (Ordinal({"pooled": 5}, grades), "none"),
        (MultiLabel({"pooled": 5}, findings), "mass"),
        (KnownMultiLabel({"pooled": 5}, findings), "mass"),
        (Regression({"pooled": 5}, Target("number")), ""),
        (logistic, "sick"),
    ):
        (slopes,) = torch.autograd.grad(score_of(head, features, label).sum(), [features["pooled"]])
        assert slopes.abs().sum() > 0, type(head).__name__
    assert Findings(["mass"]) == ("mass",)


def test_the_numeric_gradient_of_a_logistic_regression_is_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    pooled = torch.randn(60, 4, generator=generator)
    head = Logistic({"pooled": 4}, TARGET, c=1.0, standardise=False)
    head.fit({"pooled": pooled}, ["sick" if one[1] + 0.5 * one[2] > 0 else "well" for one in pooled])
    values = pooled[:3].clone().requires_grad_()
    (slopes,) = torch.autograd.grad(score_of(head, {"pooled": values}, "sick").sum(), [values])
    log_odds = [
        np.log(p.probabilities["sick"] / p.probabilities["well"])
        for p in head.predict({"pooled": torch.cat([torch.zeros(1, 4), torch.eye(4)])})
        if p.probabilities
    ]
    np.testing.assert_allclose(slopes.numpy(), np.tile(np.subtract(log_odds[1:], log_odds[0]), (3, 1)), rtol=1e-3)


def test_a_head_that_is_surer_than_numbers_can_say_still_has_a_gradient() -> None:
    """At a probability of exactly 1 the numeric gradient of scikit-learn's probabilities is 0."""
    pooled = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    head = Logistic({"pooled": 4}, TARGET, c=100.0, standardise=False)
    head.fit({"pooled": pooled}, ["sick" if one[1] > 0 else "well" for one in pooled])
    far = torch.tensor([[0.0, 50.0, 0.0, 0.0]])
    probabilities = head.predict({"pooled": far})[0].probabilities or {}
    assert probabilities["sick"] == 1.0
    for label, sign in (("sick", 1), ("well", -1)):
        values = far.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(score_of(head, {"pooled": values}, label).sum(), [values])
        assert sign * float(slopes[0, 1]) > 1
    three = Logistic({"pooled": 4}, Target("class", ("a", "b", "c")), c=1.0)
    three.fit({"pooled": pooled}, ["a" if one[0] > 0.5 else "b" if one[1] > 0 else "c" for one in pooled])
    shares = three.predict({"pooled": pooled[:5]})
    wanted = [np.log(p.probabilities["b"] / (1 - p.probabilities["b"])) for p in shares if p.probabilities]
    np.testing.assert_allclose(log_odds_of(three, {"pooled": pooled[:5]}, "b"), wanted, rtol=1e-6)


def test_what_has_no_maps_is_said_and_a_way_is_named() -> None:
    torch.manual_seed(0)
    vit = registry().find("backbone", "vision/vit-b-32").load()(weights="none", size=64)
    model = Model(vit, Linear(vit.ports, TARGET))
    batch = {"pixels": torch.randn(1, 3, 64, 64)}
    with pytest.raises(UsageError, match="--method occlusion"):
        grad_cam(model, batch, ["sick"])
    assert occlusion(model, batch, ["sick"], cells=2).coarse.shape == (1, 2, 2)
    with pytest.raises(UsageError, match="heat maps are for networks on pictures and volumes"):
        grad_cam(model, {"words": torch.zeros(1, 5)}, ["sick"])
