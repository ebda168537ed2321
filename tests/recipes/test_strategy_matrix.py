"""Every registered strategy on five networks: the ledger, the gradients, and that training can go on from any phase."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.build import make_model, make_strategy, prepare_model
from headstart.data import Data
from headstart.device import Compute
from headstart.example import Example, Target
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.phases import Phase
from headstart.plugins import registry
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.strategy import Strategy
from headstart.training import Feeds, train

SMALL = {"weights": "none", "size": 64}
BACKBONES: dict[str, Part] = {
    "efficientnet-lite0": Part("vision/efficientnet-lite0", SMALL),
    "resnet18": Part("vision/resnet18", SMALL),
    "googlenet": Part("vision/googlenet", SMALL),
    "vit-tiny": Part("vision/timm", {"model": "vit_tiny_patch16_224", **SMALL}),
    "minilm": Part("nlp/encoder", {"max_tokens": 16}),
}
PHASES = [
    {"name": "head", "epochs": 1, "train": [{"select": ["head"], "lr": 1e-3}]},
    {"name": "all", "epochs": 1, "train": [{"select": ["backbone", "head"], "lr": 1e-4}]},
]
ONE_STEP: dict[str, dict[str, Any]] = {  # options that make each phase one epoch, which here is one step
    "probe": {"epochs": 1},
    "gradual": {"head_epochs": 1, "epochs": 1, "step": 7},
    "probe-then-full": {"head_epochs": 1, "epochs": 1},
    "schedule": {"phases": PHASES},
    "ulmfit": {"epochs": 1, "last_epochs": 1},
    "setfit": {"epochs": 1, "head_epochs": 1},
}
STRATEGIES = [name for name in registry().names("strategy") if "/" not in name]
IN_PHASES = ("gradual", "probe-then-full", "schedule")
CPU = Compute(torch.device("cpu"))


class Few(Data):
    """Three examples of two labels."""

    target = Target("class", ("ant", "bee"))

    def __init__(self, modality: str) -> None:
        self.modality = modality  # type: ignore[misc]  # a class variable elsewhere; here one class for both
        pictures = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
        inputs = [Image.fromarray(each) for each in pictures] if modality == "image" else ["a small ant runs", "a bee", "ants"]
        self.rows = [Example(f"e{at}", input, self.target.labels[at % 2]) for at, input in enumerate(inputs)]

    def examples(self) -> Sequence[Example]:
        return self.rows

    def read(self, source: Any) -> Any:
        return source


class Only(Strategy):
    """One phase of another strategy, as after a restart."""

    def __init__(self, strategy: Strategy, at: int) -> None:
        self._strategy, self._at = strategy, at

    def phases(self, model: Model) -> Sequence[Phase]:
        return self._strategy.phases(model)[self._at : self._at + 1]


def recipe_of(backbone: str, strategy: str) -> Recipe:
    options = ONE_STEP.get(strategy, {"epochs": 1})
    return Recipe(Part("memory"), BACKBONES[backbone], Part("linear"), Part(strategy, options), train=TrainPlan(device="cpu"))


@pytest.fixture(scope="module")
def models() -> Callable[[str], Model]:
    """A new copy of a network each time: making it takes longer than a step."""
    made: dict[str, Model] = {}

    def model(backbone: str) -> Model:
        if backbone not in made:
            made[backbone] = make_model(recipe_of(backbone, "probe"), Few.target)
        return copy.deepcopy(made[backbone])

    return model


def prepared(models: Callable[[str], Model], backbone: str, strategy: str) -> tuple[Model, Strategy]:
    recipe = recipe_of(backbone, strategy)
    model, part = models(backbone), make_strategy(recipe.strategy)
    prepare_model(recipe, part, model)
    return model, part


def carry_out(model: Model, strategy: Strategy, tell: Callable[..., None] = lambda *_, **__: None) -> Ledger:
    data = Few(model.backbone.modality)
    training = Training(model, strategy, TrainPlan(device="cpu", batch_size=3, keep="last"), CPU, tell)
    return train(training, Feeds(training, data, {"train": data.rows, "val": [], "test": []}))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_step_of_each_phase(models: Callable[[str], Model], backbone: str, strategy: str) -> None:
    model, part = prepared(models, backbone, strategy)
    phases = list(part.phases(model))
    assert list(part.phases(model)) == phases  # pure: asking again changes nothing
    trainable = [{name for group in model.select(phase.groups) for name in group} for phase in phases]
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    seen: list[str] = []

    def after_the_step(event: str, **facts: Any) -> None:
        if event != "epoch":
            return
        allowed = trainable[len(seen)]
        weights = model.weights()
        assert {name for name, weight in weights.items() if weight.requires_grad} == allowed
        given = {name for name, weight in weights.items() if weight.grad is not None}
        assert given <= allowed
        assert {name for name in allowed if name.startswith("head.")} <= given
        now = {name: tensor.clone() for name, tensor in model.state().items()}
        assert_moved(model, before, now, allowed)
        before.update(now)
        seen.append(facts["phase"])

    ledger = carry_out(model, part, after_the_step)
    assert seen == [phase.name for phase in phases]
    assert all(weight.grad is None for weight in model.weights().values())
    for entry, names in zip(ledger.entries, trainable, strict=True):
        assert entry["frozen"]["identical"]
        assert entry["trainable"]["tensors"] == len(names)
        assert entry["trainable"]["moved"] > 0.4 * len(names)
        training = {model.owner[name] for name in names}
        assert {stage for stage, rate in entry["rates"].items() if rate} == training
    touched = {model.owner[name] for names in trainable for name in names}
    assert {stage for stage, drift in ledger.drift().items() if drift} <= touched


def assert_moved(model: Model, before: dict[str, Tensor], now: dict[str, Tensor], allowed: set[str]) -> None:
    """What is frozen is equal to the bit; statistics move only beside a parameter that trains."""
    moved = {name for name in now if not torch.equal(now[name], before[name])}
    homes = {name.rpartition(".")[0] for name in allowed}
    weights = model.weights()
    assert {name for name in moved if name in weights} <= allowed
    assert {name.rpartition(".")[0] for name in moved if name not in weights} <= homes | {"head"}
    assert len(moved & allowed) > 0.4 * len(allowed)  # of LoRA's factors one begins at 0, so that the other has no gradient


@pytest.mark.parametrize("strategy", IN_PHASES)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_goes_on_from_a_saved_state(
    models: Callable[[str], Model], backbone: str, strategy: str, tmp_path: Path
) -> None:
    through, part = prepared(models, backbone, strategy)
    second = len(part.phases(through)) - 1
    for at in range(second + 1):
        if at == second:
            save_file(
                {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in through.state().items()},
                tmp_path / "state.safetensors",
            )
        carry_out(through, Only(part, at))
    resumed, again = prepared(models, backbone, strategy)
    saved = load_file(tmp_path / "state.safetensors")
    for name, tensor in resumed.state().items():
        tensor.copy_(saved[name])
    carry_out(resumed, Only(again, second))
    ours, theirs = through.state(), resumed.state()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_a_run_through_all_phases_is_one_phase_after_the_other(models: Callable[[str], Model]) -> None:
    whole, part = prepared(models, "resnet18", "gradual")
    carry_out(whole, part)
    stepwise, again = prepared(models, "resnet18", "gradual")
    for at in range(len(again.phases(stepwise))):
        carry_out(stepwise, Only(again, at))
    ours, theirs = whole.state(), stepwise.state()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_another_process_makes_the_same_phases(models: Callable[[str], Model]) -> None:
    options = {name: ONE_STEP.get(name, {"epochs": 1}) for name in STRATEGIES}
    code = f"""
