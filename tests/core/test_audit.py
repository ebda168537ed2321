"""Leaks: found whatever their disguise, and settled by the recipe's word."""

from __future__ import annotations

import random
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest

from headstart import near
from headstart.audit import Audit, audit, content_key, settle
from headstart.errors import DataError
from headstart.example import Example
from headstart.near import near_pairs
from headstart.split import Split

LONG = "This movie got off to an interesting start, but down the road the story gets rather convoluted and dull."


def example(number: int, input: Any, target: Any = "a", group: str | None = None) -> Example:
    return Example(f"e{number}", input, target, group)


def split_of(train: int, val: int, test: int) -> Split:
    """Consecutive indices."""
    total = tuple(range(train + val + test))
    return Split(total[:train], total[train : train + val], total[train + val :], "by hand")


def texts(*inputs: str, targets: str = "") -> list[Example]:
    return [example(i, text, targets[i] if targets else "a") for i, text in enumerate(inputs)]


def test_identical_texts_are_found_whatever_their_case_and_spacing() -> None:
    found = audit(texts("A  good film", "other", "a good\nFILM "), split_of(2, 0, 1)).found
    assert [(leak.kind, leak.splits, leak.ids, leak.label_conflict) for leak in found] == [
        ("identical", ("train", "test"), ("e0", "e2"), False)
    ]


def test_copies_within_one_split_do_not_leak() -> None:
    assert audit(texts("same", "same", "other"), split_of(2, 0, 1)).found == ()


def test_copies_with_different_labels_are_a_conflict() -> None:
    (leak,) = audit(texts("same", "same", targets="ab"), split_of(1, 1, 0)).found
    assert leak.label_conflict
    assert str(leak) == "identical in train and val, with different labels: e0, e1"


def test_a_group_in_two_splits_is_found_and_none_is_no_group() -> None:
    rows = [example(0, "x", group="p1"), example(1, "y"), example(2, "z", group="p1"), example(3, "w")]
    assert [(leak.kind, leak.ids) for leak in audit(rows, split_of(2, 0, 2)).found] == [("group", ("e0", "e2"))]


def test_examples_outside_the_split_do_not_count() -> None:
    assert audit(texts("same", "other", "same"), Split((0,), (), (1,), "by hand")).found == ()


@pytest.mark.parametrize(
    "changed",
    [
        LONG.replace("interesting", "intriguing"),
        LONG.replace(",", "").replace(".", "!"),
        LONG + " Avoid.",
        LONG.upper().replace(" ", "  ").replace("DULL", "boring"),
    ],
)
def test_a_text_with_a_small_change_is_a_near_duplicate(changed: str) -> None:
    (leak,) = audit(texts(LONG, changed), split_of(1, 0, 1)).found
    assert (leak.kind, leak.ids) == ("near", ("e0", "e1"))
    assert audit(texts(LONG, changed), split_of(1, 0, 1), near=False).found == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a very good film indeed", "a very good film"),  # short texts are alike without being copies
        (LONG, "This movie got off to an interesting start, and it stays as gripping until its very last and moving scene."),
    ],
)
def test_texts_that_only_begin_alike_are_not_near(one: str, other: str) -> None:
    assert audit(texts(one, other), split_of(1, 0, 1)).found == ()


def test_near_pairs_are_those_that_comparing_all_pairs_finds() -> None:
    rng = random.Random(0)
    words = [f"w{i}" for i in range(40)]
    base = [[rng.choice(words) for _ in range(rng.randint(8, 30))] for _ in range(60)]
    copies = [list(rng.choice(base)) for _ in range(60)]
    for row in copies:
        for _ in range(rng.randint(0, 3)):
            row[rng.randrange(len(row))] = rng.choice(words)
    rows = {i: " ".join(row) for i, row in enumerate([*base, *copies])}
    shingles = {i: {tuple(text.split()[k : k + 3]) for k in range(len(text.split()) - 2)} for i, text in rows.items()}
    expected = [
        (i, j)
        for i in range(60)
        for j in range(60, 120)
        if len(shingles[i] & shingles[j]) >= 0.8 * (len(shingles[i]) * len(shingles[j])) ** 0.5
    ]
    assert len(expected) > 20
    assert near_pairs(rows, [range(60), range(60, 120), []]) == (expected, "")


def test_too_much_to_compare_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    template = "dear customer your order number {} was sent to you on this very day by our house"
    rows = texts(*(template.format(i) for i in range(60)))
    monkeypatch.setattr(near, "MAX_PAIRS", 100)
    found = audit(rows, split_of(30, 0, 30))
    assert found.found == ()
    assert found.skipped.startswith("near-duplicates were not looked for: ")
    monkeypatch.setattr(near, "MAX_CHARACTERS", 100)
    assert "characters are more than 100" in audit(rows, split_of(30, 0, 30)).skipped


