"""Texts longer than the network reads: what is kept, what is lost, and how windows become one vector."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from headstart_nlp.encoder import Encoder
from headstart_nlp.windows import cut, slide

Tiny = Callable[[str], Path]
LONG = " ".join(f"w{i}" for i in range(20))


def shown(encoder: Encoder, text: str) -> list[list[str]]:
    """Rows of tokens that the network reads for one text, padding left out."""
    batch = encoder.prepare([text])
    rows = zip(batch["input_ids"], batch["attention_mask"], strict=True)
    return [encoder.tokenizer.hf.convert_ids_to_tokens(ids[mask.bool()].tolist()) for ids, mask in rows]


def test_head_reads_the_beginning(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=10)
    assert shown(encoder, LONG) == [["<cls>", *(f"w{i}" for i in range(8)), "<sep>"]]


def test_head_and_tail_reads_both_ends(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=10, long="head+tail")
    assert shown(encoder, LONG) == [["<cls>", "w0", "w1", *(f"w{i}" for i in range(14, 20)), "<sep>"]]


@pytest.mark.parametrize("long", ["head", "head+tail", "windows"])
def test_a_text_that_fits_is_read_whole(tiny: Tiny, long: str) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=22, long=long)  # type: ignore[arg-type]  # over the literals
    assert shown(encoder, LONG) == [["<cls>", *LONG.split(), "<sep>"]]
    assert encoder.lost_tokens([LONG]) == [0]


def test_windows_touch_and_cover_the_text(tiny: Tiny) -> None:
    rows = shown(Encoder(weights=str(tiny("bert")), max_tokens=10, long="windows"), LONG)
    assert [token for row in rows for token in row[1:-1]] == LONG.split()
    assert [len(row) for row in rows] == [10, 10, 6]


def test_a_stride_lets_windows_overlap(tiny: Tiny) -> None:
    rows = shown(Encoder(weights=str(tiny("bert")), max_tokens=10, long="windows", stride=6), LONG)
    assert [row[1] for row in rows] == ["w0", "w6", "w12"]
    assert rows[-1][-2] == "w19"


@pytest.mark.parametrize(("room", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (5, 4), (50, 7)])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7, 12])
def test_windows_cover_every_token_and_the_last_is_no_part_of_another(length: int, room: int, stride: int) -> None:
    windows = slide(range(length), room, stride)
    assert sorted({i for window in windows for i in window}) == list(range(length))
    assert all(len(window) <= room for window in windows)
    assert all(not set(late) <= set(early) for early, late in pairwise(windows))


@pytest.mark.parametrize("room", [1, 2, 3, 8])
def test_head_and_tail_fill_the_room_exactly(room: int) -> None:
    kept = cut(range(20), room, "head+tail")
    assert len(kept) == room
    assert kept == sorted(set(kept))
    assert kept[0] == 0


def test_pooled_windows_are_the_average_weighted_by_tokens(tiny: Tiny) -> None:
    whole = Encoder(weights=str(tiny("bert")), max_tokens=10, long="windows").eval()
    single = Encoder(weights=str(tiny("bert")), max_tokens=10).eval()
    words = LONG.split()
    with torch.no_grad():
        given = whole(whole.prepare(["w3", LONG]))
        parts = [single(single.prepare([" ".join(words[i : i + 8])]))["pooled"][0] for i in (0, 8, 16)]
        short = single(single.prepare(["w3"]))["pooled"][0]
    by_hand = (10 * parts[0] + 10 * parts[1] + 6 * parts[2]) / 26
    torch.testing.assert_close(given["pooled"][1], by_hand, atol=1e-5, rtol=0)
    torch.testing.assert_close(given["pooled"][0], short, atol=1e-5, rtol=0)


def test_tokens_of_all_windows_stand_one_after_the_other(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=10, long="windows").eval()
    with torch.no_grad():
        given = encoder(encoder.prepare([LONG, "w3"]))
    assert given["tokens"].shape == (2, 26, 32)
    assert given["mask"].sum(dim=1).tolist() == encoder.sizes([LONG, "w3"]) == [26, 3]
    mean = given["tokens"][0].mean(dim=0)  # no padding in the longest: the mean over all its tokens is the pooled vector
    torch.testing.assert_close(given["pooled"][0], mean, atol=1e-5, rtol=0)


def test_gradients_reach_the_network_through_all_windows(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=10, long="windows")
    encoder(encoder.prepare([LONG]))["pooled"].square().sum().backward()  # a plain sum has no gradient behind a layer norm
    table = encoder.network.embeddings.word_embeddings.weight.grad
    touched = {int(i) for i in table.abs().sum(dim=1).nonzero()[:, 0]}
    assert set(encoder.tokenizer.ids([LONG])[0]) <= touched


def test_sizes_and_lost_tokens_say_what_is_read_and_what_is_not(tiny: Tiny) -> None:
    encoder = Encoder(weights=str(tiny("bert")), max_tokens=10)
    assert encoder.sizes([LONG, "w1 w2", ""]) == [10, 4, 2]
    assert encoder.lost_tokens([LONG, "w1 w2", ""]) == [12, 0, 0]


def test_truncation_saved_in_the_tokenizer_file_does_not_count(tiny: Tiny, tmp_path: Path) -> None:
    """The default weights' tokenizer.json cuts at 128 and pads to 128; the network reads 256."""
    encoder = Encoder()
    batch = encoder.prepare(["word " * 300, "word"])
    assert batch["attention_mask"].sum(dim=1).tolist() == [256, 3]
    assert encoder.prepare(["word"])["input_ids"].shape == (1, 3)
