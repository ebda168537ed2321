"""Strategies: the phases that they give for a model, and that exactly the declared stages move in each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from headstart.builtin.strategies import Full, Gradual, Probe
from headstart.device import Compute
from headstart.errors import UsageError
from headstart.loop import Training
from headstart.model import Model
from headstart.phases import Phase
from headstart.recipe import TrainPlan
from headstart.strategy import Strategy
from headstart.training import Feeds, train


def rates(phase: Phase) -> dict[str, float]:
    return {group.select[0]: group.lr for group in phase.groups}


def test_probe_trains_the_head_and_a_closed_head_has_nothing_to_train(make_tiny: Callable[..., Model]) -> None:
    [phase] = Probe(epochs=7, lr=0.1, patience=3, schedule="linear").phases(make_tiny())
    assert (rates(phase), phase.epochs, phase.patience, phase.schedule) == ({"head": 0.1}, 7, 3, "linear")
    [closed] = Probe().phases(make_tiny("logistic"))
    assert closed.groups == ()


def test_full_trains_every_stage_with_rates_that_decay_from_the_top(make_tiny: Callable[..., Model]) -> None:
    [phase] = Full(lr=1.0, head_lr=5.0, layer_decay=0.5, weight_decay=0.2, warmup=0.3).phases(make_tiny())
    assert rates(phase) == {"head": 5.0, "block.2": 1.0, "block.1": 0.5, "embedding": 0.25}
    assert {group.weight_decay for group in phase.groups} == {0.2}
    assert phase.warmup == 0.3


def test_gradual_thaws_from_the_top(make_tiny: Callable[..., Model]) -> None:
    strategy = Gradual(head_epochs=9, epochs=2, last_epochs=5, step=1, lr=1.0, head_lr=0.5, layer_decay=0.5)
    phases = strategy.phases(make_tiny())
    assert [list(rates(phase)) for phase in phases] == [
        ["head"],
        ["head", "block.2"],
        ["head", "block.2", "block.1"],
        ["head", "block.2", "block.1", "embedding"],
    ]
    assert [phase.epochs for phase in phases] == [9, 2, 2, 5]
    assert rates(phases[-1]) == {"head": 0.05, "block.2": 1.0, "block.1": 0.5, "embedding": 0.25}
    assert len({phase.name for phase in phases}) == 4


@pytest.mark.parametrize(
    ("options", "thawed"),
    [
        ({"step": 2}, [2, 3]),
        ({"step": 3}, [3]),
        ({"step": 9}, [3]),
        ({"step": 1, "depth": 2}, [1, 2]),
        ({"step": 2, "depth": 2}, [2]),
        ({"step": 2, "depth": 1}, [1]),
        ({"step": 1, "depth": 9}, [1, 2, 3]),
    ],
)
def test_step_and_depth_say_how_many_stages_thaw(make_tiny, options: dict[str, int], thawed: list[int]) -> None:
    phases = Gradual(**options).phases(make_tiny())[1:]
    assert [len(phase.groups) - 1 for phase in phases] == thawed


def test_without_last_epochs_the_last_phase_is_as_long_as_the_others(make_tiny: Callable[..., Model]) -> None:
    assert [phase.epochs for phase in Gradual(epochs=3, step=1).phases(make_tiny())[1:]] == [3, 3, 3]


def test_a_backbone_without_parameters_leaves_the_head(tiny: Any) -> None:
    from headstart.build import make_model
    from headstart.example import Target
    from headstart.recipe import Part, Recipe

    model = make_model(Recipe(Part("table"), Part("vectors", {"width": 3})), Target("class", ("a", "b")))
    assert [rates(phase).keys() for phase in Gradual().phases(model)] == [{"head"}]
    assert [rates(phase).keys() for phase in Full().phases(model)] == [{"head"}]


@pytest.mark.parametrize(
    ("strategy", "stages"),
    [
        (Probe(epochs=2), [{"head"}]),
        (Full(epochs=2), [{"head", "block.2", "block.1", "embedding"}]),
        (Gradual(head_epochs=2, step=1, depth=2), [{"head"}, {"head", "block.2"}, {"head", "block.2", "block.1"}]),
    ],
    ids=["probe", "full", "gradual"],
)
def test_exactly_the_declared_stages_move_in_each_phase(make_tiny, make_sentences, strategy: Strategy, stages: Any) -> None:
    model, data = make_tiny(), make_sentences(40)
    before: dict[str, torch.Tensor] = {}
    moved: list[set[str]] = []

    def tell(event: str, **_: Any) -> None:
        if event == "phase":
            before.update({name: weight.detach().clone() for name, weight in model.weights().items()})
            moved.append(set())
        if event == "epoch":
            now = model.weights()
            moved[-1] |= {model.owner[name] for name in now if not torch.equal(now[name], before[name])}

    compute = Compute(torch.device("cpu"))
    training = Training(model, strategy, TrainPlan(batch_size=8, device="cpu"), compute, tell)
    ledger = train(training, Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []}))
    assert moved == stages
    for entry, declared in zip(ledger.entries, stages, strict=True):
        assert {stage for stage, rate in entry["rates"].items() if rate} == declared
        assert entry["frozen"]["identical"]
        assert set(entry["trainable"]["unmoved"]) <= {"backbone.block1.linear.bias", "backbone.block2.linear.bias"}
    assert not any(weight.requires_grad for weight in model.weights().values())


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        (Probe, {"epochs": 0}, "epochs is 0; it must be at least 1"),
        (Probe, {"lr": 0.0}, "lr is 0.0; it must be greater than 0"),
        (Probe, {"patience": 0}, "patience is 0"),
        (Full, {"layer_decay": 1.5}, "layer_decay is 1.5; it must be greater than 0 and at most 1"),
        (Full, {"warmup": 1.0}, "warmup is 1.0; it must be at least 0 and less than 1"),
        (Full, {"weight_decay": -1.0}, "weight_decay is -1.0; it must be at least 0"),
        (Gradual, {"step": 0}, "step is 0"),
        (Gradual, {"depth": -1}, "depth is -1"),
        (Gradual, {"last_epochs": 0}, "last_epochs is 0"),
    ],
)
def test_options_out_of_range_are_named_with_their_range(strategy: Any, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        strategy(**options)


IN_PHASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gradual": ("headstart.builtin.strategies:Gradual", {"head_epochs": 9, "epochs": 9, "step": 2, "head_lr": 3.0, "lr": 0.3}),
    "probe-then-full": (
        "headstart.builtin.strategies_partial:ProbeThenFull",
        {"head_epochs": 9, "epochs": 9, "head_lr": 3.0, "lr": 0.3},
    ),
    "schedule": (
        "headstart.builtin.strategy_schedule:Schedule",
        {
            "phases": [
                {"name": name, "epochs": 9, "patience": 2, "schedule": "constant", "train": [{"select": [select], "lr": 0.3}]}
                for name, select in (("one", "head"), ("two", "block.2"), ("three", "backbone"))
            ]
        },
    ),
}


@pytest.mark.parametrize("name", IN_PHASES)
def test_each_phase_ends_early_and_the_next_goes_on_from_its_best_weights(make_tiny, make_sentences, name: str) -> None:
    from pkgutil import resolve_name

    target, options = IN_PHASES[name]
    strategy = resolve_name(target)(**options, **({} if name == "schedule" else {"patience": 2}))
    model, data = make_tiny(dropout=0.5), make_sentences(48)
    best: dict[str, dict[str, torch.Tensor]] = {}
    kept: list[bool] = []
    ended: dict[str, int] = {}

    def watch(event: str, **facts: Any) -> None:
        if event == "phase" and best:  # the one before has ended
            last = list(best)[-1]
            kept.append(all(torch.equal(tensor, best[last][key]) for key, tensor in model.state().items()))
        if event == "epoch":
            ended[facts["phase"]] = facts["epoch"]
            if facts["best"]:
                best[facts["phase"]] = {key: tensor.clone() for key, tensor in model.state().items()}

    plan = TrainPlan(batch_size=8, device="cpu")
    training = Training(model, strategy, plan, Compute(torch.device("cpu")), watch)
    ledger = train(training, Feeds(training, data, {"train": data.rows[16:], "val": data.rows[:16], "test": []}))
    count = len(strategy.phases(model))
    assert kept == [True] * (count - 1)
    assert [entry["epochs"] for entry in ledger.entries] == list(ended.values())
    early = [entry for entry in ledger.entries if entry["epochs"] < 9]
    assert len(early) >= 1
    assert all(entry["epochs"] == entry["best_epoch"] + 2 for entry in early)
    assert all(torch.equal(tensor, best[ledger.kept][key]) for key, tensor in model.state().items())
