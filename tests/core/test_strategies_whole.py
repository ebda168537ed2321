"""Layer decay by its rates, and from scratch by what is left of the weights: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headstart.builtin.strategies_whole import LayerDecay, Scratch
from headstart.errors import UsageError
from headstart.files import read_json
from headstart.fit import fit
from headstart.model import Model
from headstart.scratch import forget


def test_layer_decay_lets_each_stage_learn_slower_than_what_follows_it(make_tiny: Callable[..., Model]) -> None:
    [phase] = LayerDecay(lr=1.0, decay=0.5, weight_decay=0.2, warmup=0.3, patience=2, epochs=7).phases(make_tiny())
    assert {group.select[0]: group.lr for group in phase.groups} == {
        "head": 1.0, "block.2": 0.5, "block.1": 0.25, "embedding": 0.125
    }  # fmt: skip
    assert {group.weight_decay for group in phase.groups} == {0.2}
    assert (phase.epochs, phase.warmup, phase.patience) == (7, 0.3, 2)


def weights_after(model: Model, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    forget(model.backbone)
    return {name: weight.detach().clone() for name, weight in model.weights().items()}


def test_from_scratch_nothing_of_the_pretrained_weights_is_left(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    with torch.no_grad():  # as after training: also the neutral ones have moved
        for tensor in model.state().values():
            tensor.add_(1)
    start = {name: tensor.clone() for name, tensor in model.state().items()}
    now = weights_after(model, 7)  # its weights are those of seed 0
    backbone = {name for name in model.state() if name.startswith("backbone.")}
    assert {name for name in backbone if torch.equal(model.state()[name], start[name])} == set()
    assert {name for name in now if name.startswith("head.") and not torch.equal(now[name], start[name])} == set()
    assert float(model.backbone.network.block1.norm.running_mean.abs().sum()) == 0.0
    for name, weight in now.items():
        if name.startswith("backbone.") and weight.ndim > 1:
            assert abs(float(torch.corrcoef(torch.stack([weight.flatten(), start[name].flatten()]))[0, 1])) < 0.4


def test_the_seed_decides_the_random_weights(make_tiny: Callable[..., Model]) -> None:
    first, again, other = (weights_after(make_tiny(), seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.block1.linear.weight"], other["backbone.block1.linear.weight"])


def test_a_backbone_that_knows_how_to_begin_does_so(make_tiny: Callable[..., Model], monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = make_tiny(), make_tiny(seed=0)
    monkeypatch.setattr(type(model.backbone), "untrained", lambda self: {**self.made_with, "seed": 5}, raising=False)
    forget(model.backbone)
    fresh = type(other.backbone)(seed=5).network.state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.backbone.network.state_dict().items())


def test_a_parameter_that_cannot_be_made_random_is_named(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    model.backbone.network.token = nn.Parameter(torch.zeros(3))
    with pytest.raises(UsageError, match="cannot make 1 parameters of this backbone random \\(token first\\)"):
        forget(model.backbone)


def test_the_card_of_a_run_says_that_it_was_trained_from_scratch(tiny: Any, make_recipe: Any, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, strategy={"use": "scratch", "epochs": 1}, baselines="none")
    run = fit(recipe, tmp_path / "runs", report=False)
    card = read_json(run.folder / "model" / "config.json")["card"]
    assert card["source"] == "none (trained from scratch; the architecture of seed 0)"
    assert "weights from: none (trained from scratch" in (run.folder / "model" / "README.md").read_text()
    drift = read_json(run.folder / "ledger.json")["phases"][0]["drift"]
    assert all(drift.values())
    assert Scratch().phases(run.model)[0].epochs == 30
