"""Whole runs on a CUDA device: the same recipes, the same promises. HEADSTART_TEST_DEVICE=cpu tries these tests without one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from headstart.build import prepare_model
from headstart.device import choose
from headstart.feed import StoredFeed
from headstart.feeds import Feeds
from headstart.files import read_json
from headstart.freezing import train_only
from headstart.loop import Training
from headstart.model import HEAD
from headstart.outlook import look_ahead
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.run import Run, load
from headstart.strategy import Strategy

DEVICE = os.environ.get("HEADSTART_TEST_DEVICE", "cuda")
IS_THERE = DEVICE != "cuda" or torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not IS_THERE, reason="needs a CUDA device")]

GRADUAL = {"use": "gradual", "head_epochs": 2, "step": 1, "lr": 0.01}


@pytest.fixture
def run_there(run_tiny: Callable[..., Run]) -> Callable[..., Run]:
    """A tiny run on the device: `run_there(strategy=..., **train)`."""

    def run(strategy: Any = "probe", **train: Any) -> Run:
        return run_tiny(strategy=strategy, train={"device": DEVICE, **train}, baselines="none")

    return run


@pytest.mark.parametrize("strategy", ["probe", "full", GRADUAL, "l2-sp", "lora", "bitfit"])
def test_every_kind_of_strategy_runs_and_its_ledger_holds(strategy: Any, run_there: Callable[..., Run]) -> None:
    run = run_there(strategy)
    ledger = read_json(run.folder / "ledger.json")
    assert all(entry["frozen"]["identical"] and entry["trainable"]["moved"] for entry in ledger["phases"])
    assert run.metrics["test"]["accuracy"]["n"] == 16


@pytest.mark.parametrize("store", ["memory", "disk"])
def test_stored_and_live_training_end_in_equal_weights(store: str, run_there: Callable[..., Run]) -> None:
    stored = run_there(GRADUAL, exact=True, precision="float32", store=store).model.state()
    live = run_there(GRADUAL, exact=True, precision="float32", store="off").model.state()
    assert [name for name in live if not torch.equal(live[name], stored[name])] == []


def test_two_runs_are_equal_to_the_bit(run_there: Callable[..., Run]) -> None:
    first, second = (run_there(GRADUAL, precision="float32").model.state() for _ in range(2))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_the_model_is_saved_for_any_machine_and_predicts_there(run_there: Callable[..., Run]) -> None:
    run = load(run_there(GRADUAL).folder)
    assert {weight.device.type for weight in run.model.weights().values()} == {"cpu"}
    assert len(run.predict(["warm funny film", "dull cold story"])) == 2


def test_stored_features_stay_on_the_device_and_a_frozen_backbone_leaves_it(
    make_tiny: Callable[..., Any], make_sentences
) -> None:
    strategy: Strategy = _probe()
    model, data = make_tiny(), make_sentences(40)
    recipe = Recipe(Part("table"), Part("tiny/words"), train=TrainPlan(device=DEVICE, store="memory"))
    prepare_model(recipe, strategy, model)
    compute = choose(recipe.train)
    training = Training(model.to(compute.device), strategy, recipe.train, compute, lambda *_, **__: None)
    feeds = Feeds(training, data, {"train": data.examples()[:30], "val": data.examples()[30:], "test": []})
    phases = list(strategy.phases(model))
    chosen = model.select(phases[0].groups)
    train_only(model, [name for group in chosen for name in group])
    feeds.begin(look_ahead(model, phases))
    found = feeds.get("train"), feeds.get("val")
    feeds.rest()
    assert all(isinstance(feed, StoredFeed) for feed in found)
    assert {tensor.device.type for tensor in found[0].batch([0, 5]).values()} == {compute.device.type}
    where = {name: weight.device.type for name, weight in model.weights().items()}
    assert {kind for name, kind in where.items() if model.owner[name] == HEAD} == {compute.device.type}
    assert {kind for name, kind in where.items() if model.owner[name] != HEAD} == {"cpu"}


def test_bf16_is_chosen_where_the_device_has_it() -> None:
    compute = choose(TrainPlan(device=DEVICE))
    with compute.autocast():
        product = torch.ones(4, 4, device=compute.device) @ torch.ones(4, 4, device=compute.device)
    assert product.dtype == (torch.bfloat16 if compute.bf16 else torch.float32)


def _probe() -> Strategy:
    from headstart.build import part_class

    strategy: Strategy = part_class("strategy", "probe")(epochs=1)
    return strategy
