"""Samples: small raw inputs of the modalities that are met most, for parts whose case brings none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.testing.verdict import NotApplicableError

TEXTS = ("a slow film that pays off", "dull", "warm and funny from the first scene to the last", "the plot, it never came back")


def samples(modality: str) -> list[Any]:
    """Four raw inputs of different content and size.

    Raises:
        NotApplicableError: The kit knows no such modality.
    """
    return list(_made(SAMPLES, modality))


def smallest(modality: str) -> list[Any]:
    """The smallest raw inputs that may come.

    Raises:
        NotApplicableError: The kit knows no such modality.
    """
    return list(_made(SMALLEST, modality))


def _made(makers: dict[str, Callable[[], Sequence[Any]]], modality: str) -> Sequence[Any]:
    if modality not in makers:
        raise NotApplicableError(f"the kit has no samples of the modality '{modality}': give the case `inputs` and `smallest`")
    return makers[modality]()


def _pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((40, 56), (64, 64), (90, 48), (33, 70))]


def _volumes() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.random(size, dtype=np.float32) for size in ((12, 20, 24), (20, 20, 20), (9, 24, 16), (16, 28, 20))]


def _vectors() -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(4, 8)))


SAMPLES: dict[str, Callable[[], Sequence[Any]]] = {
    "text": lambda: TEXTS,
    "text-pair": lambda: [(text.split()[0], text) for text in TEXTS],
    "words": lambda: [tuple(text.split()) for text in TEXTS],
    "image": _pictures,
    "volume": _volumes,
    "vector": _vectors,
}
SMALLEST: dict[str, Callable[[], Sequence[Any]]] = {
    "text": lambda: ["", "a"],
    "text-pair": lambda: [("a", ""), ("", "a")],
    "words": lambda: [("a",), ("a", "b")],
    "image": lambda: [np.zeros((1, 1, 3), np.uint8), np.full((1, 2, 3), 255, np.uint8)],
    "volume": lambda: [np.zeros((1, 1, 1), np.float32), np.ones((1, 2, 1), np.float32)],
    "vector": lambda: [np.zeros(8), np.ones(8)],
}
