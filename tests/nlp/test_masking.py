"""Masked language modelling: what is hidden, what is guessed, and that an adapted encoder is where a task begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.files import read_json
from headstart.fit import fit
from headstart.head import Prediction
from headstart.order import rng
from headstart.recipe_file import recipe_from_mapping
from headstart.run import load
from headstart.scores import Remembered
from headstart_nlp.encoder import Encoder
from headstart_nlp.masking.encoder import MaskedEncoder
from headstart_nlp.masking.head import Masked
from headstart_nlp.masking.hiding import Hiding
from headstart_nlp.masking.scores import masked_scores
from headstart_nlp.masking.texts import Unlabelled

ENCODERS = ("bert", "roberta", "distilbert", "albert", "mpnet", "modernbert")


def rngs(*, epoch: int, count: int) -> list[np.random.Generator]:
    return [rng(0, epoch, f"text {at}") for at in range(count)]


def test_a_share_of_the_tokens_is_hidden_in_three_ways() -> None:
    hiding = Hiding(0.15, mask=4, words=np.arange(5, 100))
    ids = [50] * 20
    hidden = [hiding.hide(ids, np.random.default_rng(seed)) for seed in range(2000)]
    seen = np.array([shown for shown, _ in hidden])
    wanted = np.array([places for _, places in hidden])
    assert set(wanted.sum(axis=1)) == {3 * 51}  # three of twenty, each by its id + 1
    assert (seen[wanted == 0] == 50).all()
    assert (seen[wanted > 0] == 4).mean() == pytest.approx(0.8, abs=0.015)
    assert (seen[wanted > 0] == 50).mean() == pytest.approx(0.1 + 0.1 / 95, abs=0.015)
    assert hiding.hide([50], np.random.default_rng(0))[1] == [51]  # at least one
    assert hiding.hide([], np.random.default_rng(0)) == ([], [])


def test_what_is_hidden_hangs_on_seed_epoch_and_example_alone(tiny: Callable[[str], Path], texts: tuple[str, ...]) -> None:
    encoder = MaskedEncoder(weights=str(tiny("bert")))
    first = encoder.prepare(texts, rngs=rngs(epoch=1, count=4))
    again = encoder.prepare(texts[2:3], rngs=rngs(epoch=1, count=4)[2:3])
    length = again["input_ids"].shape[1]
    assert torch.equal(first["input_ids"][2, :length], again["input_ids"][0])
    assert torch.equal(first["wanted"][2, :length], again["wanted"][0])
    assert not torch.equal(first["wanted"], encoder.prepare(texts, rngs=rngs(epoch=2, count=4))["wanted"])
    assert not encoder.prepare(texts)["wanted"].any()


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_right_tokens_are_guessed_after_learning_one_text(tiny: Callable[[str], Path], kind: str) -> None:
    encoder, text = MaskedEncoder(weights=str(tiny(kind)), share=0.3), "the story of a man who lost the plot"
    head = Masked(encoder.ports, Target("masked"))
    torch.manual_seed(0)
    head.join(encoder)
    batch = encoder.prepare([text], rngs=[np.random.default_rng(0)])
    weights = [*encoder.network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    encoder.eval()
    losses = []
    for _ in range(40):
        loss = head.loss(encoder(batch), [""])["cross_entropy"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.1 * losses[0]
    table = encoder.network.get_input_embeddings()
    assert table.weight.grad is not None  # tied: the guesses teach the table of tokens
    assert not any(weight is table.weight for weight in head.parameters())
    (prediction,) = head.predict(encoder(batch))
    hidden = [encoder.tokenizer.hf.convert_ids_to_tokens(int(token) - 1) for token in batch["wanted"][0] if token]
    assert prediction.value.split() == hidden
    assert prediction.details["right"] == prediction.details["hidden"] == 3
    assert head.score([prediction], [""]) == {
        "masked_accuracy": 1.0,
        "perplexity": pytest.approx(float(np.exp(prediction.details["loss"] / 3))),
    }


def test_a_text_that_asks_gets_the_likeliest_tokens(tiny: Callable[[str], Path]) -> None:
    encoder = MaskedEncoder(weights=str(tiny("bert")))
    head = Masked(encoder.ports, Target("masked"))
    head.join(encoder)
    text = "the <mask> is a slow burn"
    batch = encoder.eval().prepare([text, "dull"], rngs=rngs(epoch=0, count=2))
    assert batch["wanted"][0].tolist().count(-1) == 1
    assert not (batch["wanted"][0] > 0).any()  # nothing else is hidden
    asked, plain = head.predict(encoder(batch))
    (guesses,) = asked.details["guesses"]
    assert len(guesses) == 5
    assert [share for _, share in guesses] == sorted((share for _, share in guesses), reverse=True)
    assert asked.details["hidden"] == 0
    assert plain.details["hidden"] == 1
    assert "guesses" not in plain.details


def test_windows_are_joined_with_what_they_hide(tiny: Callable[[str], Path], texts: tuple[str, ...]) -> None:
    encoder = MaskedEncoder(weights=str(tiny("bert")), max_tokens=8).eval()
    features = encoder(encoder.prepare(texts, rngs=rngs(epoch=1, count=4)))
    assert features["wanted"].shape == features["mask"].shape
    counts = (features["wanted"] > 0).sum(dim=1)
    windows = [len(encoder.parts(ids)) for ids in encoder.tokenizer.ids(texts)]
    assert counts.tolist() == windows  # of six tokens one is hidden


def test_a_publishers_layers_are_where_guessing_begins(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForMaskedLM

    source = tiny("bert")
    torch.manual_seed(1)
    whole = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(source)).eval()
    whole.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    encoder = MaskedEncoder(weights=str(tmp_path)).eval()
    head = Masked(encoder.ports, Target("masked"))
    head.join(encoder)
    batch = encoder.prepare(["the <mask> is dull"])
    with torch.no_grad():
        theirs = whole(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        ours = head.logits(encoder(batch), batch["wanted"] < 0)
    torch.testing.assert_close(ours[0], theirs[0, 2])


def test_scores_are_over_all_tokens_and_follow_weights() -> None:
    rows = [{"right": 1, "hidden": 2, "loss": 3.0}, {"right": 0, "hidden": 1, "loss": 2.0}]
    predictions = Remembered([Prediction("x", details=row) for row in rows])
    targets = ["", ""]
    assert masked_scores(predictions, targets)["masked_accuracy"] == pytest.approx(1 / 3)
    assert masked_scores(predictions, targets, np.array([2, 0])) == {
        "masked_accuracy": 0.5,
        "perplexity": pytest.approx(np.exp(1.5)),
    }


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    words = ["the", "film", "is", "a", "slow", "burn", "dull", "story", "funny", "warm"]
    picked = np.random.default_rng(0).choice(words, size=(60, 9))
    path = tmp_path / "lines.txt"
    path.write_text("\n".join([*(" ".join(row) for row in picked), "", "the film", "the film"]), encoding="utf-8")
    return path


def test_an_adapted_encoder_is_saved_and_a_task_begins_with_it(
    tiny: Callable[[str], Path], lines: Path, tmp_path: Path
) -> None:
    recipe = recipe_from_mapping(
        {
            "name": "adapt",
            "data": {"use": "nlp/unlabelled", "path": str(lines)},
            "backbone": {"use": "nlp/masked-encoder", "weights": str(tiny("bert"))},
            "head": "nlp/masked",
            "strategy": {"use": "full", "epochs": 8, "lr": 5e-3, "head_lr": 5e-3, "layer_decay": 1.0},
            "split": {"test": 0, "val": 12, "leaks": "drop"},
            "train": {"device": "cpu"},
        }
    )
    run = fit(recipe, tmp_path / "runs", quiet=True)
    val = run.metrics["val"]
    assert val["perplexity"]["value"] < 30  # 148 tokens are known, ten of them occur
    assert run.metrics["selected_by"] == "masked_accuracy"
    before = load_file(str(tiny("bert") / "model.safetensors"))["embeddings.word_embeddings.weight"]
    task = Encoder(weights=str(run.folder / "model/backbone"))
    assert not torch.equal(task.network.get_input_embeddings().weight, before)
    learnt = load_file(str(run.folder / "model/backbone/model.safetensors"))["embeddings.word_embeddings.weight"]
    table = tmp_path / "films.csv"
    rows = [f"the film is {word} story {at},{label}" for at in range(8) for word, label in (("funny", "good"), ("dull", "bad"))]
    table.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    begun = fit(
        recipe_from_mapping(
            {
                "data": {"use": "table", "path": str(table)},
                "backbone": {"use": "nlp/encoder", "weights": str(tiny("bert"))},
                "split": {"test": 4, "val": 0, "leaks": "keep"},
                "train": {"device": "cpu"},
                "from": str(run.folder),
            }
        ),
        tmp_path / "tasks",
        quiet=True,
        report=False,
    )
    ours = load_file(str(begun.folder / "model/backbone/model.safetensors"))["embeddings.word_embeddings.weight"]
    assert torch.equal(ours, learnt)  # the probe left it as the run from which it began
    (said,) = load(run.folder).predict(["the <mask> is dull"])
    assert said.details["guesses"]
    once, again = (load(run.folder).predict(["the film is dull"])[0].details for _ in range(2))
    assert once == again


def test_half_frozen_every_epoch_hides_anew_and_replays_nothing(
    tiny: Callable[[str], Path], lines: Path, tmp_path: Path
) -> None:
    recipe = recipe_from_mapping(
        {
            "data": {"use": "nlp/unlabelled", "path": str(lines), "rows": 24},
            "backbone": {"use": "nlp/masked-encoder", "weights": str(tiny("bert"))},
            "head": "nlp/masked",
            "strategy": {"use": "gradual", "head_epochs": 2, "epochs": 2, "depth": 1},
            "split": {"test": 0, "val": 6, "leaks": "drop"},
            "train": {"device": "cpu", "store": "memory"},
        }
    )
    run = fit(recipe, tmp_path / "runs", quiet=True, report=False)
    head, thawed = read_json(run.folder / "ledger.json")["phases"]
    assert head["stored"] == ["tokens", "mask", "wanted"]  # all frozen: tokens are stored with what they were hidden for
    assert thawed["stored"] == []  # a stored value would belong to tokens of another epoch
    assert thawed["frozen"]["identical"]
    assert thawed["trainable"]["moved"]


def test_texts_are_read_once_each_and_counted(lines: Path, tmp_path: Path) -> None:
    data = Unlabelled(path=str(lines))
    assert len(data.examples()) == 61
    assert data.facts()["duplicates"] == 1
    assert data.facts()["empty"] == 1
    assert data.examples()[0].id == "lines:1"
    assert len(Unlabelled(path=str(lines), rows=10).examples()) == 10
    table = tmp_path / "rows.csv"
    table.write_text("review,site\ngood,a\nbad,b\nfine,a\n", encoding="utf-8")
    found = Unlabelled(path=str(table), text="review", where={"site": "a"}).examples()
    assert [example.input for example in found] == ["good", "fine"]
    with pytest.raises(DataError, match="holds no text"):
        Unlabelled(path=str(table), text="review", where={"site": "c"}).examples()


def test_parts_that_cannot_hide_are_refused(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="no mask token"):
        MaskedEncoder(weights=str(tiny("gpt2")))
    with pytest.raises(UsageError, match="share is 1"):
        MaskedEncoder(weights=str(tiny("bert")), share=1.0)
    encoder = Encoder(weights=str(tiny("bert")))
    with pytest.raises(UsageError, match="nlp/masked-encoder"):
        Masked({"tokens": 32, "mask": 1, "wanted": 1}, Target("masked")).join(encoder)
