"""From rows to examples: which column is the text, the label, the group; what is dropped, and the labels in natural order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.quotas import largest_remainder
from headstart.tables import Cell, Sheet

BAD = object()
"""The target of a row whose label cannot be read."""

LabelKind = Literal["class", "labels", "number"]

TEXT_NAMES = ("text", "review", "sentence", "content", "comment", "body", "message", "tweet", "document", "question", "title")
LABEL_NAMES = ("label", "labels", "target", "class", "sentiment", "category", "y", "rating", "score")
GROUP_NAMES = ("patient_id", "patient", "subject_id", "subject", "author_id", "author", "user_id", "user", "group_id", "group")


@dataclass(frozen=True)
class Columns:
    """The columns that make an example; None = there is none, or it is to be guessed (`text`, `label`)."""

    text: tuple[str, ...] | None = None
    label: str | None = None
    kind: LabelKind = "class"
    label_separator: str = "|"
    group: str | None = None
    time: str | None = None
    id: str | None = None
    split: str | None = None
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


def columns_of(
    text: str | Sequence[str] | None, where: Mapping[str, str | Sequence[str]] | None, names: Mapping[str, str] | None
) -> dict[str, Any]:
    """The options that may be given in two forms, in the one form that `Columns` holds."""
    one = (text,) if isinstance(text, str) else tuple(text) if text else None
    kept = {name: (str(value),) if not isinstance(value, (list, tuple)) else value for name, value in (where or {}).items()}
    return {
        "text": one,
        "where": {name: tuple(str(value) for value in values) for name, values in kept.items()},
        "names": dict(names or {}),
    }


def guess(sheet: Sheet, columns: Columns) -> tuple[Columns, dict[str, str]]:
    """Columns with text and label filled in where they were left out, and what was guessed, for the report.

    Raises:
        DataError: Nothing looks like a text or a label.
    """
    guessed: dict[str, str] = {}
    if columns.label is None:
        guessed["label"] = _guess_label(sheet, columns)
    if columns.text is None:
        taken = {columns.label or guessed["label"], columns.group, columns.time, columns.id, columns.split, *columns.where}
        guessed["text"] = guess_text(sheet, taken)
    return replace(columns, text=columns.text or (guessed["text"],), label=columns.label or guessed["label"]), guessed


def guess_open(sheet: Sheet, columns: Columns) -> Columns:
    """The same guesses for a file that may have no label, where the training data were not read."""
    taken = {columns.group, columns.time, columns.id, columns.split, *(columns.text or ())}
    label = columns.label or named_like([name for name in sheet.columns if name not in taken], LABEL_NAMES)
    return replace(columns, text=columns.text or (guess_text(sheet, {label, *taken}),), label=label)


def guess_text(sheet: Sheet, taken: set[str | None]) -> str:
    """The column of the inputs: by its name, else the one with the longest values."""
    free = [name for name in sheet.columns if name not in taken]
    named = named_like(free, TEXT_NAMES)
    if named:
        return named
    lengths = {name: _mean_length(sheet.columns[name]) for name in free}
    if not lengths or max(lengths.values()) == 0:
        raise DataError(
            f"{sheet.source}: no column looks like a text ({', '.join(sheet.columns)}); name it with `text: COLUMN`"
        )
    return max(lengths, key=lambda name: lengths[name])


def _guess_label(sheet: Sheet, columns: Columns) -> str:
    taken = {columns.group, columns.time, columns.id, columns.split, *(columns.text or ())}
    named = named_like([name for name in sheet.columns if name not in taken], LABEL_NAMES)
    if named:
        return named
    raise DataError(
        f"{sheet.source}: no column looks like a label; name it with `label: COLUMN`; columns: {', '.join(sheet.columns)}"
    )


def named_like(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first column whose name is one of `names`, in the order of `names`, whatever its case."""
    lower = {column.lower().replace(" ", "_").replace("-", "_"): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def _mean_length(values: Sequence[Cell]) -> float:
    sample = values[:200]
    return sum(len(value) for value in sample if isinstance(value, str)) / max(len(sample), 1)


def join_text(pieces: Sequence[Cell]) -> str:
    """The text of one row: its columns, stripped, one below the other; empty ones leave no line."""
    flat = (" ".join(piece) if isinstance(piece, tuple) else piece for piece in pieces if piece)
    return "\n".join(stripped for piece in flat if (stripped := piece.strip()))


class Reader:
    """Makes the examples of one or more sheets with the same columns, and counts what it leaves out.

    Args:
        columns: With the column of the text.
        bad: Gets the rows whose label cannot be read, by file and line, with the reason; None = the first one is an error.
    """

    def __init__(self, columns: Columns, bad: dict[str, str] | None = None) -> None:
        if columns.text is None:
            raise DataError("the text column is not known yet")
        self.columns, self.bad = columns, bad
        self.texts = columns.text
        self.dropped: Counter[str] = Counter()
        self.seen: set[str] = set()

    def check_names(self) -> None:
        """Called when all sheets were read.

        Raises:
            DataError: `names` renames a label that does not occur.
        """
        absent = [label for label in self.columns.names if label not in self.seen]
        if absent:
            known = sorted(self.seen, key=natural_key)
            raise DataError(f"no label '{absent[0]}' (data.names); labels before renaming: {', '.join(known[:20])}")

    def _named(self, label: str) -> str:
        self.seen.add(label)
        return self.columns.names.get(label, label)

    def examples(
        self, sheet: Sheet, *, prefix: str | None = None, split: str | None = None, training: bool = True
    ) -> list[Example]:
        """Examples in the order of the rows. `training` = a label is needed; else it may be absent, and `where` is not applied.

        Raises:
            DataError: A column is absent, a number is none, or an id stands twice.
        """
        inputs = [join_text(row) for row in zip(*(sheet.column(name, "text") for name in self.texts), strict=True)]
        targets = self._targets(sheet, training)
        ids = self._ids(sheet, prefix or sheet.stem, training)
        groups = self._texts(sheet, self.columns.group, "group", training)
        metas = self._metas(sheet, split, training)
        kept = self._kept(sheet) if training else [True] * len(sheet)
        found: list[Example] = []
        for i, text in enumerate(inputs):
            if kept[i] and not self._is_left_out(text, targets[i], training):
                found.append(Example(ids[i], text, targets[i], groups[i], metas[i]))
        return found

    def _is_left_out(self, text: str, target: Any, training: bool) -> bool:
        if target is BAD:
            return True
        reason = "empty text" if not text else "no label" if training and target is None else ""
        if reason:
            self.dropped[reason] += 1
        return bool(reason)

    def _kept(self, sheet: Sheet) -> list[bool]:
        kept = [True] * len(sheet)
        for name, values in self.columns.where.items():
            wanted = set(values)
            pairs = zip(kept, sheet.column(name, "where"), strict=True)
            kept = [is_kept and (value.strip() if isinstance(value, str) else value) in wanted for is_kept, value in pairs]
        if not any(kept):
            raise DataError(
                f"{sheet.source}: no row is left by where {_listed(self.columns.where)}; {_seen(sheet, self.columns.where)}"
            )
        self.dropped["not in where"] += kept.count(False)
        return kept

    def _texts(self, sheet: Sheet, name: str | None, option: str, training: bool) -> Sequence[str | None]:
        if name is None or (not training and name not in sheet.columns):
            return [None] * len(sheet)
        return [_plain(value) for value in sheet.column(name, option)]

    def _ids(self, sheet: Sheet, prefix: str, training: bool) -> list[str]:
        if self.columns.id is None or (not training and self.columns.id not in sheet.columns):
            return [f"{prefix}:{number}" for number in range(1, len(sheet) + 1)]
        ids = [_plain(value) or "" for value in sheet.column(self.columns.id, "id")]
        for line, id in zip(sheet.lines, ids, strict=True):
            if not id:
                raise DataError(f"{sheet.source}:{line}: the id column '{self.columns.id}' is empty")
        twice = next((id for id, count in Counter(ids).items() if count > 1), None)
        if twice is not None:
            at = [str(line) for line, id in zip(sheet.lines, ids, strict=True) if id == twice]
            raise DataError(
                f"{sheet.source}: the id '{twice}' stands more than once, in lines {', '.join(at[:5])}; ids must be unique"
            )
        return ids

    def _metas(self, sheet: Sheet, split: str | None, training: bool) -> list[Mapping[str, Any]]:
        given = [split] * len(sheet) if split else self._texts(sheet, self.columns.split, "split", training)
        times = self._texts(sheet, self.columns.time, "time", training)
        pairs = ({"split": a, "time": b} for a, b in zip(given, times, strict=True))
        return [{key: value for key, value in pair.items() if value is not None} for pair in pairs]

    def _targets(self, sheet: Sheet, training: bool) -> list[Any]:
        name = self.columns.label
        if name is None or (not training and name not in sheet.columns):
            return [None] * len(sheet)
        values = zip(sheet.column(name, "label"), sheet.lines, strict=True)
        return [self._target(value, sheet, line) for value, line in values]

    def _target(self, value: Cell, sheet: Sheet, line: int) -> Any:
        parse = {"class": self._label, "labels": self._labels, "number": self._number}[self.columns.kind]
        try:
            return parse(value, sheet, line)
        except DataError as error:
            if self.bad is None:
                raise
            self.bad[f"{sheet.source}:{line}"] = str(error)
            return BAD

    def _label(self, value: Cell, sheet: Sheet, line: int) -> str | None:
        if isinstance(value, tuple):
            raise DataError(f"{sheet.source}:{line}: holds a list of labels; use `kind: labels` to predict several at once")
        label = _plain(value)
        return None if label is None else self._named(label)

    def _labels(self, value: Cell, sheet: Sheet, line: int) -> tuple[str, ...] | None:
        if value is None:
            return None
        parts = value if isinstance(value, tuple) else value.split(self.columns.label_separator)
        named = (self._named(part.strip()) for part in parts if part.strip())
        return tuple(sorted(set(named), key=natural_key))  # an empty cell is the empty set: none of the labels

    def _number(self, value: Cell, sheet: Sheet, line: int) -> float | None:
        text = _plain(value) if not isinstance(value, tuple) else " ".join(value)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not np.isfinite(number):
            raise DataError(f"{sheet.source}:{line}: the label '{text}' is no number; use `kind: class`, or correct the row")
        return number


def _plain(value: Cell) -> str | None:
    text = " ".join(value) if isinstance(value, tuple) else value
    return (text.strip() or None) if text is not None else None


def _listed(where: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(values) or 'nothing'}" for name, values in where.items())


def _seen(sheet: Sheet, where: Mapping[str, Sequence[str]]) -> str:
    tops = (f"{name}: {', '.join(str(value) for value in list(dict.fromkeys(sheet.columns[name]))[:6])}" for name in where)
    return "seen: " + "; ".join(tops)


def natural_key(label: str) -> tuple[Any, ...]:
    """Sorts numbers by value and digits inside names by value: 2 < 10, class_2 < class_10, else by text."""
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", label):
        return (0, float(label), label)
    parts = re.split(r"(\d+)", label)
    return (1, [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], label)


def target_of(examples: Sequence[Example], kind: LabelKind, positive: str | None) -> Target:
    """What is predicted, with the labels that occur, in natural order.

    Raises:
        DataError: `positive` names a label that does not occur.
    """
    if kind == "number":
        return Target("number")
    seen = {label for example in examples if example.target is not None for label in _as_set(example.target)}
    labels = tuple(sorted(seen, key=natural_key))
    if positive is not None and positive not in labels:
        close = get_close_matches(positive, labels, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise DataError(f"no label '{positive}' (data.positive); {hint}labels: {', '.join(labels[:20])}")
    return Target(kind, labels, positive)


def _as_set(target: Any) -> tuple[str, ...]:
    return target if isinstance(target, tuple) else (target,)


def check_rows(rows: int | None) -> None:
    """Called as a data part is made, so that nothing is read in vain.

    Raises:
        UsageError: `rows` is no number of rows to keep.
    """
    if rows is not None and rows < 1:
        raise UsageError(f"the data's option rows is {rows}; it must be at least 1, or null for all of them")


def subset(examples: Sequence[Example], rows: int, seed: int) -> list[Example]:
    """`rows` examples in their old order, each class and given split with its share (largest remainder).

    Raises:
        DataError: There are fewer.
    """
    if not 0 < rows <= len(examples):
        raise DataError(f"rows: {rows} asked for, {len(examples)} usable; name a number from 1 to {len(examples)}")
    strata: dict[tuple[Any, Any], list[int]] = {}
    for index, example in enumerate(examples):
        label = example.target if isinstance(example.target, str) else None
        strata.setdefault((label, example.meta.get("split")), []).append(index)
    rng = np.random.default_rng(seed)
    quotas = largest_remainder([len(members) for members in strata.values()], rows)
    picked = [int(i) for members, n in zip(strata.values(), quotas, strict=True) for i in rng.permutation(members)[:n]]
    return [examples[i] for i in sorted(picked)]
