"""A disk store with any damage: its rows are read as they were, or computed again; never others."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from headstart.store import DiskRows, open_store
from headstart.store_eviction import remove, stored
from headstart.store_key import StoreKey

sys.path.insert(0, str(Path(__file__).parent))
from damage import DAMAGES, Damage

KEY = StoreKey("weights", "preparing", "layer3", "plain", "float32", "cpu", "code")
CONTENTS = [str(index) for index in range(6)]
HARM = st.lists(DAMAGES, min_size=1, max_size=3)


def some(count: int) -> settings:
    """So many examples, the same each time."""
    unchecked = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=unchecked)


def row(index: int) -> list[Tensor]:
    """One tensor of a fixed shape and one as long as the index says."""
    return [torch.full((5,), float(index)), torch.arange(index + 1) + index]


def build(indices: Sequence[int]) -> Iterator[tuple[int, list[Tensor]]]:
    yield from ((index, row(index)) for index in indices)


def opened(root: Path) -> DiskRows:
    return open_store(root, KEY, CONTENTS, build, shard_bytes=60)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stores") / "whole"
    opened(root).close()
    assert len(list(root.glob("*/shard-*"))) > 2
    return root


def damaged(whole: Path, harm: Sequence[Damage]) -> Path:
    """A copy of the store, some of its files changed."""
    root = whole.with_name("copy")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    for damage in harm:
        damage.harm(root)
    return root


def rows_are_right(whole: Path, harm: Sequence[Damage]) -> None:
    root = damaged(whole, harm)
    for _ in range(2):  # what is computed again is right for the next one, too
        rows = opened(root)
        assert len(rows) == len(CONTENTS)
        for index in range(len(CONTENTS)):
            assert all(torch.equal(found, wanted) for found, wanted in zip(rows[index], row(index), strict=True))
        rows.close()
    assert rows.computed == 0


@some(120)
@given(harm=HARM)
def test_rows_of_a_damaged_store_are_the_same_or_computed_again(whole: Path, harm: list[Damage]) -> None:
    rows_are_right(whole, harm)


@some(40)
@given(harm=HARM)
def test_a_damaged_store_is_listed_and_removed_without_an_error(whole: Path, harm: list[Damage]) -> None:
    for store in stored(damaged(whole, harm)):
        assert remove(store)


@pytest.mark.slow  # ten thousand copies of a store: a minute
@some(10_000)
@given(harm=HARM)
def test_ten_thousand_damages_of_a_store_give_no_other_rows(whole: Path, harm: list[Damage]) -> None:
    rows_are_right(whole, harm)
