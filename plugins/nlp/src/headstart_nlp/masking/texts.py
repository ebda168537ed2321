"""The data part `nlp/unlabelled`: texts alone, from a file of lines or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.builtin.columns import guess_text
from headstart.data import Data
from headstart.encoding import decode, read_bytes
from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.order import seed_of
from headstart.place import Place, locate
from headstart.tables import read_table

LINES = (".txt", ".text")
EXCERPT = 300


class Unlabelled(Data):
    """Texts without labels, for masked language modelling: lines of a .txt, or a column of csv, tsv, jsonl or parquet.

    A text that occurs again is left out and counted; so is an empty one.

    Args:
        path: The file.
        text: Column of the text in a table; null = guessed.
        where: Keep only rows of a table whose column equals the value.
        rows: Use only that many texts, drawn at random; null = all.
        seed: Chooses the texts of `rows`.
    """

    modality = "text"
    target_kinds = ("masked",)

    def __init__(
        self,
        *,
        path: Place,
        text: str | None = None,
        where: dict[str, str] | None = None,
        rows: int | None = None,
        seed: int = 0,
    ) -> None:
        if rows is not None and rows < 1:
            raise UsageError(f"data.rows is {rows}; it must be at least 1")
        self.path, self.text, self.where, self.rows, self.seed = path, text, dict(where or {}), rows, seed

    @property
    def target(self) -> Target:
        """Hidden tokens; each text is its own truth."""
        return Target("masked")

    def examples(self) -> Sequence[Example]:
        """Different texts in the order of the file."""
        return self._loaded[0]

    def facts(self) -> Mapping[str, Any]:
        """The file, and how many texts were read, used, empty and copies of another."""
        return self._loaded[1]

    def read(self, source: Any) -> str:
        """A text as it is, stripped.

        Raises:
            DataError: It is none.
        """
        if not isinstance(source, str):
            raise DataError(f"an input is a text, not a {type(source).__name__}")
        return source.strip()

    def open(self, path: Path) -> Sequence[Example]:
        """The texts of another file, copies and all; `where` and `rows` are not applied."""
        found = [Example(f"{path.stem}:{line}", text, "") for line, text in self._texts(path, {}) if text]
        if not found:
            raise DataError(f"{path}: it holds no text")
        return found

    @property
    def augments(self) -> bool:
        """True: every epoch hides other tokens, so no value between two stages may be kept for the next."""
        return True

    def excerpt(self, input: Any) -> str | None:
        """The first 300 characters."""
        text = str(input)
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"

    @cached_property
    def _loaded(self) -> tuple[list[Example], dict[str, Any]]:
        path = locate(self.path)
        lines = self._texts(path, self.where)
        first: dict[str, int] = {}
        for line, text in lines:
            if text:
                first.setdefault(text, line)
        found = [Example(f"{path.stem}:{line}", text, "") for text, line in first.items()]
        if not found:
            raise DataError(f"{path}: it holds no text")
        if self.rows is not None and self.rows < len(found):
            chosen = np.random.default_rng(seed_of("rows", self.seed)).choice(len(found), self.rows, replace=False)
            found = [found[at] for at in sorted(chosen.tolist())]
        empty = sum(1 for _, text in lines if not text)
        copies = len(lines) - empty - len(first)
        return found, {"file": str(path), "rows": len(lines), "used": len(found), "empty": empty, "duplicates": copies}

    def _texts(self, path: Path, where: Mapping[str, str]) -> list[tuple[int, str]]:
        """Number of the line (row, for parquet) and stripped text of every row."""
        if path.suffix.lower() in LINES:
            text, _ = decode(read_bytes(path), source=str(path))
            return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
        sheet = read_table(path)
        name = self.text or guess_text(sheet, set(where))
        kept = np.ones(len(sheet), dtype=bool)
        for column, value in where.items():
            kept &= np.asarray([cell == str(value) for cell in sheet.column(column, "where")], dtype=bool)
        cells = sheet.column(name, "text")
        return [(sheet.lines[at], str(cells[at] or "").strip()) for at in np.flatnonzero(kept).tolist()]
