"""Order is a pure function: everything once, alike in size, the same on every machine."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.order import batch_count, frozen_batches, micro_batches, rng, seed_of, training_batches

SIZES = st.lists(st.integers(1, 40), max_size=200)


@given(SIZES, st.integers(1, 20), st.integers(0, 5), st.integers(1, 9))
def test_each_example_comes_once_per_epoch_in_the_stated_number_of_batches(sizes, batch_size, seed, epoch) -> None:
    batches = training_batches(seed, epoch, sizes, batch_size)
    assert Counter(chain.from_iterable(batches)) == Counter(range(len(sizes)))
    assert len(batches) == batch_count(len(sizes), batch_size)
    assert all(len(batch) <= batch_size + 1 for batch in batches)
    assert batches == training_batches(seed, epoch, sizes, batch_size)


@given(st.integers(2, 200), st.integers(2, 20))
def test_no_batch_of_one_example_is_left_over(count, batch_size) -> None:
    assert min(map(len, training_batches(0, 1, [1] * count, batch_size))) >= 2


@given(st.integers(1, 60), st.integers(1, 20))
def test_a_batch_is_parted_into_the_fewest_nearly_equal_micro_batches(count, size) -> None:
    parts = micro_batches(list(range(count)), size)
    assert list(chain.from_iterable(parts)) == list(range(count))
    assert len(parts) == -(-count // size)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert max(map(len, parts)) <= size


def test_without_a_size_there_is_one_micro_batch() -> None:
    assert micro_batches([3, 1, 2], None) == [[3, 1, 2]]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [training_batches(seed, epoch, [1] * 50, 8) for seed, epoch in ((0, 1), (0, 2), (1, 1))]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_batches_hold_examples_of_like_size() -> None:
    sizes = np.random.default_rng(0).integers(1, 200, 512).tolist()

    def padded(batches) -> int:
        return sum(len(batch) * max(sizes[index] for index in batch) for batch in batches)

    shuffled = np.random.default_rng(1).permutation(512).reshape(-1, 16).tolist()
    sorted_ = training_batches(0, 1, sizes, 16)
    assert padded(sorted_) < 1.15 * sum(sizes)
    assert padded(shuffled) > 1.5 * sum(sizes)
    assert [max(sizes[index] for index in batch) for batch in sorted_[:4]] != sorted(
        max(sizes[index] for index in batch) for batch in sorted_[:4]
    )  # the batches themselves come shuffled


@given(SIZES, st.integers(1, 300), st.integers(1, 10))
def test_frozen_batches_hold_each_once_within_budget_and_limit(sizes, budget, limit) -> None:
    batches = frozen_batches(sizes, budget, limit)
    assert Counter(chain.from_iterable(batches)) == Counter(range(len(sizes)))
    for batch in batches:
        assert len(batch) <= limit
        assert len(batch) == 1 or len(batch) * max(sizes[index] for index in batch) <= budget
    longest = [max(sizes[index] for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_seeds_are_the_same_on_every_machine() -> None:
    assert seed_of("order", 0, 1) == 1420351508280666128
    assert seed_of("a", "bc") != seed_of("ab", "c")
    assert 0 <= seed_of(None) < 2**63


@pytest.mark.parametrize("other", [(1, 2, "a"), (0, 3, "a"), (0, 2, "b")])
def test_augmentation_differs_by_seed_view_and_example_only(other) -> None:
    assert rng(0, 2, "a").random() == rng(0, 2, "a").random()
    assert rng(0, 2, "a").random() != rng(*other).random()


def test_a_batch_of_too_many_padded_tokens_is_parted_by_length() -> None:
    sizes = [10, 200, 11, 90, 12, 9]
    parts = micro_batches([0, 1, 2, 3, 4, 5], None, sizes, budget=100)
    assert parts == [[1], [3], [4, 2, 0, 5]]
    assert all(len(part) * max(sizes[at] for at in part) <= 100 for part in parts if len(part) > 1)
    assert micro_batches([0, 2, 4], None, sizes, budget=100) == [[0, 2, 4]]  # it fits: left in its order
    assert micro_batches([0, 1, 2, 3, 4, 5], 2, sizes, budget=100) == [[1], [3], [4, 2], [0, 5]]
