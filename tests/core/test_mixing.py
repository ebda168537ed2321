"""Mixing: pixels and losses in the same shares, a function of seed, epoch and batch, for pictures and volumes alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.backbone import Backbone, WeightsCard
from headstart.builtin.heads_neural import Linear
from headstart.device import choose
from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.feed import LiveFeed
from headstart.freezing import train_only
from headstart.mixing import MixedFeed, Pairing, box_of, losses_of, pairing
from headstart.model import Model
from headstart.recipe import TrainPlan
from headstart.stages import Stage

AB = Target("class", ("a", "b"))


class Squares(Backbone):
    """Arrays as they are, and one convolution."""

    modality = "image"
    port_names = ("pooled",)

    def __init__(self, dimensions: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.network = nn.Sequential(conv(1, 4, 3, padding=1))
        self.ports, self.stages, self.card = {"pooled": 4}, (Stage("stem", ("0",)),), WeightsCard("none")
        self.seen: list[Tensor] = []

    def prepare(self, inputs: Sequence[Any], *, train: bool = False, rngs: Any = None) -> dict[str, Tensor]:
        return {"pixels": torch.stack([torch.as_tensor(value) for value in inputs]), "index": torch.arange(len(inputs))}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.seen.append(batch["pixels"])
        return {"pooled": self.network(batch["pixels"]).flatten(2).mean(dim=2)}


def fed(how: str, dimensions: int = 2, *, frozen: bool = False) -> tuple[MixedFeed, Model, list[Example]]:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(6, 1, *[8] * dimensions)).astype(np.float32)
    examples = [Example(f"e{at}", value, "ab"[at % 2]) for at, value in enumerate(values)]
    torch.manual_seed(0)
    backbone = Squares(dimensions)
    model = Model(backbone, Linear(backbone.ports, AB))
    train_only(model, [name for name in model.weights() if name.startswith("head") or not frozen])
    plan = TrainPlan(mix=how, seed=3)  # type: ignore[arg-type]  # one of the two
    return MixedFeed(LiveFeed(model, Nothing(), examples, choose(plan)), plan), model, examples  # type: ignore[arg-type]


class Nothing:
    """Data that augments nothing."""

    def augment(self, input: Any, rng: Any) -> Any:
        return input


def test_mixup_is_torchvisions() -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2")
    values, labels = torch.randn(6, 3, 20, 30), torch.tensor([0, 1, 0, 1, 0, 1])
    reference = transforms.MixUp(num_classes=2).transform(
        values, {"labels": labels, "batch_size": 6, "num_classes": 2, "lam": 0.3}
    )
    assert torch.equal(Pairing((5, 0, 1, 2, 3, 4), 0.3).mixed(values), reference)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.93])
def test_cutmix_takes_the_box_and_the_share_of_torchvisions(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2")
    values, labels = torch.randn(6, 3, 20, 30), torch.tensor([0, 1, 0, 1, 0, 1])
    theirs = transforms.CutMix(num_classes=2)
    torch.manual_seed(4)
    theirs._dist = type("Fixed", (), {"sample": lambda self, _size: torch.tensor(share)})()
    drawn = theirs.make_params([values])
    torch.manual_seed(4)
    across, down = int(torch.randint(30, (1,))), int(torch.randint(20, (1,)))
    box = box_of(share, (down, across), (20, 30))
    assert (box[1].start, box[0].start, box[1].stop, box[0].stop) == drawn["box"]
    reference = theirs.transform(values, {**drawn, "labels": labels, "batch_size": 6, "num_classes": 2})
    assert torch.equal(Pairing((5, 0, 1, 2, 3, 4), share, box).mixed(values), reference)


@pytest.mark.parametrize("shape", [(16, 24), (8, 16, 24)])
def test_a_pairing_is_a_function_of_seed_epoch_and_examples(shape: tuple[int, ...]) -> None:
    ids = ["a", "b", "c", "d", "e"]

    def of(how: str = "cutmix", ids: list[str] = ids, seed: int = 0, epoch: int = 1) -> Pairing:
        return pairing(how, ids, shape, seed=seed, epoch=epoch, alpha=None)

    torch.manual_seed(1)
    first = of()
    torch.manual_seed(2)
    assert first == of()
    assert len({str(pair) for pair in (first, of(seed=1), of(epoch=2), of(ids=ids[::-1]))}) == 4
    assert sorted(first.partners) == list(range(5))
    found = [of(epoch=epoch) for epoch in range(40)]
    for pair in found:
        places = np.prod([part.stop - part.start for part in pair.box or ()])
        assert pair.share == pytest.approx(1 - places / np.prod(shape))
    assert 0.3 < np.mean([pair.share for pair in found]) < 0.9
    assert all(of("mixup", epoch=epoch).box is None for epoch in range(3))


def test_alpha_shapes_the_shares() -> None:
    def spread(alpha: float) -> float:
        shares = [pairing("mixup", ["a"], (4, 4), seed=0, epoch=epoch, alpha=alpha).share for epoch in range(200)]
        return float(np.std(shares))

    assert spread(0.1) > 0.4 > 0.1 > spread(50.0)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_a_training_batch_is_mixed_and_its_loss_shared_by_both_targets(how: str, dimensions: int) -> None:
    feed, model, examples = fed(how, dimensions)
    indices, targets = [4, 1, 2, 5], [examples[at].target for at in (4, 1, 2, 5)]
    features = feed.batch(indices, epoch=1)
    pair = feed.last
    assert pair is not None
    plain = torch.stack([torch.as_tensor(examples[at].input) for at in indices])
    assert torch.equal(model.backbone.seen[-1], pair.mixed(plain))  # type: ignore[union-attr]  # of Squares
    assert not torch.equal(model.backbone.seen[-1], plain)  # type: ignore[union-attr]
    own, other = (
        model.head.loss(features, wanted)["cross_entropy"] for wanted in (targets, [targets[p] for p in pair.partners])
    )
    found = losses_of(model.head, features, targets, feed)["cross_entropy"]
    torch.testing.assert_close(found, pair.share * own + (1 - pair.share) * other)
    found.backward()
    assert model.backbone.network[0].weight.grad is not None  # type: ignore[index]


def test_what_is_not_training_is_left_as_it_is() -> None:
    feed, model, examples = fed("mixup")
    with torch.no_grad():
        features = feed.batch([0, 1, 2])
    assert torch.equal(model.backbone.seen[-1], torch.stack([torch.as_tensor(e.input) for e in examples[:3]]))  # type: ignore[union-attr]
    targets = ["a", "b", "a"]
    assert losses_of(model.head, features, targets, feed) == model.head.loss(features, targets)


def test_a_frozen_backbone_is_run_without_gradient() -> None:
    feed, _model, _examples = fed("cutmix", frozen=True)
    assert not feed.batch([0, 1], epoch=1)["pooled"].requires_grad


def test_texts_cannot_be_mixed_and_the_error_says_so(run_tiny: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"train\.mix is 'mixup', which mixes pictures.*words.*write mix: none"):
        run_tiny(train={"mix": "mixup"})


def test_what_could_be_stored_runs_live_and_the_run_says_why(run_tiny: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_tiny(train={"mix": "cutmix"})
    (log,) = tmp_path.glob("runs/*/events.jsonl")
    live = [event for line in log.read_text().splitlines() if (event := json.loads(line))["event"] == "live"]
    assert [(event["after"], event["why"]) for event in live] == [("block.2", "train.mix makes new pictures in every step")]


def test_heads_that_learn_in_one_go_are_refused(run_tiny: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="cannot learn shares"):
        run_tiny(head="logistic", train={"mix": "mixup"})
