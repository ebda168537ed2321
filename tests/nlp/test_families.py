"""Stages of each family: the right modules, every tensor once, freezing that holds, and boundaries that replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.builtin.table import Table
from headstart.device import choose
from headstart.errors import WeightsError
from headstart.example import Example, Target
from headstart.features import Features
from headstart.feed import LiveFeed
from headstart.head import Head, Prediction
from headstart.model import Model
from headstart.phases import Group
from headstart.prefix_feed import prove
from headstart.recipe import TrainPlan
from headstart.stages import Stage, owners
from headstart_nlp.encoder import Encoder
from headstart_nlp.families import find_stages

Tiny = Callable[[str], Path]

BERT_LIKE = {"embeddings": ("embeddings",), "layer.0": ("encoder.layer.0",), "layer.1": ("encoder.layer.1",)}
EXPECTED: dict[str, Mapping[str, tuple[str, ...]]] = {
    "bert": BERT_LIKE,
    "roberta": BERT_LIKE,
    "xlm-roberta": BERT_LIKE,
    "distilbert": {
        "embeddings": ("embeddings",),
        "layer.0": ("transformer.layer.0",),
        "layer.1": ("transformer.layer.1",),
    },
    "electra": {**BERT_LIKE, "embeddings": ("embeddings", "embeddings_project")},
    "mpnet": BERT_LIKE,
    "albert": {
        "embeddings": ("embeddings", "encoder.embedding_hidden_mapping_in"),
        "layer.0": ("encoder.albert_layer_groups.0",),
    },
    "deberta": BERT_LIKE,
    "deberta-v2": {**BERT_LIKE, "layer.0": ("encoder.layer.0", "encoder.conv")},
    "modernbert": {
        "embeddings": ("embeddings",),
        "layer.0": ("layers.0",),
        "layer.1": ("layers.1",),
        "final": ("final_norm",),
    },
    "gpt2": {"embeddings": ("wte", "wpe", "drop"), "layer.0": ("h.0",), "layer.1": ("h.1",), "final": ("ln_f",)},
    "llama": {"embeddings": ("embed_tokens",), "layer.0": ("layers.0",), "layer.1": ("layers.1",), "final": ("norm",)},
    "t5": {
        "embeddings": ("encoder.embed_tokens",),
        "layer.0": ("encoder.block.0",),
        "layer.1": ("encoder.block.1",),
        "final": ("encoder.final_layer_norm",),
    },
    "bart": {
        "embeddings": ("embed_tokens", "embed_positions", "layernorm_embedding"),
        "layer.0": ("layers.0",),
        "layer.1": ("layers.1",),
    },
}
SIDE_PATHS = {
    "mpnet": {"encoder.relative_attention_bias.weight"},
    "deberta": {"encoder.rel_embeddings.weight"},
    "deberta-v2": {"encoder.rel_embeddings.weight", "encoder.LayerNorm.weight", "encoder.LayerNorm.bias"},
    "t5": {"shared.weight"},  # tied with encoder.embed_tokens, and this is its first name
}


class Mean(Head):
    """The smallest head that trains: one number per text."""

    kinds = ("number",)

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__(ports, target)
        self.linear = nn.Linear(ports["pooled"], 1)

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        return {"squared": (self.linear(features["pooled"])[:, 0] - torch.tensor(targets)).square().mean()}

    def predict(self, features: Features) -> list[Prediction]:
        return [Prediction(float(value)) for value in self.linear(features["pooled"])[:, 0]]

    def score(self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: Any = None) -> dict[str, float]:
        return {"error": -sum(abs(p.value - t) for p, t in zip(predictions, targets, strict=True))}


def test_each_family_has_the_stages_of_its_architecture(tiny: Tiny, family: str) -> None:
    stages = Encoder(weights=str(tiny(family))).stages
    assert {stage.name: stage.modules for stage in stages} == EXPECTED[family]
    loose = {name for name in stages[0].params if not name.startswith("rotary_emb.")}
    assert loose == SIDE_PATHS.get(family, set())
    assert not any(stage.params for stage in stages[1:])


def test_every_parameter_and_buffer_has_exactly_one_stage(tiny: Tiny, family: str) -> None:
    encoder = Encoder(weights=str(tiny(family)))
    named = {name for name, _ in (*encoder.network.named_parameters(), *encoder.network.named_buffers())}
    assert set(owners(encoder.network, encoder.stages)) == named


def test_modules_of_the_stages_run_in_their_order(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    encoder = Encoder(weights=str(tiny(family))).eval()
    paths = [path for stage in encoder.stages for path in stage.modules]
    ran: list[str] = []
    for path in paths:
        encoder.network.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: ran.append(path))
    with torch.no_grad():
        encoder(encoder.prepare(texts))
    assert list(dict.fromkeys(ran)) == paths


def test_a_step_with_frozen_lower_stages_moves_only_the_rest(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    encoder = Encoder(weights=str(tiny(family)))
    model = Model(encoder, Mean(encoder.ports, Target("number")))
    open_stages = ("head", *model.stage_names[1:])
    groups = model.select([Group(select=open_stages, lr=0.1)])
    for name, weight in model.weights().items():
        weight.requires_grad_(name in groups[0])
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    loss = model.head.loss(model(encoder.prepare(texts)), [1.0, 2.0, 3.0, 4.0])["squared"]
    loss.backward()
    torch.optim.AdamW(list(groups[0].values()), lr=0.1).step()
    moved = {name for name, tensor in model.state().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in model.weights() if model.owner[name] != "embeddings"}


def test_each_boundary_replays_exactly(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    """With the boundary's value put back and everything before it left out, the network gives the same bits."""
    encoder = Encoder(weights=str(tiny(family))).eval()
    batch = encoder.prepare(texts)
    with torch.no_grad():
        whole = encoder(batch)["tokens"]
        for k in range(len(encoder.stages)):
            stored = _value_at(encoder, batch, k)
            with _replayed(encoder.network, encoder.stages[: k + 1], stored):
                assert torch.equal(encoder(batch)["tokens"], whole), encoder.stages[k].name


