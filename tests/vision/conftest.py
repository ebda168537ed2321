"""Pictures made on the fly: small, and each with content of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def painted(colour: tuple[int, int, int], *, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture of one colour with a little noise, so that no two are the same."""
    noise = np.random.default_rng(seed).integers(-8, 9, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(colour) + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def paint() -> Callable[..., Image.Image]:
    """Makes a picture in memory."""
    return painted


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture below `tmp_path` and returns its path."""
    made = iter(range(10_000))

    def written(name: str, colour: tuple[int, int, int] = (90, 120, 150), **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        painted(colour, seed=next(made)).save(path, **options)
        return path

    return written


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """Folder of a real data set, or a skip with the reason."""

    def folder(name: str) -> Path:
        root = Path(os.environ.get("HEADSTART_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))
        if not (root / name).is_dir():
            pytest.skip(f"needs the real data set {name}; none at {root} (HEADSTART_SHARED_DATA names another place)")
        return root / name

    return folder
