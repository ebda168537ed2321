"""Splits: every labelled example once, groups whole, sizes as asked, the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.quotas import largest_remainder
from headstart.recipe import SplitPlan
from headstart.split import Split, count_of, make_splits

AB = Target("class", ("a", "b"))


def examples_of(labels: Sequence[Any], **columns: Sequence[Any]) -> list[Example]:
    """Examples with targets, and columns `group`, `split`, `time`."""
    found = []
    for i, label in enumerate(labels):
        meta = {name: columns[name][i] for name in ("split", "time") if name in columns and columns[name][i] is not None}
        found.append(Example(f"e{i}", f"text {i}", label, columns["group"][i] if "group" in columns else None, meta))
    return found


def sizes(split: Split) -> dict[str, int]:
    return {name: len(indices) for name, indices in split.parts().items()}


def check_partition(examples: Sequence[Example], split: Split) -> None:
    members = [*split.train, *split.val, *split.test]
    assert sorted(members) == [i for i, example in enumerate(examples) if example.target is not None]


ab_labels = st.integers(3, 60).flatmap(
    lambda n: st.lists(st.sampled_from("ab"), min_size=n, max_size=n).map(lambda rest: [*"aaabbb", *rest, None])
)


@settings(max_examples=60, deadline=None)
@given(
    labels=ab_labels,
    test=st.sampled_from([0.1, 0.2, 0.3, 1, 2]),
    val=st.sampled_from([0, 0.1, 0.25, 2]),
    seed=st.integers(0, 9),
)
def test_a_stratified_split_takes_each_labelled_example_once_in_the_sizes_asked(
    labels: list[str | None], test: float, val: float, seed: int
) -> None:
    examples, plan = examples_of(labels), SplitPlan(test=test, val=val, seed=seed)
    (split,) = make_splits(examples, plan, AB)
    check_partition(examples, split)
    total = len(labels) - 1
    assert (len(split.test), len(split.val)) == (count_of(test, total), count_of(val, total))
    assert {labels[i] for i in split.train} == {"a", "b"}
    assert make_splits(examples, plan, AB) == [split]


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.integers(0, 40), min_size=30, max_size=80), seed=st.integers(0, 5), folds=st.sampled_from([0, 3]))
def test_a_group_is_never_in_two_splits(groups: list[int], seed: int, folds: int) -> None:
    groups = [*range(20), *groups]  # at least twenty groups, some of them larger
    examples = examples_of(["ab"[i % 2] for i in range(len(groups))], group=[f"g{group}" for group in groups])
    splits = make_splits(examples, SplitPlan(by="group", seed=seed, folds=folds), AB)
    for split in splits:
        check_partition(examples, split)
        parts = [{examples[i].group for i in indices} for indices in split.parts().values()]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert sorted(i for split in splits for i in split.test) == (list(range(len(groups))) if folds else list(splits[0].test))


@pytest.mark.parametrize("count", [200, 3000])
def test_grouped_sizes_and_labels_are_near_what_was_asked(count: int) -> None:
    labels = ["b" if i % 5 == 0 else "a" for i in range(3 * count)]
    examples = examples_of(labels, group=[f"g{i // 3}" for i in range(3 * count)])
    (split,) = make_splits(examples, SplitPlan(test=0.2, val=0.1), AB)
    assert split.how.startswith("group")
    for indices, share in ((split.test, 0.2), (split.val, 0.1)):
        assert abs(len(indices) / len(labels) - share) < 0.02
        assert abs(sum(labels[i] == "b" for i in indices) / len(indices) - 0.2) < 0.05


def test_a_number_of_grouped_examples_is_met_by_whole_groups() -> None:
    examples = examples_of(list("ab") * 100, group=[f"g{i // 4}" for i in range(200)])
    (split,) = make_splits(examples, SplitPlan(by="group", test=30, val=10), AB)
    assert abs(len(split.test) - 30) <= 8
    assert abs(len(split.val) - 10) <= 4


def test_examples_without_a_group_are_groups_of_their_own() -> None:
    examples = examples_of(list("ab") * 20, group=["one" if i < 10 else None for i in range(40)])
    (split,) = make_splits(examples, SplitPlan(), AB)
    check_partition(examples, split)
    assert len({name for name, indices in split.parts().items() for i in indices if i < 10}) == 1


def test_shares_of_labels_are_kept() -> None:
    (split,) = make_splits(examples_of(["a"] * 80 + ["b"] * 20), SplitPlan(test=0.2, val=0.1), AB)
    assert [sum(i >= 80 for i in indices) for indices in split.parts().values()] == [14, 2, 4]


def test_training_examples_are_limited_by_label() -> None:
    examples = examples_of(["a"] * 150 + ["b"] * 50)
    (split,) = make_splits(examples, SplitPlan(train=20), AB)
    assert sizes(split) == {"train": 20, "val": 20, "test": 40}
    assert Counter(examples[i].target for i in split.train) == {"a": 15, "b": 5}
    (half,) = make_splits(examples, SplitPlan(train=0.35), AB)
    assert sizes(half)["train"] == 70
    assert (half.val, half.test) == (split.val, split.test)
    with pytest.raises(DataError, match=r"split\.train: 500 asked for, 140 examples are left"):
        make_splits(examples, SplitPlan(train=500), AB)


def test_other_seeds_give_other_splits() -> None:
    examples = examples_of(list("ab") * 50)
    assert make_splits(examples, SplitPlan(seed=1), AB) != make_splits(examples, SplitPlan(seed=2), AB)


def test_the_latest_examples_test_and_those_before_them_select() -> None:
    days = [f"2020-01-{day:02}" for day in range(20, 0, -1)]
    (split,) = make_splits(examples_of(list("ab") * 10, time=days), SplitPlan(by="time", test=0.2, val=2), AB)
    assert split.test == (0, 1, 2, 3)
    assert split.val == (4, 5)
    (numbers,) = make_splits(examples_of(list("ab") * 6, time=range(12)), SplitPlan(by="time", test=2, val=0), AB)
    assert numbers.test == (10, 11)  # 11 is later than 9 as a number, though not as a text
    with pytest.raises(DataError, match="1 examples have none, the first is 'e0'"):
        make_splits(examples_of(list("ab") * 10, time=[None, *days[1:]]), SplitPlan(by="time"), AB)


def test_a_given_split_is_taken_in_any_of_its_words() -> None:
    words = ["Training", "train", "dev", "validation", "TEST", "testing", "train", "train"]
    (split,) = make_splits(examples_of(list("abababab"), split=words), SplitPlan(), AB)
    assert split.parts() == {"train": (0, 1, 6, 7), "val": (2, 3), "test": (4, 5)}
    assert split.how == "as given"
    with pytest.raises(DataError, match=r"'e0' has the split 'trial'; known words: train, training, val"):
        make_splits(examples_of(list("abab"), split=["trial", *["train"] * 3]), SplitPlan(), AB)


@pytest.mark.parametrize(("given_part", "made"), [("test", "val"), ("val", "test")])
def test_what_a_given_split_lacks_is_made_from_its_training_part(given_part: str, made: str) -> None:
    words = ["train"] * 40 + [given_part] * 10
    (split,) = make_splits(examples_of(list("ab") * 25, split=words), SplitPlan(test=0.1, val=0.1), AB)
    assert split.parts()[given_part] == tuple(range(40, 50))
    assert sizes(split) | {given_part: 10} == {"train": 36, made: 4, given_part: 10}
    assert f"{made} made from train" in split.how


def test_by_given_needs_a_split_for_each_and_auto_does_not() -> None:
    examples = examples_of(list("ab") * 20, split=[None, *["train"] * 39])
    with pytest.raises(DataError, match=r"split\.by is 'given' but example 'e0' has no split"):
        make_splits(examples, SplitPlan(by="given"), AB)
    assert make_splits(examples, SplitPlan(), AB)[0].how.startswith("stratified")
    with pytest.raises(DataError, match="no training examples"):
        make_splits(examples_of(list("abab"), split=["test"] * 4), SplitPlan(), AB)


def test_each_example_is_tested_in_one_fold_and_val_comes_from_the_rest() -> None:
    examples = examples_of(["a"] * 40 + ["b"] * 20 + [None])
    splits = make_splits(examples, SplitPlan(folds=4, val=0.1), AB)
    assert sorted(i for split in splits for i in split.test) == list(range(60))
    for split in splits:
        check_partition(examples, split)
        assert sizes(split) == {"train": 39, "val": 6, "test": 15}
        assert sum(i >= 40 for i in split.test) == 5


@pytest.mark.parametrize("target", [Target("number"), Target("labels", ("x", "y"))])
def test_numbers_and_sets_of_labels_are_divided_too(target: Target) -> None:
    values = [float(i) if target.kind == "number" else ("x", "y")[: i % 3] for i in range(100)]
    for plan in (SplitPlan(), SplitPlan(folds=3), SplitPlan(by="random")):
        for split in make_splits(examples_of(values), plan, target):
            check_partition(examples_of(values), split)
    (split,) = make_splits(examples_of(values), SplitPlan(test=0.2), target)
    if target.kind == "number":
        assert Counter(i // 10 for i in split.test) == dict.fromkeys(range(10), 2)


@pytest.mark.parametrize(
    ("labels", "plan", "told"),
    [
        ("aaaab", SplitPlan(), "label 'b' has 1 example; at least 3 are needed for train, val and test"),
        ("aaaab", SplitPlan(val=0), "at least 2 are needed for train and test"),
        ("aaaabbb", SplitPlan(folds=4), "label 'b' has 3 examples; at least 4 are needed for 4 folds"),
        ("aaaa", SplitPlan(), "all 4 examples have the label 'a'; at least two labels"),
        ("ab" * 9, SplitPlan(test=0.6, val=0.5), r"the shares of split \(test 0.6, val 0.5\) sum up to 1.1"),
        ("ab" * 9, SplitPlan(test=0.3, val=0.3, train=0.5), "sum up to 1.1"),
        ("ab" * 9, SplitPlan(test=18), r"split\.test: 18 is 18 of 18 examples, so none is left for training"),
        ("ab" * 9, SplitPlan(test=10, val=8), r"split\.val: 8 is 8 of 8 examples, so none is left"),
        ("ab" * 9, SplitPlan(test=-1), r"split\.test: -1 is neither a share in \(0, 1\) nor a number"),
        ("ab" * 9, SplitPlan(val=1.5), r"split\.val: 1\.5 is neither a share"),
        ("ab" * 9, SplitPlan(train=0), r"split\.train: 0 leaves nothing"),
        ("ab" * 9, SplitPlan(folds=1), "1 is no cross-validation"),
        ("ab" * 9, SplitPlan(by="group"), "no example has a group"),
        ("ab" * 9, SplitPlan(by="group", folds=3), "no example has a group"),
        ("ab" * 9, SplitPlan(by="time"), "'time' but 18 examples have none"),
        ("", SplitPlan(), "no example has a label"),
    ],
)
def test_what_cannot_be_divided_says_why(labels: str, plan: SplitPlan, told: str) -> None:
    with pytest.raises(DataError, match=told):
        make_splits(examples_of(list(labels)), plan, AB)


def test_a_label_that_only_tests_cannot_be_learnt() -> None:
    examples = examples_of(list("aabbc"), split=["train"] * 4 + ["test"])
    with pytest.raises(DataError, match="no training example has the label 'c'"):
        make_splits(examples, SplitPlan(val=0), Target("class", ("a", "b", "c")))


def test_a_part_that_is_given_empty_of_labels_is_told() -> None:
    with pytest.raises(DataError, match=re.escape("split.folds: 3 and a given split exclude each other")):
        make_splits(examples_of(list("ab") * 6, split=["train"] * 12), SplitPlan(folds=3), AB)


def test_one_group_alone_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="there is one group only"):
        make_splits(examples_of(list("ab") * 6, group=["g"] * 12), SplitPlan(), AB)


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8), share=st.floats(0, 1))
def test_quotas_add_up_and_never_exceed_what_there_is(sizes: list[int], share: float) -> None:
    total = int(share * sum(sizes))
    quotas = largest_remainder(sizes, total)
    assert sum(quotas) == total
    assert all(0 <= quota <= size for quota, size in zip(quotas, sizes, strict=True))
