"""What all data of pictures share: read once, checked by header, augmented only where a backbone trains."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.builtin.columns import LabelKind, check_rows, subset, target_of
from headstart.data import Data
from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.quarantine import check_budget
from headstart_vision.pictures import SUFFIXES, Picture, as_image
from headstart_vision.quarantine import quarantine


@dataclass(frozen=True)
class Reading:
    """Options of every data part of pictures; the parts' own docstrings say what each means."""

    augment: str = "none"
    max_pixels: int = 40_000_000
    max_bad: float = 0.01
    rows: int | None = None
    seed: int = 0
    positive: str | None = None
    kind: LabelKind = "class"

    def __post_init__(self) -> None:
        check_rows(self.rows)
        check_budget(self.max_bad, "pictures")
        if self.max_pixels < 1:
            raise UsageError(f"data.max_pixels: {self.max_pixels} lets no picture through")


class PictureData(Data):
    """Pictures on disk; a subclass lists them."""

    modality = "image"

    reading: Reading

    @abstractmethod
    def listed(self) -> tuple[list[Example], dict[str, Any]]:
        """Every picture as an example whose input is a `Picture`, and facts about the source; nothing is opened yet."""

    @cached_property
    def _loaded(self) -> tuple[list[Example], dict[str, Any]]:
        every, facts = self.listed()
        checked = quarantine(every, self.reading.max_bad)
        found = checked.facts()
        notes = {name: [*facts.get(name, ()), *found.get(name, ())] for name in ("notes", "warnings")}
        rows = self.reading.rows
        examples = subset(checked.examples, rows, self.reading.seed) if rows is not None else checked.examples
        if not examples:
            raise DataError("no picture is left to learn from")
        return examples, {**facts, **found, **{name: told for name, told in notes.items() if told}, "used": len(examples)}

    @cached_property
    def _target(self) -> Target:
        return target_of(self._loaded[0], self.reading.kind, self.reading.positive)

    @property
    def target(self) -> Target:
        """The kind, and the labels that occur, in natural order."""
        return self._target

    def examples(self) -> Sequence[Example]:
        """Every picture with a sound header."""
        return self._loaded[0]

    def facts(self) -> Mapping[str, Any]:
        """The layout, counts, sizes, and which files were quarantined and why."""
        return self._loaded[1]

    def read(self, source: Any) -> Any:
        """A path as a picture that is decoded when it is needed; the content of a file, a PIL image or an array at once.

        Raises:
            DataError: It is no picture.
        """
        if isinstance(source, (str, os.PathLike)) and not isinstance(source, Picture):
            source = self.picture(Path(source))
        if isinstance(source, Picture):
            source.check()
            return source
        return as_image(source)

    def open(self, path: Path) -> Sequence[Example]:
        """One picture, or every one of a folder, without labels.

        Broken ones are not left out: a prediction for each is asked for, so the first one is named.
        """
        if not path.is_dir():
            return [Example(id=path.name, input=self.read(path))]
        names = {file.relative_to(path).as_posix(): file for file in pictures_in(path)}
        if not names:
            raise DataError(f"{path}: holds no picture; known suffixes: {', '.join(SUFFIXES)}")
        return [Example(id=name, input=self.picture(file, name)) for name, file in names.items()]

    def picture(self, path: Path, name: str = "") -> Picture:
        """A file with this part's limit of pixels."""
        return Picture(str(path), name or path.name, self.reading.max_pixels)

    @property
    def augments(self) -> bool:
        """Whether the option `augment` asks for anything."""
        return self.reading.augment != "none"

    def augment(self, input: Any, rng: np.random.Generator) -> Any:
        """A training view by the option `augment`."""
        how: Any = self.reading.augment
        if how == "none":
            return input
        from headstart_vision.augment import augmented

        return augmented(as_image(input), how, rng)

    def excerpt(self, input: Any) -> str | None:
        """The file's name below the data's folder, never where that folder is."""
        return input.name if isinstance(input, Picture) else None


def pictures_in(folder: Path, extensions: Sequence[str] = SUFFIXES) -> list[Path]:
    """Pictures of a folder and the folders in it, told by suffix, in the order of their names; hidden ones are left out."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _is_shown(name)]
        found += [Path(parent, name) for name in files if _is_shown(name) and Path(name).suffix.lower() in extensions]
    return sorted(found)


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"  # a Mac's zip holds a "._x.jpg" that is no picture for each x.jpg
