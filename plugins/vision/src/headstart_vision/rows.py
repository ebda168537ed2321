"""From the rows of a table to pictures: which column is the picture, and where its files are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.builtin.columns import LABEL_NAMES, Columns, Reader, named_like
from headstart.errors import DataError
from headstart.example import Example
from headstart.tables import Sheet
from headstart_vision.pictures import SUFFIXES, Picture

PICTURE_NAMES = ("file_name", "filename", "file", "path", "image_path", "image", "picture", "img")


@dataclass
class PictureRows:
    """Makes examples of the rows of one or more sheets.

    Attributes:
        columns: Its `text` is the column of the pictures' paths; None = guessed.
        max_pixels: Of each picture.
        guessed: What was guessed so far: "picture", "label" -> column.
    """

    columns: Columns
    max_pixels: int
    guessed: dict[str, str]

    def filled(self, sheet: Sheet, *, training: bool = True) -> Columns:
        """The columns with those of picture and label filled in where they were left out.

        Raises:
            DataError: Nothing looks like a path of a picture, or, in training, like a label.
        """
        picture = self.columns.text or (self._guess_picture(sheet),)
        label = self.columns.label
        if label is None:
            label = named_like([name for name in sheet.columns if name not in picture], LABEL_NAMES)
            if label is not None:
                self.guessed["label"] = label
            elif training:
                columns = ", ".join(sheet.columns)
                raise DataError(
                    f"{sheet.source}: no column looks like a label; name it with `label: COLUMN`; columns: {columns}"
                )
        return replace(self.columns, text=picture, label=label)

    def _guess_picture(self, sheet: Sheet) -> str:
        named = named_like(list(sheet.columns), PICTURE_NAMES) or next(
            (name for name, values in sheet.columns.items() if values and _is_file(values[0])), None
        )
        if named is None:
            columns = ", ".join(sheet.columns)
            raise DataError(f"{sheet.source}: no column looks like the path of a picture; name it; columns: {columns}")
        self.guessed["picture"] = named
        return named

    def examples(
        self, reader: Reader, sheet: Sheet, root: Path, *, prefix: str = "", split: str | None = None, training: bool = True
    ) -> list[Example]:
        """Examples in the order of the rows, their pictures below `root` and named from there."""
        rows = reader.examples(sheet, prefix=prefix or None, split=split, training=training)
        return [replace(row, input=self._picture(root, row.input)) for row in rows]

    def _picture(self, root: Path, name: str) -> Picture:
        path = Path(name).expanduser()
        return Picture(str(root / path), path.name if path.is_absolute() else path.as_posix(), self.max_pixels)


def dropped_rows(reader: Reader) -> dict[str, int]:
    """Reason -> rows that were left out for it, where there are any, in the words of pictures."""
    words = {"empty text": "empty path"}
    return {words.get(reason, reason): count for reason, count in sorted(reader.dropped.items()) if count}


def check_unique(examples: Sequence[Example]) -> None:
    """Refuse rows that cannot be told apart.

    Raises:
        DataError: Two rows name one file, or have one id.
    """
    for what, names in (("file", [str(e.input) for e in examples]), ("id", [e.id for e in examples])):
        twice: Any = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"the {what} '{twice}' stands in more than one row; each picture has one row")


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and Path(value).suffix.lower() in SUFFIXES