import json
from dataclasses import asdict
from headstart.build import make_model, make_strategy, prepare_model
from headstart.example import Target
from headstart.recipe import Part, Recipe
found = {{}}
for name, options in {options!r}.items():
    recipe = Recipe(Part("memory"), Part("vision/resnet18", {SMALL!r}), Part("linear"), Part(name, options))
    model, strategy = make_model(recipe, Target("class", ("ant", "bee"))), make_strategy(recipe.strategy)
    prepare_model(recipe, strategy, model)
    found[name] = [asdict(phase) for phase in strategy.phases(model)]
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == set(STRATEGIES)
    for name in STRATEGIES:
        model, part = prepared(models, "resnet18", name)
        assert json.loads(json.dumps([asdict(phase) for phase in part.phases(model)])) == found[name]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_merged_factors_give_a_plain_network_with_the_same_features(models: Callable[[str], Model], backbone: str) -> None:
    model, part = prepared(models, backbone, "lora")
    with torch.no_grad():
        for name, weight in model.weights().items():
            if "lora_B" in name:
                weight.add_(0.02)
    batch = model.backbone.prepare([row.input for row in Few(model.backbone.modality).rows])
    model.eval()
    with torch.no_grad():
        before, start = model(batch)["pooled"], models(backbone).eval()(batch)["pooled"]
        part.finish(model)
        after = model(batch)["pooled"]
    assert not torch.allclose(before, start, rtol=1e-3, atol=1e-3 * float(start.abs().mean()))
    assert torch.allclose(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().mean()))
    assert model.state().keys() == models(backbone).state().keys()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_from_scratch_nothing_of_the_first_weights_is_left(models: Callable[[str], Model], backbone: str) -> None:
    start, (model, _), (again, _) = models(backbone), *(prepared(models, backbone, "scratch") for _ in range(2))
    old, new = start.state(), model.state()
    assert [name for name, tensor in again.state().items() if not torch.equal(tensor, new[name])] == []
    for name, weight in start.weights().items():
        if name.startswith("backbone.") and weight.ndim > 1 and float(weight.detach().std()) > 0:
            pair = torch.stack([old[name].flatten(), new[name].flatten()])
            assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.2 + 3 / pair.shape[1] ** 0.5, name
    assert model.backbone.card.source.startswith("none (trained from scratch")
    assert model.backbone.card.sha256 == ""
