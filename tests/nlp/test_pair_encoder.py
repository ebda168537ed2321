"""Pairs of texts: windows in one row are what they are alone, every boundary replays, and characters lead back to the text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from headstart.device import choose
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.feed import LiveFeed
from headstart.model import Model
from headstart.prefix_feed import prove
from headstart.recipe import TrainPlan
from headstart_nlp.pair_encoder import PairEncoder
from headstart_nlp.pair_tokens import FIRST, OPENING, PADDING, SECOND, SPECIAL, spans_of
from headstart_nlp.questions.span import Span
from headstart_nlp.questions.squad import Squad

QUESTION = "what is the story of"
LONG = " ".join(f"w{i % 120}" for i in range(70))
SHORT = "the film is a joy"
TOGETHER = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet", "albert", "t5")
APART = ("deberta", "deberta-v2", "modernbert", "gpt2", "llama")

Tiny = Callable[[str], Path]


def real() -> PairEncoder:
    encoder = PairEncoder(max_tokens=48, stride=20)
    encoder.eval()
    return encoder


def run(encoder: PairEncoder, *pairs: tuple[str, str]) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(encoder(encoder.prepare(pairs)))


@pytest.mark.parametrize(("length", "room", "stride"), [(0, 5, 2), (5, 5, 2), (6, 5, 2), (23, 7, 3), (50, 10, 10), (9, 4, 1)])
def test_windows_cover_a_text_and_none_is_needless(length, room, stride):
    spans = spans_of(length, room, stride)
    assert {at for start, end in spans for at in range(start, end)} == set(range(length))
    assert all(end - start <= room for start, end in spans)
    assert all(end < length for _, end in spans[:-1])


@pytest.mark.parametrize("name", TOGETHER)
def test_windows_of_one_row_do_not_see_each_other(tiny: Tiny, name: str):
    encoder = PairEncoder(weights=str(tiny(name)), max_tokens=24, stride=9)
    encoder.eval()
    found = run(encoder, (QUESTION, LONG), (QUESTION, SHORT))
    first, second = encoder._tokens([(QUESTION, LONG)])[0]
    spans = encoder._spans(first, second)
    assert len(spans) > 4
    with torch.no_grad():
        alone = [encoder(encoder._batch([encoder.pairs.row(first, second, [span])]))["tokens"][0] for span in spans]
        short = run(encoder, (QUESTION, SHORT))["tokens"][0]
    assert torch.allclose(found["tokens"][0], torch.cat(alone), atol=1e-5)
    assert torch.allclose(found["tokens"][1, : len(short)], short, atol=1e-5)


@pytest.mark.parametrize("name", APART)
def test_a_network_that_cannot_keep_windows_apart_is_refused_and_reads_the_beginning(tiny: Tiny, name: str):
    with pytest.raises(UsageError, match=r"cannot keep the windows of a long text apart; write backbone: \{long: head\}"):
        PairEncoder(weights=str(tiny(name)), max_tokens=24)
    encoder = PairEncoder(weights=str(tiny(name)), max_tokens=24, long="head")
    found = run(encoder, (QUESTION, LONG), (QUESTION, SHORT))
    assert found["tokens"].shape[:2] == (2, 24)
    assert encoder.lost_tokens([(QUESTION, LONG), (QUESTION, SHORT)])[0] > 0
    assert encoder.lost_tokens([(QUESTION, SHORT)]) == [0]


def test_sizes_are_the_lengths_of_rows_and_nothing_is_lost_in_windows():
    encoder = real()
    pairs = [(QUESTION, LONG), (QUESTION, SHORT), (QUESTION, "")]
    assert encoder.sizes(pairs) == run(encoder, *pairs)["mask"].sum(dim=1).tolist()
    assert encoder.lost_tokens(pairs) == [0, 0, 0]


def test_a_row_says_what_each_token_is_as_the_tokenizer_joins_pairs():
    encoder = PairEncoder()
    batch = encoder.prepare([(QUESTION, SHORT), ("what", "film")])
    expected = encoder.tokenizer.hf([QUESTION, "what"], [SHORT, "film"], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["types"], expected["token_type_ids"])
    kinds = [OPENING, FIRST, SPECIAL, SECOND, SPECIAL, *[PADDING] * (batch["segment"].shape[1] - 5)]
    assert batch["segment"][1].tolist() == kinds


def test_offsets_lead_every_token_back_into_the_original_text():
    encoder = real()
    text = "Élan  vital, “naïve” 東京\tand 10 fans… "
    found = run(encoder, ("Who?", text))
    pieces = [
        text[a:b]
        for (a, b), kind in zip(found["offsets"][0].tolist(), found["segment"][0].tolist(), strict=True)
        if kind == SECOND
    ]
    assert "".join(pieces) == "".join(text.split())
    codes = found["characters"][0]
    assert "".join(map(chr, codes.tolist())) == text


def test_characters_are_only_made_for_a_head_that_reads_them():
    encoder = real()
    encoder.want(("pooled",))
    assert "characters" not in run(encoder, ("Who?", "He."))


def test_a_question_takes_at_most_half_of_a_window():
    encoder = PairEncoder(max_tokens=48)
    batch = encoder.prepare([("who " * 100, LONG)])
    assert int(((batch["segment"] == FIRST) & (batch["windows"] == 0)).sum()) == encoder.room // 2
    assert encoder.lost_tokens([("who " * 100, LONG)])[0] == 100 - encoder.room // 2


def test_every_boundary_replays_to_the_bit_also_where_examples_have_several_windows():
    encoder = real()
    data = Squad(path="unused")
    model = Model(encoder, Span(encoder.ports, data.target))
    pairs = [(QUESTION, LONG), (QUESTION, SHORT), ("who is it", LONG[:150]), ("why", SHORT + " . " + LONG)]
    examples = [Example(str(i), pair) for i, pair in enumerate(pairs)]
    live = LiveFeed(model, data, examples, choose(TrainPlan()))
    proof = prove(live, [stage.name for stage in encoder.stages])
    assert proof.refused == {}
    assert set(proof.patterns) == {stage.name for stage in encoder.stages}


@pytest.mark.parametrize("name", [name for name in TOGETHER if name not in ("albert", "t5")])
def test_dropout_on_attention_is_off_and_other_dropout_stays(tiny: Tiny, name: str):
    network = PairEncoder(weights=str(tiny(name)), max_tokens=24).network
    shares = {path: module.p for path, module in network.named_modules() if isinstance(module, torch.nn.Dropout)}
    still = [path for path, share in shares.items() if share == 0 and "layer" in path.lower()]
    assert len(still) == 2, "one in each layer"
    assert sum(share > 0 for share in shares.values()) >= 3


def test_options_and_inputs_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="3 special tokens go with each pair; write 5 or more"):
        PairEncoder(max_tokens=4)
    with pytest.raises(UsageError, match="from 1 to 45"):
        PairEncoder(max_tokens=48, stride=46)
    with pytest.raises(UsageError, match="leave it out"):
        PairEncoder(long="head", stride=4)
    with pytest.raises(DataError, match="a pair of texts is expected, but an input is a str"):
        real().prepare(["only one"])
    with pytest.raises(DataError, match="a part of an input is a int"):
        real().prepare([("Who?", 3)])
