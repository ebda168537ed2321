"""Copying a recipe: the same text, comments and all, with relative places that lead to the same files from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.components import KINDS
from headstart.errors import HeadstartError
from headstart.located import Document, Key, read_document
from headstart.options import describe
from headstart.plugins import registry


def copied_text(source: Path, target: Path) -> str:
    """The text of `source` as it should stand at `target`.

    Raises:
        RecipeError: The source cannot be read.
    """
    document = read_document(source)
    lines = source.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    for way, place in _relative_places(document, source.parent):
        spot = document.values[way]
        line = lines[spot.line - 1]
        before, rest = line[: spot.column - 1], line[spot.column - 1 :]
        moved = os.path.relpath(source.parent / place, target.parent)  # with "..", which pathlib gives from Python 3.12 on
        lines[spot.line - 1] = before + rest.replace(place, Path(moved).as_posix(), 1)
    return "".join(lines)


def _relative_places(document: Document, base: Path) -> Iterator[tuple[Key, str]]:
    for way, value in _places(document):
        if isinstance(value, str) and value and not Path(value).is_absolute() and (base / value).exists():
            yield way, value


def _places(document: Document) -> Iterator[tuple[Key, Any]]:
    """Ways and values of the options that name files; parts that are not installed are passed over."""
    sections = document.data if isinstance(document.data, dict) else {}
    for kind in KINDS:
        section = sections.get(kind)
        if not isinstance(section, dict) or not isinstance(section.get("use"), str):
            continue
        try:
            options = describe(registry().find(kind, section["use"])).options
        except HeadstartError:
            continue
        for option in options:
            if option.has_place and option.name in section:
                yield (kind, option.name), section[option.name]
