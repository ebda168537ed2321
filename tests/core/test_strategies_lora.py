"""LoRA: factors train in place of the weights, belong to the stage of their host, and are merged into a plain network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from headstart.build import build
from headstart.builtin.strategy_lora import Lora
from headstart.device import Compute
from headstart.errors import UsageError
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.recipe import TrainPlan
from headstart.run import Run
from headstart.training import Feeds, train

CPU = Compute(torch.device("cpu"))
TEXTS = ("warm funny film", "dull cold story", "clever moving score", "grey boring plot actor")


@pytest.fixture
def run(make_tiny: Callable[..., Model], make_sentences: Any) -> Callable[..., tuple[Model, Ledger, set[str]]]:
    """A model after the strategy, the ledger, and the names of the weights that moved."""

    def run(strategy: Lora, model: Model | None = None) -> tuple[Model, Ledger, set[str]]:
        model, data = model or make_tiny(), make_sentences(40)
        torch.manual_seed(0)
        strategy.prepare(model)
        before = {name: tensor.clone() for name, tensor in model.state().items()}
        training = Training(
            model, strategy, TrainPlan(batch_size=8, device="cpu", keep="last", store="memory"), CPU, lambda *_, **__: None
        )
        ledger = train(training, Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []}))
        return model, ledger, {name for name, tensor in model.state().items() if not torch.equal(tensor, before[name])}

    return run


def pooled(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(model.backbone.prepare(TEXTS))["pooled"]


def test_only_the_factors_and_the_head_move_and_no_statistic_does(run: Callable[..., Any]) -> None:
    _, ledger, moved = run(Lora(epochs=2))
    factors = {f"backbone.block{n}.linear.lora_{part}.default.weight" for n in (1, 2) for part in "AB"}
    assert moved == factors | {"head.out.weight", "head.out.bias"}
    assert ledger.entries[0]["frozen"]["identical"]
    assert ledger.entries[0]["trainable"]["unmoved"] == []


def test_factors_belong_to_the_stage_of_their_host_and_what_lies_below_is_replayed(run: Callable[..., Any]) -> None:
    model, ledger, moved = run(Lora(epochs=2, stages=1))
    assert {model.owner[name] for name in moved} == {"head", "block.2"}
    assert {name: drift > 0 for name, drift in ledger.drift().items()} == {
        "embedding": False, "block.1": False, "block.2": True, "head": True
    }  # fmt: skip
    assert ledger.entries[0]["stored"] == ["block.1"]
    assert ledger.entries[0]["rates"]["block.2"] == 5e-4


def test_the_model_begins_as_the_pretrained_one(make_tiny: Callable[..., Model]) -> None:
    plain, adapted = make_tiny(), make_tiny()
    Lora().prepare(adapted)
    assert torch.equal(pooled(plain), pooled(adapted))


def test_merging_leaves_the_plain_network_with_the_same_features(run: Callable[..., Any], make_tiny: Any) -> None:
    strategy = Lora(epochs=2, lr=0.05)
    model, _, _ = run(strategy)
    before, start = pooled(model), pooled(make_tiny())
    assert not torch.allclose(before, start, atol=1e-2)
    strategy.finish(model)
    assert model.state().keys() == make_tiny().state().keys()
    assert model.owner == make_tiny().owner
    assert torch.allclose(pooled(model), before, atol=1e-5)


@pytest.mark.parametrize("layer", [nn.Conv1d(8, 8, 1), nn.Conv1d(8, 8, 3, padding=1)])
def test_convolutions_get_factors_where_nothing_is_linear(run: Callable[..., Any], make_tiny: Any, layer: nn.Module) -> None:
    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.unsqueeze(2)).squeeze(2)

    model = make_tiny()
    network: Any = model.backbone.network
    network.block1.linear, network.block2.linear = Across(), nn.Identity()
    model.find_owners()
    strategy = Lora(epochs=2, lr=0.05)
    _, _, moved = run(strategy, model)
    assert {f"backbone.block1.linear.conv.lora_{part}.default.weight" for part in "AB"} == {
        name for name in moved if name.startswith("backbone")
    }
    before = pooled(model)
    strategy.finish(model)
    assert torch.allclose(pooled(model), before, atol=1e-5)


def test_layers_whose_weights_are_read_from_outside_get_no_factors(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    model.backbone.network.block1.attention = nn.MultiheadAttention(8, 2)
    model.find_owners()
    Lora().prepare(model)
    assert not any("attention" in name and "lora" in name for name in model.weights())


def test_targets_name_layers_by_globs(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    Lora(targets=("block2.*",), rank=3).prepare(model)
    shapes = {name: tuple(weight.shape) for name, weight in model.weights().items() if "lora" in name}
    assert shapes == {
        "backbone.block2.linear.lora_A.default.weight": (3, 8),
        "backbone.block2.linear.lora_B.default.weight": (8, 3),
    }


@pytest.mark.parametrize(("options", "message"), [
    ({"targets": ("blok2.*",)}, "targets 'blok2.*' name no layer .* such layers are: block1.linear, block2.linear"),
    ({"targets": ("block1.*",), "stages": 1}, "such layers are: block2.linear"),
])  # fmt: skip
def test_targets_that_match_nothing_are_refused(make_tiny: Callable[..., Model], options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lora(**options).prepare(make_tiny())


@pytest.mark.parametrize(("options", "message"), [
    ({"rank": 0}, "rank is 0; it must be at least 1"),
    ({"alpha": 0.0}, "alpha is 0; it must be greater than 0"),
    ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and less than 1"),
])  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lora(**options)


def test_the_factors_begin_by_the_recipes_seed(tiny: Any, make_recipe: Callable[..., Any], tmp_path: Path) -> None:
    def factor(seed: int) -> torch.Tensor:
        recipe = make_recipe(tmp_path, strategy="lora", train={"seed": seed})
        return build(recipe).model.weights()["backbone.block1.linear.lora_A.default.weight"].detach()

    state = torch.random.get_rng_state()
    assert torch.equal(factor(1), factor(1))
    assert not torch.equal(factor(1), factor(2))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("split", [{"test": 0.25, "val": 0.25}, {"folds": 2}])
def test_a_saved_run_loads_in_a_process_without_peft_and_predicts_the_same(run_tiny: Callable[..., Run], split) -> None:
    finished = run_tiny(strategy={"use": "lora", "epochs": 3, "lr": 0.05}, split=split, baselines="none")
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "import headstart, json\n"
        f"run = headstart.load({str(finished.folder)!r})\n"
        f"print(json.dumps([p.probabilities for p in run.predict({list(TEXTS)!r})]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not any("lora" in name for name in finished.model.state())
    import json

    import pyarrow.parquet as parquet

    apart = json.loads(done.stdout)
    here = [prediction.probabilities for prediction in finished.predict(list(TEXTS))]
    assert apart == [pytest.approx(each, abs=1e-6) for each in here]
    if "folds" in split:
        return  # the saved predictions are those of the folds' models
    table = parquet.read_table(finished.folder / "predictions.parquet").to_pylist()
    rows = {row["id"]: row for row in table if row["model"] == "run"}
    from headstart.build import make_data

    examples = [example for example in make_data(finished.recipe.data).examples() if example.id in rows]
    for example, prediction in zip(examples, finished.predict_examples(examples), strict=True):
        assert rows[example.id]["p:good"] == pytest.approx(prediction.probabilities["good"], abs=1e-5)
