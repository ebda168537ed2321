"""Feeds: stored features are the live ones, computed in one pass, and heads learn the same from both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.build import build
from headstart.device import Compute
from headstart.example import Example, Target
from headstart.feed import LiveFeed, StoredFeed
from headstart.fit import FINAL, train_round
from headstart.freezing import train_only
from headstart.model import Model
from headstart.passing import Pass, Quick
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.rows import MemoryRows
from headstart.share import share_out

CPU = Compute(torch.device("cpu"))
PORTS = ("pooled", "tokens", "mask")


def feeds(model: Model, data: Any, *, exact: bool) -> tuple[LiveFeed, StoredFeed]:
    live = LiveFeed(model, data, data.examples(), CPU, exact=exact)
    model.head.needs = PORTS
    train_only(model, ())
    return live, stored(live, exact=exact)


def stored(live: LiveFeed, *, exact: bool = False) -> StoredFeed:
    """The features of all examples of a feed, computed once."""
    ports = live.model.head.needs
    passing = Pass(live, Quick(len(live.examples), may_compile=False, exact=exact))
    return StoredFeed(live, ports, [MemoryRows(passing.ports(ports, range(len(live.examples))))])


@pytest.mark.parametrize("exact", [True, False])
def test_stored_features_equal_live_ones(make_tiny: Callable[..., Model], make_sentences: Any, exact: bool) -> None:
    live, kept = feeds(make_tiny(), make_sentences(40), exact=exact)
    for indices in ([3, 17, 5], list(range(40)), [8]):
        expected, found = live.batch(indices), kept.batch(indices)
        assert found.keys() == set(PORTS)
        for port in PORTS:
            if exact:
                assert torch.equal(found[port], expected[port])
            else:
                torch.testing.assert_close(found[port], expected[port], rtol=1e-5, atol=1e-5)


def test_ragged_ports_are_kept_without_padding_and_padded_per_batch(make_tiny, make_sentences) -> None:
    data = make_sentences(40)
    _, kept = feeds(make_tiny(), data, exact=False)
    lengths = [len(example.input.split()) for example in data.examples()]
    short, long = lengths.index(min(lengths)), lengths.index(max(lengths))
    assert kept.batch([short])["tokens"].shape == (1, min(lengths), 8)
    both = kept.batch([short, long])
    assert both["tokens"].shape == (2, max(lengths), 8)
    assert both["mask"].sum(dim=1).tolist() == [min(lengths), max(lengths)]
    assert not both["tokens"][0, min(lengths) :].any()


def test_only_what_the_head_reads_is_stored(make_tiny, make_sentences) -> None:
    data, model = make_sentences(8), make_tiny()
    train_only(model, ())
    assert stored(LiveFeed(model, data, data.examples(), CPU)).batch([0, 1]).keys() == {"pooled"}


def test_gradients_reach_the_backbone_only_where_it_trains_and_only_in_training(make_tiny, make_sentences) -> None:
    data, model = make_sentences(8), make_tiny()
    live = LiveFeed(model, data, data.examples(), CPU)
    train_only(model, [name for name in model.weights() if model.owner[name] == "head"])
    assert not live.batch([0, 1], epoch=1)["pooled"].requires_grad
    train_only(model, [name for name in model.weights() if model.owner[name] == "block.2"])
    assert live.batch([0, 1], epoch=1)["pooled"].requires_grad
    assert not live.batch([0, 1])["pooled"].requires_grad


def test_only_training_views_are_augmented_and_differently_in_each_epoch(make_tiny, make_sentences) -> None:
    data, model = make_sentences(8), make_tiny()
    seen: list[str] = []

    def augment(text: str, generator: np.random.Generator) -> str:
        seen.append(f"{text} w{generator.integers(1000)}")
        return seen[-1]

    data.augment = augment
    live = LiveFeed(model, data, data.examples(), CPU, seed=3)
    live.prepare([0])
    assert not seen
    for epoch in (1, 2, 1):
        live.prepare([0], epoch=epoch)
    assert seen[0] == seen[2] != seen[1]
    train_only(model, ())
    live.prepare([0], epoch=1)
    assert len(seen) == 3, "a frozen backbone sees plain views"


OVERHEAD = 2 + 1  # two examples whose operations are counted, one example to see what a pass costs


def trained(recipe: Recipe, data: Any = None) -> tuple[Any, Counter[str], dict[str, Sequence[Example]]]:
    """Train a recipe's one round; also the number of times that the real encoder saw each text."""
    built, passes = build(recipe, data=data), Counter()
    prepare = built.model.backbone.prepare
    batch: list[str] = []

    def noting(inputs: Sequence[str], **options: Any) -> Any:
        batch[:] = inputs
        return prepare(inputs, **options)

    built.model.backbone.prepare = noting
    built.model.backbone.network.register_forward_hook(lambda *_: passes.update(batch))
    [(_, parts)] = share_out(recipe, built.data).rounds()
    return train_round(recipe, built, parts, CPU, lambda *_, **__: None, fold=FINAL), passes, parts