def test_ten_thousand_texts_against_a_thousand_take_seconds() -> None:
    rng = random.Random(0)
    words = [f"word{int(rng.paretovariate(0.6)) % 20_000}" for _ in range(200_000)]
    starts = [rng.randrange(199_900) for _ in range(11_000)]
    rows = texts(*(" ".join(words[start : start + 40]) for start in starts))
    before = process_time()
    assert not audit(rows, split_of(10_000, 0, 1_000)).skipped
    assert process_time() - before < 10


def test_content_of_files_bytes_and_arrays_is_compared(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"picture")
    assert content_key(tmp_path / "a.png") == content_key(tmp_path / "b.png")
    assert content_key(np.zeros(4)) == content_key(np.zeros(4))
    assert content_key(np.zeros(4)) != content_key(np.zeros((2, 2)))
    assert content_key(b"x") == content_key(bytearray(b"x"))
    assert content_key(("A b", "c")) == content_key(["a  B", "C"]) != content_key(("c", "a b"))
    assert content_key({"q": "A", "c": "b"}) == content_key({"c": "B", "q": "a"})
    assert content_key(object()) is None
    assert content_key(("a", object())) is None


LEAKING = texts("same", "alone", "same", "other", "same", "last")  # train 0-2, val 3, test 4-5
SPLIT = split_of(3, 1, 2)


def test_error_stops_with_the_ids_and_the_lines_that_mend_it() -> None:
    with pytest.raises(DataError, match="identical in train and test: e0, e2, e4") as caught:
        settle(LEAKING, SPLIT, audit(LEAKING, SPLIT), "error")
    assert "split: {leaks: move}" in str(caught.value)
    assert "split: {leaks: drop}    # out of the earlier ones, the test stays whole" in str(caught.value)
    assert caught.value.exit_code == 3


def test_move_puts_a_set_where_most_of_it_is() -> None:
    settled, counts = settle(LEAKING, SPLIT, audit(LEAKING, SPLIT), "move")
    assert settled.parts() == {"train": (0, 1, 2, 4), "val": (3,), "test": (5,)}
    assert counts == {"moved": 1, "dropped": 0}


def test_move_prefers_training_where_numbers_are_equal_and_the_majority_else() -> None:
    rows = texts("x", "keep", "y", "x", "y", "y", "end")
    settled, _ = settle(rows, split_of(3, 0, 4), audit(rows, split_of(3, 0, 4)), "move")
    assert settled.parts() == {"train": (0, 1, 3), "val": (), "test": (2, 4, 5, 6)}


def test_drop_takes_a_set_out_of_all_splits_but_the_last_so_that_the_test_stays_whole() -> None:
    settled, counts = settle(LEAKING, SPLIT, audit(LEAKING, SPLIT), "drop")
    assert settled.parts() == {"train": (1,), "val": (3,), "test": (4, 5)}
    assert counts == {"moved": 0, "dropped": 2}


def test_groups_and_copies_that_share_an_example_are_settled_together() -> None:
    inputs, groups = ["x", "u", "v", "V", "z", "w"], ["g", None, "g", None, None, None]
    rows = [example(i, text, group=group) for i, (text, group) in enumerate(zip(inputs, groups, strict=True))]
    split = Split((0, 1), (2, 5), (3, 4), "by hand")
    settled, counts = settle(rows, split, audit(rows, split), "drop")
    assert settled.parts() == {"train": (1,), "val": (5,), "test": (3, 4)}  # e3 is a copy of e2, which is of e0's group
    assert counts == {"moved": 0, "dropped": 2}


@pytest.mark.parametrize("policy", ["move", "drop"])
def test_a_chain_of_near_duplicates_leaves_no_leak(policy: Any) -> None:
    words = [f"word{i}" for i in range(60)]
    chain = [" ".join(words[start : start + 40]) for start in range(0, 16, 2)]  # each is near the next, not the last but two
    rows = [*texts(*chain), example(8, "first of train"), example(9, "end of test"), example(10, "end of val")]
    split = Split((0, 3, 6, 8), (1, 4, 10), (2, 5, 7, 9), "by hand")
    settled, _ = settle(rows, split, audit(rows, split), policy)
    assert audit(rows, settled).found == ()
    assert {8} <= set(settled.train) and {9} <= set(settled.test) and {10} <= set(settled.val)


def test_kept_leaks_change_nothing() -> None:
    rows = texts("x", "y", "x")
    split = split_of(2, 0, 1)
    assert settle(rows, split, audit(rows, split), "keep") == (split, {"moved": 0, "dropped": 0})


def test_a_split_that_only_leaks_is_not_emptied_in_silence() -> None:
    rows = texts("x", "y", "x")
    with pytest.raises(DataError, match=r"split\.leaks: move leaves no example in the test split: all of its 1 leak"):
        settle(rows, split_of(2, 0, 1), audit(rows, split_of(2, 0, 1)), "move")


def test_a_sound_split_stays_as_it_is() -> None:
    rows = texts("x", "y")
    assert settle(rows, split_of(1, 0, 1), Audit(), "error") == (split_of(1, 0, 1), {"moved": 0, "dropped": 0})