def test_the_engine_stores_each_boundary_by_example(tiny: Tiny, texts: tuple[str, ...], family: str) -> None:
    encoder = Encoder(weights=str(tiny(family)))
    model = Model(encoder, Mean(encoder.ports, Target("number")))
    examples = [Example(str(number), text) for number, text in enumerate(texts)]
    proof = prove(LiveFeed(model, Table(path="unused"), examples, choose(TrainPlan())), model.stage_names)
    assert proof.refused == {} and set(proof.patterns) == set(model.stage_names)


def test_a_network_without_blocks_is_one_stage() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            return self.table(input_ids) * self.scale * attention_mask.unsqueeze(-1)

    bag = Bag()
    assert find_stages(bag) == (Stage("network", ("table",), ("scale",)),)
    assert set(owners(bag, find_stages(bag))) == {"table.weight", "scale"}


def test_a_network_that_cannot_read_a_text_is_refused_and_left_without_hooks() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(2, 2)

        def forward(self, picture: Tensor) -> Tensor:
            return picture

    deaf = Deaf()
    with pytest.raises(WeightsError, match="a Deaf cannot read a text of 3 tokens"):
        find_stages(deaf)
    assert not deaf.part._forward_hooks
    assert not deaf.part._forward_pre_hooks


def test_finding_stages_leaves_no_hook_and_the_mode_as_it_was(tiny: Tiny) -> None:
    network = Encoder(weights=str(tiny("bert"))).network.train()
    find_stages(network)
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def _value_at(encoder: Encoder, batch: Mapping[str, Tensor], k: int) -> Any:
    outputs: list[Any] = []
    last = encoder.network.get_submodule(encoder.stages[k].modules[-1])
    handle = last.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    encoder(batch)
    handle.remove()
    return outputs[-1]


@contextmanager
def _replayed(network: nn.Module, frozen: Sequence[Stage], stored: Any) -> Iterator[None]:
    """The frozen stages' modules give zeros of the right shape, the last one the stored value."""
    paths = [path for stage in frozen for path in stage.modules]
    modules = [network.get_submodule(path) for path in paths]
    originals = [module.forward for module in modules]

    def zeros(output: Any) -> Any:
        if isinstance(output, tuple):
            return tuple(map(zeros, output))
        return torch.zeros_like(output) if isinstance(output, Tensor) else output

    def stand_in(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: zeros(original(*args, **kwargs))

    for module, original in zip(modules, originals, strict=True):
        module.forward = stand_in(original)  # type: ignore[method-assign]  # for the length of the test
    modules[-1].forward = lambda *args, **kwargs: stored  # type: ignore[method-assign]  # as above
    try:
        yield
    finally:
        for module in modules:
            del module.forward
