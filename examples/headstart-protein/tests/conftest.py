"""What the tests share: folders with small networks, and generated sequences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart_protein.alphabet import STANDARD
from headstart_protein.cases import small_bert, small_esm


@pytest.fixture(scope="session")
def esm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ESM-2."""
    return small_esm(tmp_path_factory.mktemp("esm"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small BERT."""
    return small_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def sequences() -> Callable[..., list[str]]:
    """`sequences(count, shortest, longest)`: random ones that no two share much of."""

    def make(count: int, shortest: int = 12, longest: int = 30, seed: int = 0) -> list[str]:
        rng = np.random.default_rng(seed)
        return ["".join(rng.choice(list(STANDARD), rng.integers(shortest, longest + 1))) for _ in range(count)]

    return make
