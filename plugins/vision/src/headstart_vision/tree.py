"""Trees of pictures: class folders with or without split folders above them, or a metadata file beside the pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import DataError, UsageError
from headstart.folders import look_at_tree
from headstart.split import WORDS
from headstart_vision.picture_data import pictures_in

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # names that Hugging Face's imagefolder knows


@dataclass(frozen=True)
class Branch:
    """A folder of one split: of class folders, or with a metadata file.

    Attributes:
        split: "train", "val" or "test"; None = the tree has no splits.
    """

    folder: Path
    split: str | None = None

    @property
    def metadata(self) -> Path | None:
        """Its metadata file, if it has one."""
        return next((self.folder / name for name in METADATA if (self.folder / name).is_file()), None)


def branches_of(root: Path, splits: Mapping[str, str]) -> list[Branch]:
    """The folders of splits, in the order of their names, else the root itself.

    Args:
        root: Of the tree.
        splits: Folder -> split, beside the usual names ("Training", "valid", "test" ... in any case).

    Raises:
        DataError: There is no such folder, or `splits` names one that is absent.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder (data.path; looked from {Path.cwd()})")
    absent = [name for name in splits if not (root / name).is_dir()]
    if absent:
        raise DataError(f"{root}: has no folder '{absent[0]}' (data.splits); it has: {', '.join(_names(root))}")
    found = [Branch(root / name, split) for name in _names(root) if (split := _split_of(name, splits))]
    branches = [branch for branch in found if branch.metadata or _names(branch.folder)]
    is_split = branches and not Branch(root).metadata
    return branches if is_split else [Branch(root)]


def class_folders(branch: Branch, extensions: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Class and path of every picture below class folders.

    Raises:
        DataError: There are none; the message shows what is expected.
    """
    pairs = [(name, path) for name in _names(branch.folder) for path in pictures_in(branch.folder / name, extensions)]
    if not pairs:
        look_at_tree(branch.folder)  # says what it found instead
        raise DataError(f"{branch.folder}: holds no picture with one of the suffixes {', '.join(extensions)}")
    yield from pairs


def check_splits(splits: Mapping[str, str]) -> dict[str, str]:
    """Folder -> "train", "val" or "test".

    Raises:
        UsageError: A word is none of these.
    """
    wrong = next((word for word in splits.values() if word not in WORDS.values()), None)
    if wrong is not None:
        raise UsageError(f"data.splits: a folder is train, val or test, not '{wrong}'")
    return dict(splits)


def group_rule(pattern: str | None) -> re.Pattern[str] | None:
    """The regular expression whose first group names who belongs together.

    Raises:
        UsageError: It is none, or has no group.
    """
    if pattern is None:
        return None
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.group: '{pattern}' is no regular expression: {error}") from error
    if not rule.groups:
        raise UsageError(f"data.group: '{pattern}' has no group in parentheses; for example 'person(\\d+)'")
    return rule


def group_of(rule: re.Pattern[str] | None, path: Path) -> str | None:
    """The rule's first group in the file's name; None where it does not match."""
    match = rule.search(path.name) if rule else None
    return match.group(1) if match else None


def _split_of(name: str, splits: Mapping[str, str]) -> str | None:
    return splits.get(name) or WORDS.get(name.lower())


def _names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith((".", "__MACOSX")))
