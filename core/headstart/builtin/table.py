"""The data part `table`: texts and labels from csv, tsv, jsonl or parquet files."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from headstart.builtin.columns import (
    TEXT_NAMES,
    Columns,
    Reader,
    check_rows,
    columns_of,
    guess,
    guess_open,
    join_text,
    named_like,
    subset,
    target_of,
)
from headstart.data import Data
from headstart.encoding import decode, read_bytes
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import Place, locate
from headstart.quarantine import check_budget, hold_to_budget, listed
from headstart.tables import Sheet, read_table, sheet_of_rows

EXCERPT = 300  # characters

log = logging.getLogger(__name__)


class TextRows(Data):
    """What a file and a hub share: rows of text with labels, read once."""

    modality = "text"
    target_kinds = ("class", "labels", "number")

    columns: Columns
    positive: str | None
    rows: int | None
    seed: int
    max_bad: float = 0.0

    @cached_property
    def bad(self) -> dict[str, str] | None:
        """Rows that were left out, by file and line, with the reason; None = not one may be."""
        return {} if self.max_bad else None

    def hold(self, count: int) -> None:
        """Warn of the rows that were left out of so many, or stop where they are more than the budget."""
        hold_to_budget(self.bad or {}, count, self.max_bad, "rows")

    def sheets(self) -> list[tuple[Sheet, str | None]]:
        """The tables and, where one is the whole of a given split, that split's name."""
        raise NotImplementedError

    @cached_property
    def _loaded(self) -> tuple[Columns, list[Example], dict[str, Any]]:
        sheets = self.sheets()
        count = sum(len(sheet) for sheet, _ in sheets) + len(self.bad or ())  # rows that could not be read are in no sheet
        columns, guessed = guess(sheets[0][0], self.columns)
        reader = Reader(columns, self.bad)
        found = [row for (sheet, split), prefix in zip(sheets, _prefixes(sheets), strict=True)
                 for row in reader.examples(sheet, prefix=prefix, split=split)]  # fmt: skip
        self.hold(count)
        _check_ids(found, columns)
        reader.check_names()
        examples = subset(found, self.rows, self.seed) if self.rows else found
        if not examples:
            raise DataError(f"{sheets[0][0].source}: no usable row is left; dropped: {dict(reader.dropped)}")
        facts = _facts([sheet for sheet, _ in sheets], columns, guessed, reader.dropped, examples)
        return columns, examples, {**facts, **_of_bad(self.bad or {})}

    @cached_property
    def _target(self) -> Target:
        columns, examples, _ = self._loaded
        return target_of(examples, columns.kind, self.positive)

    @property
    def target(self) -> Target:
        """The kind, and the labels that occur, in natural order."""
        return self._target

    def examples(self) -> Sequence[Example]:
        """Usable rows in the order of the files."""
        return self._loaded[1]

    def facts(self) -> Mapping[str, Any]:
        """Files, encoding, separator, rows, dropped rows, guessed columns, duplicates."""
        return self._loaded[2]

    def pinned(self) -> Mapping[str, Any]:
        """The columns of text and label, as given or guessed."""
        text, label = self._loaded[0].text, self._loaded[0].label
        return {"text": text[0] if text and len(text) == 1 else list(text or ()), "label": label}

    def read(self, source: Any) -> str:
        """A text as it is, stripped; of a mapping the text columns, joined as in training.

        Raises:
            DataError: It is neither, or a column is absent.
        """
        if isinstance(source, str):
            return source.strip()
        if not isinstance(source, Mapping):
            raise DataError(f"an input is a text or a mapping with the text column, not a {type(source).__name__}")
        names = self._known_text() or (_guess_key(source),)
        absent = [name for name in names if name not in source]
        if absent:
            raise DataError(f"the input has no '{absent[0]}'; it has: {', '.join(map(str, source))}")
        return join_text([None if source[name] is None else str(source[name]) for name in names])

    def open(self, path: Path) -> Sequence[Example]:
        """Rows of another file with the same columns; labels where it holds them; of a .txt each line.

        Rows with an empty text are left out, with a warning; `where`, `rows` and given splits are not applied.
        """
        sheet = _lines(path) if path.suffix.lower() == ".txt" else self.open_sheet(path)
        reader = Reader(self._columns_for(sheet))
        examples = reader.examples(sheet, training=False)
        if reader.dropped["empty text"]:
            count = reader.dropped["empty text"]
            log.warning("%s: left out %s with an empty text", path, "1 row" if count == 1 else f"{count:,} rows")
        if not examples:
            raise DataError(f"{path}: no row has a text")
        return examples

    def open_sheet(self, path: Path) -> Sheet:
        """Another file as a table."""
        return read_table(path)

    def excerpt(self, input: Any) -> str | None:
        """The first 300 characters."""
        text = str(input)
        return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"

    def _known_text(self) -> tuple[str, ...] | None:
        """The text columns as given, or as guessed if the training data were read."""
        return self.columns.text or (self._loaded[0].text if "_loaded" in self.__dict__ else None)

    def _columns_for(self, sheet: Sheet) -> Columns:
        if Path(sheet.source).suffix.lower() == ".txt":
            return Columns(text=("text",))
        return self._loaded[0] if "_loaded" in self.__dict__ else guess_open(sheet, self.columns)


