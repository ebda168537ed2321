"""Trees of class folders (the ImageFolder form), looked at by names alone: no picture is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError
from headstart.split import WORDS

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Tree:
    """Pictures by class.

    Attributes:
        counts: Name of the split's folder ("" = there are no splits) -> class -> pictures.
    """

    counts: Mapping[str, Mapping[str, int]]

    def lines(self) -> list[str]:
        """One sentence for each split."""
        return [self._line(split, classes) for split, classes in self.counts.items()]

    @staticmethod
    def _line(split: str, classes: Mapping[str, int]) -> str:
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        return f"{f'{split}/: ' if split else ''}{sum(classes.values()):,} pictures in {len(classes)} classes: {listed}."


def look_at_tree(folder: Path) -> Tree:
    """Tell class folders, with or without folders of splits above them.

    Raises:
        DataError: The folder has neither; the message shows what is expected.
    """
    splits = {child.name: classes for child in _folders(folder) if child.name.lower() in WORDS and (classes := _classes(child))}
    classes = {} if splits else _classes(folder)
    if splits or classes:
        return Tree(splits or {"": classes})
    seen = ", ".join(sorted(child.name for child in folder.iterdir())[:8]) or "nothing"
    raise DataError(
        f"{folder}: is no tree of class folders; found: {seen}; expected CLASS/picture.jpg or train/CLASS/picture.jpg, "
        "or name one file: csv, tsv, jsonl or parquet"
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _classes(folder: Path) -> dict[str, int]:
    counts = {child.name: sum(file.suffix.lower() in PICTURES for file in child.rglob("*")) for child in _folders(folder)}
    return {name: count for name, count in counts.items() if count}
