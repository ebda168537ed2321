"""Replay: every boundary of every picture backbone gives the live features to the bit, and training from stores its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.build import make_model
from headstart.builtin.strategies import Gradual, Probe
from headstart.builtin.strategies_partial import LastStages
from headstart.device import Compute
from headstart.feed import LiveFeed
from headstart.feeds import Feeds
from headstart.freezing import train_only
from headstart.loop import Training
from headstart.passing import Pass, Quick
from headstart.plugins import registry
from headstart.prefix_feed import PrefixFeed, prove
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.rows import MemoryRows
from headstart.training import train
from headstart_vision.folder import Folder

CPU = Compute(torch.device("cpu"))
SIDE = {"inception-v3": 80, "alexnet": 64, "vit-h-14": 28}
QUICK = {"efficientnet-lite0", "googlenet", "resnet18", "alexnet", "squeezenet1-1", "mobilenet-v3-small", "vit-b-32", "swin-t"}
NAMES = [name.removeprefix("vision/") for name in registry().names("backbone") if name.startswith("vision/")]
OTHERS = pytest.mark.slow  # up to 630 million parameters: two minutes for all of them


def folder_of(save: Callable[..., Path], count: int) -> Folder:
    """Pictures of two colours, in a class folder each."""
    for number in range(count):
        label = "red" if number % 2 else "blue"
        path = save(f"{label}/{number}.png", (200, 60, 40) if label == "red" else (40, 60, 200))
    return Folder(path=str(path.parents[1]))


def backbone_of(name: str) -> Part:
    """A network with random weights and small pictures."""
    options: dict[str, Any] = {"model": "resnet10t"} if name == "timm" else {}
    return Part(
        f"vision/{name}", {"weights": "none", "size": SIDE.get(name, 64 if "vit" in name or "swin" in name else 48), **options}
    )


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=OTHERS) for name in NAMES])
def test_every_boundary_replays_to_the_bit(name: str, save: Callable[..., Path]) -> None:
    data = folder_of(save, 2)
    torch.manual_seed(0)
    model = make_model(Recipe(Part("vision/folder"), backbone_of(name), Part("linear")), data.target)
    train_only(model, [weight for weight in model.weights() if model.owner[weight] == "head"])
    live = LiveFeed(model, data, data.examples(), CPU, exact=True)
    stages = [stage.name for stage in model.backbone.stages if stage.modules][:-1]
    proof = prove(live, stages)
    assert not proof.refused
    model.eval()
    passing, expected = Pass(live, Quick(2, exact=True)), [live.batch([index])["pooled"] for index in (0, 1)]
    for stage in stages:
        feed = PrefixFeed(live, proof.patterns[stage], [MemoryRows(passing.boundary(proof.patterns[stage], [0, 1]))])
        for index in (0, 1):
            assert torch.equal(feed.batch([index])["pooled"], expected[index]), stage


def trained(data: Any, strategy: Any, *, name: str = "resnet18", **plan: Any) -> Feeds:
    """The feeds of a finished training of 10 pictures, 4 for validation."""
    torch.manual_seed(0)
    model = make_model(Recipe(Part("vision/folder"), backbone_of(name), Part("linear")), data.target)
    rows = data.examples()
    training = Training(model, strategy, TrainPlan(batch_size=4, device="cpu", **plan), CPU, lambda *_, **__: None)
    feeds = Feeds(training, data, {"train": rows[4:], "val": rows[:4], "test": []})
    train(training, feeds)
    return feeds


def equal(first: Feeds, second: Feeds) -> bool:
    """Whether two trainings gave the same weights to the bit."""
    other = second.training.model.state()
    return all(torch.equal(tensor, other[name]) for name, tensor in first.training.model.state().items())


STRATEGIES = {
    "probe": lambda epochs=2: Probe(epochs=epochs),
    "last-stages": lambda epochs=2: LastStages(stages=1, epochs=epochs),
    "gradual": lambda epochs=2: Gradual(head_epochs=1, epochs=epochs, step=2, depth=2, lr=1e-3),
}


@pytest.mark.parametrize("name", ["resnet18", "efficientnet-lite0"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_training_from_stores_gives_the_weights_of_training_without(
    save: Callable[..., Path], strategy: str, name: str
) -> None:
    data = folder_of(save, 14)
    make = STRATEGIES[strategy]
    kept = trained(data, make(), name=name, exact=True, store="memory")
    assert equal(kept, trained(data, make(), name=name, exact=True, store="off"))
    assert not equal(kept, trained(data, make(), name=name, exact=True, store="off", seed=1))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stored_views_train_to_the_weights_of_live_ones(save: Callable[..., Path], strategy: str) -> None:
    data, make = folder_of(save, 14), STRATEGIES[strategy]
    data.reading = replace(data.reading, augment="light")
    kept = trained(data, make(epochs=4), views=2, exact=True, store="memory")
    live = trained(data, make(epochs=4), views=2, exact=True, store="off")
    assert equal(kept, live)
    stem = kept.training.model.stage_names[0]
    assert kept.tally.executions[stem] < live.tally.executions[stem]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_number_of_workers_gives_the_same_weights(save: Callable[..., Path], strategy: str) -> None:
    data, make = folder_of(save, 14), STRATEGIES[strategy]
    data.reading = replace(data.reading, augment="standard")
    assert equal(trained(data, make(), workers=0), trained(data, make(), workers=3))


def test_the_quick_network_differs_from_the_live_one_by_less_than_a_ten_thousandth(save: Callable[..., Path]) -> None:
    data = folder_of(save, 14)
    kept = trained(data, STRATEGIES["gradual"](), store="memory")
    live = trained(data, STRATEGIES["gradual"](), store="off")
    other = live.training.model.state()
    for name, tensor in kept.training.model.state().items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-3)
