"""Whole runs of each family: frozen stages stay, replay is used, adapters merge, and what is saved predicts the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.builtin.heads_neural import Linear
from headstart.builtin.strategies_whole import LayerDecay
from headstart.example import Target
from headstart.fit import fit
from headstart.model import HEAD, Model
from headstart.phases import Phase
from headstart.recipe import Part, Recipe, SplitPlan, TrainPlan
from headstart.run import Run, load
from headstart_nlp.encoder import Encoder

Tiny = Callable[[str], Path]
LABELS = ("down", "up")
NEW = ("w1 w2 joy", "dull w3", "w4 w5 w6 w7 w8 joy")
STRATEGIES: dict[str, Part] = {
    "gradual": Part("gradual", {"head_epochs": 1, "epochs": 1, "step": 1, "depth": 2, "lr": 1e-2}),
    "lora": Part("lora", {"epochs": 2, "stages": 2, "rank": 2, "lr": 1e-2}),
}
SHARED = ("albert",)
"""Layers that share their weights count as one stage."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four texts of different lengths in which one word decides."""
    rng = np.random.default_rng(0)
    lines = ["text,label"]
    for at in range(24):
        words = [f"w{rng.integers(100)}" for _ in range(3 + at % 5)]
        lines.append(f"{' '.join([*words, ('dull', 'joy')[at % 2]])},{LABELS[at % 2]}")
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run_of(rows: Path, folder: Path, out: Path, strategy: str) -> Run:
    pooling = "last" if folder.name in ("gpt2", "llama") else "mean"
    recipe = Recipe(
        data=Part("table", {"path": str(rows), "text": "text", "label": "label"}),
        backbone=Part("nlp/encoder", {"weights": str(folder), "pooling": pooling}),
        head=Part("linear"),
        strategy=STRATEGIES[strategy],
        split=SplitPlan(test=6, val=4, near=False),
        train=TrainPlan(batch_size=8, device="cpu", store="memory", keep="last", checkpoint=0),
        baselines="none",
        name=folder.name,
    )
    return fit(recipe, out, report=False, quiet=True)


def saved_test_probabilities(run: Run) -> dict[str, float]:
    import pyarrow.parquet as pq

    table = pq.read_table(run.folder / "predictions.parquet").to_pylist()
    return {row["id"]: row["p:up"] for row in table if row["split"] == "test" and row["model"] == "run"}


def probabilities(run: Run, texts: Sequence[str]) -> list[float]:
    return [(prediction.probabilities or {})["up"] for prediction in run.predict(list(texts))]


def plain_tokens(folder: Path, texts: Sequence[str], ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Last hidden states by transformers alone, which is told nothing but the folder."""
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    network = getattr(transformers, name, None)
    if network is None:
        pytest.skip(f"transformers offers no {name} by name: the folder loads with headstart only")
    with torch.no_grad():
        found: torch.Tensor = network.from_pretrained(folder).eval()(input_ids=ids, attention_mask=mask).last_hidden_state
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_keeps_its_ledger_replays_and_comes_back_from_disk(
    tiny: Tiny, rows: Path, tmp_path: Path, family: str, strategy: str
) -> None:
    run = run_of(rows, tiny(family), tmp_path, strategy)
    ledger = json.loads((run.folder / "ledger.json").read_text())
    assert all(entry["frozen"]["identical"] for entry in ledger["phases"])
    assert all(entry["trainable"]["unmoved"] == [] for entry in ledger["phases"])
    assert (ledger["drift"]["embeddings"] == 0) == (family not in SHARED)  # of an ALBERT the last two stages are all
    stored = [place for entry in ledger["phases"] for place in entry["stored"]]
    assert bool(stored) == (strategy == "gradual" or family not in SHARED)

    opened = load(run.folder)
    from headstart.build import make_data

    examples = {example.id: example.input for example in make_data(run.recipe.data).examples()}
    saved = saved_test_probabilities(run)
    again = probabilities(opened, [examples[name] for name in saved])
    assert again == pytest.approx(list(saved.values()), abs=2e-5)
    assert not any("lora" in name for name, _ in opened.model.backbone.network.named_parameters())

    backbone: Any = opened.model.backbone
    batch = backbone.prepare(NEW)
    with torch.no_grad():
        ours = backbone(batch)["tokens"]
    mask = batch["attention_mask"]
    theirs = plain_tokens(run.folder / "model" / "backbone", NEW, batch["input_ids"], mask)
    assert torch.allclose(ours[mask.bool()], theirs[mask.bool()], atol=1e-5)


def test_layer_decay_gives_every_weight_one_rate_that_falls_with_depth(tiny: Tiny, family: str) -> None:
    encoder = Encoder(weights=str(tiny(family)))
    model = Model(encoder, Linear(encoder.ports, Target("class", LABELS)))
    (phase,) = LayerDecay(decay=0.5).phases(model)
    chosen = model.select(phase.groups)
    names = [name for group in chosen for name in group]
    assert sorted(names) == sorted(model.weights())  # none twice, none left out: tied weights have one name
    assert len({id(weight) for group in chosen for weight in group.values()}) == len(names)
    rates = rates_by_stage(model, phase)
    order = [*reversed(model.stage_names)]
    assert [rates[name] for name in order] == sorted((rates[name] for name in order), reverse=True)
    assert rates[order[0]] == pytest.approx(rates[HEAD] / 2)


def rates_by_stage(model: Model, phase: Phase) -> dict[str, float]:
    rates: dict[str, float] = {}
    for group, weights in zip(phase.groups, model.select(phase.groups), strict=True):
        for name in weights:
            rates.setdefault(model.owner[name], group.lr)
    return rates


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_last_token_stands_for_a_text_of_a_decoder_whatever_is_padded(
    tiny: Tiny, texts: tuple[str, ...], name: str
) -> None:
    encoder = Encoder(weights=str(tiny(name)), pooling="last").eval()
    with torch.no_grad():
        together = encoder(encoder.prepare(texts))["pooled"]
        for at, text in enumerate(texts):
            alone = encoder(encoder.prepare([text]))
            assert torch.allclose(together[at], alone["tokens"][0, -1], atol=1e-5)


def test_shared_layers_train_as_one_stage_and_every_pass_through_them_counts(tiny: Tiny, texts: tuple[str, ...]) -> None:
    """ALBERT reads its one layer three times: the stage's gradient is the sum of all three passes."""
    encoder = Encoder(weights=str(tiny("albert"))).eval()
    layer = encoder.network.get_submodule("encoder.albert_layer_groups.0")
    calls: list[int] = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    encoder(encoder.prepare(texts))["pooled"].sum().backward()
    assert len(calls) == 3
    assert [stage.name for stage in encoder.stages] == ["embeddings", "layer.0"]
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in layer.parameters() if weight.ndim > 1)