def assert_one_pass_and_equal_heads(recipe: Recipe, data: Any = None) -> None:
    from dataclasses import replace

    kept, passes, parts = trained(recipe, data)
    once = Counter(example.input for part in parts.values() for example in part)
    assert not once - passes
    assert sum((passes - once).values()) == OVERHEAD  # all others once
    assert set(kept.ledger["executions"].values()) == {sum(once.values()) + OVERHEAD}
    assert [entry["stored"] for entry in kept.ledger["phases"]] == [["pooled"]]

    live, passes, _ = trained(replace(recipe, train=replace(recipe.train, store="off")), data)
    epochs = live.ledger["phases"][0]["epochs"]
    assert sum(passes[example.input] for example in parts["train"]) == epochs * len(parts["train"]) + 2
    assert [entry["stored"] for entry in live.ledger["phases"]] == [[]]
    ours, theirs = kept.model.head.state_dict(), live.model.head.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["out.weight"], build(recipe, data=data).model.head.state_dict()["out.weight"])
    for mine, other in zip(kept.outcomes, live.outcomes, strict=True):
        assert mine.predictions == other.predictions


EXACT = TrainPlan(exact=True, device="cpu", batch_size=8)
PROBE = Part("probe", {"epochs": 4, "lr": 0.05})


def test_a_probe_runs_the_backbone_once_per_split_and_learns_the_same_head(tiny, make_recipe, tmp_path) -> None:
    train = {"exact": True, "device": "cpu", "batch_size": 8}
    assert_one_pass_and_equal_heads(make_recipe(tmp_path, train=train, strategy={"use": "probe", "epochs": 4, "lr": 0.05}))


def test_a_probe_runs_a_real_bert_once_per_split_and_learns_the_same_head(make_sentences, tmp_path: Path) -> None:
    backbone = Part("nlp/encoder", {"weights": str(tiny_bert(tmp_path / "bert"))})
    recipe = Recipe(Part("table"), backbone, Part("mlp", {"dropout": 0.3}), PROBE, train=EXACT)
    assert_one_pass_and_equal_heads(recipe, make_sentences(40))


def test_a_real_bert_stores_what_it_gives_live(make_sentences, tmp_path: Path) -> None:
    from headstart.build import make_model

    backbone = Part("nlp/encoder", {"weights": str(tiny_bert(tmp_path / "bert"))})
    model = make_model(Recipe(Part("table"), backbone), Target("class", ("bad", "good")))
    live, kept = feeds(model, make_sentences(40), exact=False)
    indices = list(range(0, 40, 3))
    expected, found = live.batch(indices), kept.batch(indices)
    mask = expected["mask"]
    assert torch.equal(found["mask"], mask)
    torch.testing.assert_close(found["pooled"], expected["pooled"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["tokens"][mask], expected["tokens"][mask], rtol=1e-5, atol=1e-5)


def tiny_bert(path: Path) -> Path:
    """A BERT of two layers with random weights, in the official folder format."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = "warm funny moving clever bright dull cold boring clumsy grey film story actor scene score ending camera plot"
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words.split()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    BertModel(config).save_pretrained(path)
    return path
