"""Data in memory: examples handed over in Python, for HeadstartClassifier and for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example, Target

EXCERPT = 300  # characters


class MemoryVectors(Data):
    """Vectors in memory, with labels. In a recipe it only says how a run's inputs are read; `of` brings the examples."""

    modality: ClassVar[str] = "vector"
    target_kinds: ClassVar[tuple[str, ...]] = ("class",)

    def __init__(self) -> None:
        self._target: Target | None = None
        self._examples: list[Example] = []

    @classmethod
    def of(cls, inputs: Sequence[Any], targets: Sequence[str], labels: Sequence[str], splits: Sequence[str]) -> Self:
        """Data with examples.

        Args:
            inputs: One raw input per example.
            targets: Its label.
            labels: All labels, in the order that they shall have.
            splits: "train", "val" or "test" for each example.
        """
        data = cls()
        data._target = Target("class", tuple(labels))
        rows = zip(inputs, targets, splits, strict=True)
        data._examples = [
            Example(str(number), data.read(input), target, meta={"split": split})
            for number, (input, target, split) in enumerate(rows)
        ]
        return data

    @property
    def target(self) -> Target:
        """The labels that were handed over."""
        if self._target is None:
            raise DataError(
                "these examples were in memory and are gone: the run can predict, but not train again; hand them over anew "
                "as fit(recipe, out, data=...)"
            )
        return self._target

    def examples(self) -> Sequence[Example]:
        """The examples that were handed over, in their order."""
        _ = self.target  # says why there are none
        return self._examples

    def read(self, source: Any) -> Any:
        """A vector as an array."""
        return np.asarray(source)


class MemoryTexts(MemoryVectors):
    """Texts in memory, with labels. In a recipe it only says how a run's inputs are read; `of` brings the examples."""

    modality: ClassVar[str] = "text"
    target_kinds: ClassVar[tuple[str, ...]] = ("class",)

    def read(self, source: Any) -> Any:
        """A text as it is.

        Raises:
            DataError: It is something else.
        """
        if not isinstance(source, str):
            raise DataError(f"an input is of type {type(source).__name__}; a text is expected: {str(source)[:80]!r}")
        return str(source)

    def excerpt(self, input: Any) -> str | None:
        """The beginning of the text."""
        return str(input)[:EXCERPT]