class Table(TextRows):
    """Texts with labels from a table: csv, tsv, jsonl or parquet, also packed as .gz.

    Encoding and separator are found out and reported. Values are texts: "NA" stays a label and 007 keeps its zeros.

    Args:
        path: The file of rows; with `test` or `val`, the training rows.
        text: Column of the text, or several that are joined by line breaks. None = guessed and reported.
        label: Column of the label. None = guessed and reported.
        kind: What a label is: one "class" of several, a set of "labels", or a "number".
        label_separator: Between labels in one cell, for kind "labels"; lists of jsonl and parquet are taken as they are.
        group: Column that says which rows belong together (patient, author): never in two splits.
        time: Column to sort by for a split by time; dates as YYYY-MM-DD, or numbers.
        id: Column of unique ids. None = file name and row number.
        split: Column that says train, val or test.
        test: A further file: the test rows.
        val: A further file: the validation rows.
        where: Keep only rows whose column equals the value, or is one of the values.
        names: New names of labels: {"0": "negative", "1": "positive"}.
        positive: Of two labels the one that counts as positive; by its new name.
        max_bad: Share of the rows that may be broken (fields missing, no JSON, a label that is no number); they are left out
            and named. 0 = none may.
        rows: Use only that many rows, each class with its share. None = all.
        seed: Chooses the rows of `rows`.
        encoding: Of the files: "utf-8", "cp1252", ... None = found out and reported.
        separator: One character between values. None = found out and reported.
    """

    modality = "text"
    target_kinds = ("class", "labels", "number")

    def __init__(
        self,
        *,
        path: Place,
        text: str | list[str] | None = None,
        label: str | None = None,
        kind: Literal["class", "labels", "number"] = "class",
        label_separator: str = "|",
        group: str | None = None,
        time: str | None = None,
        id: str | None = None,
        split: str | None = None,
        test: Place | None = None,
        val: Place | None = None,
        where: dict[str, str | list[str]] | None = None,
        names: dict[str, str] | None = None,
        positive: str | None = None,
        max_bad: float = 0.0,
        rows: int | None = None,
        seed: int = 0,
        encoding: str | None = None,
        separator: str | None = None,
    ) -> None:
        check_rows(rows)
        check_budget(max_bad, "rows")
        self.max_bad = max_bad
        self.places = {"train": path, "val": val, "test": test}
        self.columns = Columns(
            kind=kind, label=label, label_separator=label_separator, group=group, time=time, id=id, split=split,
            **columns_of(text, where, names),
        )  # fmt: skip
        self.positive, self.rows, self.seed = positive, rows, seed
        self.encoding, self.separator = encoding, separator

    def sheets(self) -> list[tuple[Sheet, str | None]]:
        """The training file, and the files of given splits."""
        is_split = any(self.places[name] for name in ("val", "test"))
        places = [(name, place) for name, place in self.places.items() if place is not None]
        return [(self._sheet(locate(place), self.bad), name if is_split else None) for name, place in places]

    def open_sheet(self, path: Path) -> Sheet:
        """A file with this part's encoding and separator; its first broken row is an error."""
        return self._sheet(path, None)

    def _sheet(self, path: Path, bad: dict[str, str] | None) -> Sheet:
        return read_table(path, encoding=self.encoding, separator=self.separator, bad=bad)


def _lines(path: Path) -> Sheet:
    text, encoding = decode(read_bytes(path), source=str(path))
    return sheet_of_rows(str(path), {"text": text.splitlines()}, {"file": str(path), "encoding": encoding})


def _guess_key(source: Mapping[str, Any]) -> str:
    texts = [name for name, value in source.items() if isinstance(value, str)]
    named = named_like(texts, TEXT_NAMES)
    if named or len(texts) == 1:
        return named or texts[0]
    raise DataError(f"cannot tell which is the text among: {', '.join(map(str, source))}; give a plain text")


def _prefixes(sheets: Sequence[tuple[Sheet, str | None]]) -> list[str]:
    """First half of the ids: the file's name, with the split before it where two files have the same name."""
    stems = Counter(sheet.stem for sheet, _ in sheets)
    return [sheet.stem if stems[sheet.stem] == 1 else f"{split}/{sheet.stem}" for sheet, split in sheets]


def _check_ids(examples: Sequence[Example], columns: Columns) -> None:
    twice = next((id for id, count in Counter(example.id for example in examples).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"the id '{twice}' (column '{columns.id}') stands in two files; ids must be unique over all of them")


def _of_bad(bad: Mapping[str, str]) -> dict[str, Any]:
    if not bad:
        return {}
    rows = "1 row cannot be read and is" if len(bad) == 1 else f"{len(bad):,} rows cannot be read and are"
    return {"quarantined": dict(bad), "warnings": [f"{rows} left out: {listed(bad)}."]}


def _facts(
    sheets: Sequence[Sheet], columns: Columns, guessed: Mapping[str, str], dropped: Counter[str], examples: Sequence[Example]
) -> dict[str, Any]:
    texts = Counter(example.input for example in examples)
    return {
        "files": [dict(sheet.facts) for sheet in sheets],
        "rows": sum(len(sheet) for sheet in sheets),
        "used": len(examples),
        "dropped": {reason: count for reason, count in sorted(dropped.items()) if count},
        "guessed": dict(guessed),
        "duplicates": sum(count - 1 for count in texts.values()),
        "text": list(columns.text or ()),
        "label": columns.label,
    }
