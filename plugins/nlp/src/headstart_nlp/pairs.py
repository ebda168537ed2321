"""The data part `nlp/pairs`: two texts and what they are to each other, from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from headstart.builtin.table import Table
from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import Place

EXCERPT = 150  # characters of each text


class Second(Table):
    """The second reading of a table: what is broken in it, the first has told."""

    def hold(self, count: int) -> None:
        """Nothing: the first has held the same rows to the same budget."""


class Pairs(Data):
    """Pairs of texts with a label or a number: entailment, paraphrase, similarity; csv, tsv, jsonl or parquet.

    Two readings of one table by the data part `table`, which says what it knows of encodings, labels and splits.

    Args:
        path: The file of rows; with `test` or `val`, the training rows.
        first: Column of the first text (question, premise).
        second: Column of the second text (answer, hypothesis).
        label: Column of the label.
        kind: What a label is: one "class" of several, a set of "labels", or a "number".
        group: Column that says which rows belong together: never in two splits.
        id: Column of unique ids. None = file name and row number.
        split: Column that says train, val or test.
        test: A further file: the test rows.
        val: A further file: the validation rows.
        names: New names of labels: {"0": "different", "1": "same"}.
        positive: Of two labels the one that counts as positive; by its new name.
        max_bad: Share of the rows that may be broken (fields missing, no JSON, a label that is no number); they are left out
            and named. 0 = none may.
    """

    modality = "text-pair"
    target_kinds = ("class", "labels", "number")

    def __init__(
        self,
        *,
        path: Place,
        first: str,
        second: str,
        label: str,
        kind: Literal["class", "labels", "number"] = "class",
        group: str | None = None,
        id: str | None = None,
        split: str | None = None,
        test: Place | None = None,
        val: Place | None = None,
        names: dict[str, str] | None = None,
        positive: str | None = None,
        max_bad: float = 0.0,
    ) -> None:
        self._columns = (first, second)
        options: dict[str, Any] = {"path": path, "label": label, "kind": kind, "group": group, "id": id, "split": split}
        options |= {"test": test, "val": val, "names": names, "positive": positive, "max_bad": max_bad}
        self._sides = (Table(text=first, **options), Second(text=second, **options))

    @property
    def target(self) -> Target:
        """The kind, and the labels that occur, in natural order."""
        return self._sides[0].target

    def examples(self) -> Sequence[Example]:
        """Rows of which both texts are there; `input` is (first, second)."""
        return self._joined

    def read(self, source: Any) -> tuple[str, str]:
        """A pair of texts, or a mapping with the two columns.

        Raises:
            DataError: It is neither.
        """
        if isinstance(source, Mapping) and set(self._columns) <= set(source):
            first, second = (str(source[name]) for name in self._columns)
        elif isinstance(source, (tuple, list)) and len(source) == 2:
            first, second = map(str, source)
        else:
            names = " and ".join(self._columns)
            raise DataError(f"an input is a pair of texts, or a mapping with {names}, not {repr(source)[:60]}")
        return first.strip(), second.strip()

    def open(self, path: Path) -> Sequence[Example]:
        """Rows of another file with the same columns."""
        return _joined([side.open(path) for side in self._sides], str(path))

    def excerpt(self, input: Any) -> str:
        """The beginnings of both texts."""
        return " | ".join(text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…" for text in input)

    def facts(self) -> Mapping[str, Any]:
        """What reading the table told, and rows that lack the second text."""
        found = dict(self._sides[0].facts())
        lost = len(self._sides[0].examples()) - len(self._joined)
        if lost:
            found["warnings"] = [
                *found.get("warnings", ()),
                f"{lost:,} rows have an empty {self._columns[1]} and are left out.",
            ]
        return found

    @cached_property
    def _joined(self) -> list[Example]:
        return _joined([side.examples() for side in self._sides], " and ".join(self._columns))


def _joined(sides: Sequence[Sequence[Example]], source: str) -> list[Example]:
    seconds = {example.id: example.input for example in sides[1]}
    found = [replace(e, input=(e.input, seconds[e.id])) for e in sides[0] if e.id in seconds]
    if not found:
        raise DataError(f"{source}: no row has both texts")
    return found
