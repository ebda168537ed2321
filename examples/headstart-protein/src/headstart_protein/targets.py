"""Targets: what a record's label is in the terms of the task."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from headstart import Example, Target, errors

from headstart_protein.alphabet import Cleaned
from headstart_protein.fasta import SEPARATOR, Record

Kind = Literal["class", "labels", "number", "residues"]
UNLABELLED = "-"
"""Label of a residue of which nothing is known: it counts neither in the loss nor in the scores."""


def read_target(text: str | None, kind: Kind, record: Record, cleaned: Cleaned) -> Any:
    """A label as it stands in a file in the terms of the task; None = there is none.

    Raises:
        DataError: It is no number, or not one letter for each residue; names file and line.
    """
    if text is None or (not text.strip() and kind != "labels"):
        return None
    if kind == "residues":
        return _of_residues(text, record, cleaned)
    if kind == "number":
        return _number(text.strip(), record)
    if kind == "labels":
        return tuple(sorted({part.strip() for part in text.split(SEPARATOR) if part.strip()}, key=natural_key))
    return text.strip()


def target_of(examples: Sequence[Example], kind: Kind) -> Target:
    """The kind, and the labels that occur, in natural order."""
    if kind == "number":
        return Target(kind)
    targets = [example.target for example in examples if example.target is not None]
    seen = set(targets) if kind == "class" else {label for target in targets for label in target}
    return Target(kind, tuple(sorted(seen - ({UNLABELLED} if kind == "residues" else set()), key=natural_key)))


def natural_key(label: str) -> tuple[Any, ...]:
    """Digits in names by value: class2 before class10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", label) if part)


def _of_residues(text: str, record: Record, cleaned: Cleaned) -> tuple[str, ...]:
    """One letter a residue, for the text as given or for its residues alone."""
    if len(text) == len(cleaned.sequence):
        return tuple(text)
    if len(text) == len(record.sequence):
        return tuple(text[at] for at in cleaned.kept)
    raise errors.DataError(
        f"{record.where}: {len(text)} labels for a sequence of {len(record.sequence)} letters; write one letter for each "
        f"residue, '{UNLABELLED}' where nothing is known"
    )


def _number(text: str, record: Record) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.DataError(f"{record.where}: the label '{text}' is no number; use `kind: class`, or correct the row")
    return number
