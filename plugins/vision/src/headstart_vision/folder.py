"""The data part `vision/folder`: pictures in class folders, with or without splits, or beside a metadata file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from headstart.builtin.columns import Columns, Reader
from headstart.errors import DataError
from headstart.example import Example
from headstart.place import Place, locate
from headstart.tables import read_table
from headstart_vision.picture_data import PictureData, Reading, pictures_in
from headstart_vision.pictures import SUFFIXES
from headstart_vision.rows import PictureRows, check_unique, dropped_rows
from headstart_vision.tree import Branch, branches_of, check_splits, class_folders, group_of, group_rule


class Folder(PictureData):
    """Pictures in a tree of folders: CLASS/picture.jpg, or train/CLASS/picture.jpg beside val/ and test/.

    A file metadata.csv or metadata.jsonl in the folder, or in each split's, with a column file_name and one for the label
    (the form of Hugging Face's imagefolder) takes the place of class folders.

    Augmentation is for backbones that train: of a frozen one the features are computed once, without it.

    Args:
        path: The folder.
        splits: Which folder is which split, where its name does not say so: {"val": "test"}. Known names in any case:
            train, training, val, valid, validation, dev, development, test, testing.
        names: New names of classes: {"glioma_tumor": "glioma"}.
        positive: Of two classes the one that counts as positive; by its new name.
        label: Column of the label in the metadata file. None = guessed and reported.
        group: Regular expression whose first group, found in the file's name, says which pictures belong together and
            are never in two splits: "(person\\d+|IM-\\d+)".
        extensions: Suffixes of pictures. None = jpg, jpeg, png, bmp, gif, tif, tiff, webp.
        rows: Use only that many pictures, each class with its share. None = all.
        seed: Chooses the pictures of `rows`.
        augment: What training views are: "light" = a crop of 80% or more, mirrored or not; "standard" = of 8% or more;
            "trivial-augment" and "random-erasing" add to that. "none" where left and right or small parts matter.
        max_pixels: Pictures with more are refused, judged by their header.
        max_bad: Share of the pictures that may be broken; they are left out and named. 0 = none may.
    """

    modality = "image"
    target_kinds = ("class",)

    def __init__(
        self,
        *,
        path: Place,
        splits: dict[str, str] | None = None,
        names: dict[str, str] | None = None,
        positive: str | None = None,
        label: str | None = None,
        group: str | None = None,
        extensions: list[str] | None = None,
        rows: int | None = None,
        seed: int = 0,
        augment: Literal["none", "light", "standard", "trivial-augment", "random-erasing"] = "none",
        max_pixels: int = 40_000_000,
        max_bad: float = 0.01,
    ) -> None:
        self.place, self.label, self.group = path, label, group_rule(group)
        self.splits, self.names = check_splits(splits or {}), dict(names or {})
        self.extensions = tuple(f".{word.lower().lstrip('.')}" for word in extensions) if extensions else SUFFIXES
        self.reading = Reading(augment, max_pixels, max_bad, rows, seed, positive)

    def listed(self) -> tuple[list[Example], dict[str, Any]]:
        """Every picture of the tree, classes and files in the order of their names."""
        root = locate(self.place)
        branches = branches_of(root, self.splits)
        found: list[Example] = []
        facts: dict[str, Any] = {"layout": _layout(branches), "notes": [f"{root}: {_layout(branches)}."]}
        for branch in branches:
            found += self._with_metadata(root, branch, facts) if branch.metadata else self._by_class(root, branch)
        self._check_names(found)
        return [_renamed(example, self.names) for example in found], {**facts, **_groups(found, self.group)}

    def open(self, path: Path) -> Sequence[Example]:
        """One picture; or all of a folder, with labels where it has class folders or a metadata file."""
        branches = branches_of(path, {}) if path.is_dir() else []
        if not any(branch.metadata for branch in branches) and not _has_classes(path, self.extensions):
            return super().open(path)
        found: list[Example] = []
        for branch in branches:
            found += self._with_metadata(path, branch, {}) if branch.metadata else self._by_class(path, branch)
        return [_renamed(example, self.names) for example in found]

    def _by_class(self, root: Path, branch: Branch) -> list[Example]:
        pairs = class_folders(branch, self.extensions)
        return [self._example(root, path, name, branch.split) for name, path in pairs]

    def _example(self, root: Path, path: Path, label: str | None, split: str | None) -> Example:
        name = path.relative_to(root).as_posix()
        meta = {"split": split} if split else {}
        return Example(name, self.picture(path, name), label, group_of(self.group, path), meta)

    def _with_metadata(self, root: Path, branch: Branch, facts: dict[str, Any]) -> list[Example]:
        """Rows of one metadata file; the id of a picture is its path below the root."""
        sheet = read_table(branch.metadata or branch.folder)
        rows = PictureRows(Columns(text=("file_name",), label=self.label), self.reading.max_pixels, {})
        reader = Reader(rows.filled(sheet))
        found = rows.examples(reader, sheet, branch.folder, split=branch.split)
        check_unique(found)
        if rows.guessed:
            facts["notes"] = [
                *facts.get("notes", ()),
                f"It takes the label from the column '{rows.guessed['label']}': a guess.",
            ]
        if dropped_rows(reader):
            facts["dropped"] = {**facts.get("dropped", {}), **dropped_rows(reader)}
        paths = ((example, Path(example.input.path)) for example in found)
        return [self._example(root, path, example.target, branch.split) for example, path in paths]

    def _check_names(self, found: Sequence[Example]) -> None:
        labels = sorted({example.target for example in found})
        absent = next((name for name in self.names if name not in labels), None)
        if absent is not None:
            raise DataError(f"no class '{absent}' (data.names); classes before renaming: {', '.join(labels[:20])}")


def _renamed(example: Example, names: Mapping[str, str]) -> Example:
    if example.target not in names:
        return example
    return Example(example.id, example.input, names[example.target], example.group, example.meta)


def _layout(branches: Sequence[Branch]) -> str:
    what = "pictures with a metadata file" if branches[0].metadata else "pictures in class folders"
    given = ", ".join(f"{branch.folder.name}/ as {branch.split}" for branch in branches if branch.split)
    return f"{what}, split by folder ({given})" if given else what


def _groups(found: Sequence[Example], rule: re.Pattern[str] | None) -> dict[str, Any]:
    """How many groups there are, and a warning where the rule leaves pictures without one.

    Raises:
        DataError: It matches no file's name.
    """
    if rule is None:
        return {}
    groups = Counter(example.group for example in found)
    alone = groups.pop(None, 0)
    if not groups:
        raise DataError(f"data.group: '{rule.pattern}' matches no file's name; the first is '{Path(found[0].input.path).name}'")
    told = {"warnings": [f"The rule for groups matches {alone:,} file names not; each of them stands alone."]} if alone else {}
    return {"groups": len(groups), **told}


def _has_classes(folder: Path, extensions: Sequence[str]) -> bool:
    return folder.is_dir() and any(child.is_dir() and pictures_in(child, extensions) for child in folder.iterdir())
