"""The data part `vision/table`: pictures that a table names, with labels from csv, tsv, jsonl or parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from headstart.builtin.columns import Columns, Reader, columns_of
from headstart.example import Example
from headstart.place import Place, locate
from headstart.tables import SUFFIXES, Sheet, read_table
from headstart_vision.picture_data import PictureData, Reading
from headstart_vision.rows import PictureRows, check_unique, dropped_rows


class PictureTable(PictureData):
    """Pictures named in a table, one a row, with a label: csv, tsv, jsonl or parquet.

    Augmentation is for backbones that train: of a frozen one the features are computed once, without it.

    Args:
        path: The table; with `test` or `val`, the training rows.
        root: Folder below which the pictures' paths are. None = the table's own folder.
        picture: Column of the pictures' paths. None = guessed and reported.
        label: Column of the label. None = guessed and reported.
        kind: What a label is: one "class" of several, a set of "labels", or a "number".
        label_separator: Between labels in one cell, for kind "labels".
        group: Column that says which rows belong together (patient, place): never in two splits.
        time: Column to sort by for a split by time; dates as YYYY-MM-DD, or numbers.
        id: Column of unique ids. None = file name of the table and row number.
        split: Column that says train, val or test.
        test: A further table: the test rows.
        val: A further table: the validation rows.
        where: Keep only rows whose column equals the value, or is one of the values.
        names: New names of labels: {"0": "whole", "1": "broken"}.
        positive: Of two labels the one that counts as positive; by its new name.
        rows: Use only that many rows, each class with its share. None = all.
        seed: Chooses the rows of `rows`.
        encoding: Of the tables: "utf-8", "cp1252", ... None = found out and reported.
        separator: One character between values; a blank stands for any number of them. None = found out and reported.
        columns: Names of the columns of a table that has no header row.
        augment: What training views are: "light" = a crop of 80% or more, mirrored or not; "standard" = of 8% or more;
            "trivial-augment" and "random-erasing" add to that. "none" where left and right or small parts matter.
        max_pixels: Pictures with more are refused, judged by their header.
        max_bad: Share of the pictures that may be broken; they are left out and named. 0 = none may.
    """

    modality = "image"
    target_kinds = ("class", "labels", "number")

    def __init__(
        self,
        *,
        path: Place,
        root: Place | None = None,
        picture: str | None = None,
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
        rows: int | None = None,
        seed: int = 0,
        encoding: str | None = None,
        separator: str | None = None,
        columns: list[str] | None = None,
        augment: Literal["none", "light", "standard", "trivial-augment", "random-erasing"] = "none",
        max_pixels: int = 40_000_000,
        max_bad: float = 0.01,
    ) -> None:
        self.places, self.root = {"train": path, "val": val, "test": test}, root
        self.columns = Columns(
            kind=kind, label=label, label_separator=label_separator, group=group, time=time, id=id, split=split,
            **columns_of(picture, where, names),
        )  # fmt: skip
        self.encoding, self.separator, self.header = encoding, separator, columns
        self.reading = Reading(augment, max_pixels, max_bad, rows, seed, positive, kind)

    def listed(self) -> tuple[list[Example], dict[str, Any]]:
        """Every usable row, in the order of the tables."""
        places = {name: locate(place) for name, place in self.places.items() if place is not None}
        sheets = {name: self._sheet(path) for name, path in places.items()}
        rows = PictureRows(self.columns, self.reading.max_pixels, {})
        reader = Reader(rows.filled(sheets["train"]))
        found: list[Example] = []
        for name, sheet in sheets.items():
            split, prefix = (name, f"{name}/{sheet.stem}") if len(sheets) > 1 else (None, sheet.stem)
            found += rows.examples(reader, sheet, self._root(places[name]), prefix=prefix, split=split)
        reader.check_names()
        check_unique(found)
        return found, _facts(list(sheets.values()), reader, rows.guessed)

    def pinned(self) -> Mapping[str, Any]:
        """The columns of picture and label, as given or guessed."""
        facts = self.facts()
        return {"picture": facts["picture"], "label": facts["label"]}

    def open(self, path: Path) -> Sequence[Example]:
        """One picture, or all of a folder; or the rows of another table of this form, with labels where it holds them."""
        if not _is_table(path):
            return super().open(path)
        sheet = self._sheet(path)
        rows = PictureRows(self.columns, self.reading.max_pixels, {})
        reader = Reader(rows.filled(sheet, training=False))
        return rows.examples(reader, sheet, self._root(path), training=False)

    def _sheet(self, path: Path) -> Sheet:
        return read_table(path, encoding=self.encoding, separator=self.separator, columns=self.header)

    def _root(self, table: Path) -> Path:
        return locate(self.root) if self.root is not None else table.parent


def _is_table(path: Path) -> bool:
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower() in SUFFIXES


def _facts(sheets: Sequence[Sheet], reader: Reader, guessed: Mapping[str, str]) -> dict[str, Any]:
    taken = " and ".join(f"the {what} from the column '{column}'" for what, column in sorted(guessed.items(), reverse=True))
    notes = [f"It takes {taken}: a guess; write it in the recipe to be sure."] if guessed else []
    return {
        "files": [dict(sheet.facts) for sheet in sheets],
        "rows": sum(len(sheet) for sheet in sheets),
        "dropped": dropped_rows(reader),
        "picture": reader.texts[0],
        "label": reader.columns.label,
        "notes": notes,
    }
