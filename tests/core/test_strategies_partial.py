"""Strategies that train a part of the backbone or hold it near its start: what moves, and how far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from headstart.builtin.strategies import Full
from headstart.builtin.strategies_partial import L2SP, BitFit, LastStages, NormOnly, ProbeThenFull
from headstart.device import Compute
from headstart.errors import UsageError
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.recipe import TrainPlan
from headstart.strategy import Strategy
from headstart.training import Feeds, train

CPU = Compute(torch.device("cpu"))


@pytest.fixture
def run(make_tiny: Callable[..., Model], make_sentences: Any) -> Callable[[Strategy], tuple[Model, Ledger, set[str]]]:
    """A model after its strategy, the ledger, and the names of the weights that moved."""

    def run(strategy: Strategy) -> tuple[Model, Ledger, set[str]]:
        model, data = make_tiny(), make_sentences(40)
        before = {name: weight.detach().clone() for name, weight in model.weights().items()}
        strategy.prepare(model)
        training = Training(
            model, strategy, TrainPlan(batch_size=8, device="cpu", keep="last", store="memory"), CPU, lambda *_, **__: None
        )
        ledger = train(training, Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []}))
        return model, ledger, {name for name, weight in model.weights().items() if not torch.equal(weight, before[name])}

    return run


def penalty(strategy: Strategy, model: Model) -> float:
    return float(torch.as_tensor(strategy.penalty(model)).detach())


def owners(model: Model, names: set[str]) -> set[str]:
    return {model.owner[name] for name in names}


def test_last_stages_moves_only_them_and_replays_what_lies_below(run: Callable[..., Any]) -> None:
    model, ledger, moved = run(LastStages(stages=2, epochs=2))
    assert owners(model, moved) == {"head", "block.2", "block.1"}
    assert ledger.entries[0]["stored"] == ["embedding"]


def test_probe_then_full_leaves_the_backbone_alone_in_its_first_phase(run: Callable[..., Any]) -> None:
    model, ledger, moved = run(ProbeThenFull(head_epochs=2, epochs=2))
    first, second = ledger.entries
    assert {stage: drift > 0 for stage, drift in first["drift"].items()} == {
        "embedding": False, "block.1": False, "block.2": False, "head": True
    }  # fmt: skip
    assert first["stored"] == ["pooled"]
    assert owners(model, moved) == {"head", "block.2", "block.1", "embedding"}
    assert second["rates"]["head"] == pytest.approx(first["rates"]["head"] / 10)


def test_norm_only_moves_scales_and_shifts_of_norms_alone(run: Callable[..., Any]) -> None:
    _, _, moved = run(NormOnly(epochs=2))
    backbone = {name for name in moved if name.startswith("backbone.")}
    assert backbone == {f"backbone.block{number}.norm.{part}" for number in (1, 2) for part in ("weight", "bias")}


def test_bitfit_moves_biases_alone(run: Callable[..., Any]) -> None:
    _, _, moved = run(BitFit(epochs=2))
    backbone = {name for name in moved if name.startswith("backbone.")}
    # the bias before a BatchNorm has no gradient: the norm takes it away again
    assert {"backbone.block1.norm.bias", "backbone.block2.norm.bias"} <= backbone
    assert all(name.endswith("bias") for name in backbone)


def test_a_backbone_without_norms_is_told_so(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    network: Any = model.backbone.network
    network.block1.norm, network.block2.norm = torch.nn.Identity(), torch.nn.Identity()
    with pytest.raises(UsageError, match="no parameters for strategy 'norm-only'; use probe"):
        NormOnly().phases(model)


def test_the_penalty_is_that_of_the_paper(make_tiny: Callable[..., Model]) -> None:
    model, strategy = make_tiny(), L2SP(alpha=0.5, beta=0.2)
    strategy.prepare(model)
    head = sum(float(w.detach().square().sum()) for n, w in model.weights().items() if n.startswith("head."))
    assert penalty(strategy, model) == pytest.approx(0.1 * head)
    weight = model.weights()["backbone.block1.linear.weight"]
    with torch.no_grad():
        weight += 2.0
    assert penalty(strategy, model) == pytest.approx(0.1 * head + 0.25 * 4 * weight.numel(), rel=1e-5)


def test_the_penalty_keeps_the_backbone_nearer_to_its_start(run: Callable[..., Any]) -> None:
    options: dict[str, Any] = {"epochs": 6, "lr": 1e-2, "layer_decay": 1.0}
    held, free = run(L2SP(alpha=5.0, **options))[1], run(Full(weight_decay=0.0, **options))[1]
    assert held.drift()["block.2"] < 0.5 * free.drift()["block.2"]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: LastStages(stages=0), "stages is 0; it must be at least 1"),
    (lambda: L2SP(alpha=-1.0), "alpha is -1.0; it must be at least 0"),
    (lambda: ProbeThenFull(lr=0.0), "lr is 0.0; it must be greater than 0"),
    (lambda: NormOnly(epochs=0), "epochs is 0; it must be at least 1"),
])  # fmt: skip
def test_options_out_of_range_are_refused(make: Callable[[], Strategy], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
