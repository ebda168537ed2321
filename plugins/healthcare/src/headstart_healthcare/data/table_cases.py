"""Cases out of a table: one row for each picture or volume, with its labels, patient, site and subgroups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.builtin.columns import LABEL_NAMES, named_like
from headstart.errors import DataError
from headstart.place import Place
from headstart.tables import SUFFIXES, Cell, Sheet, read_table
from headstart_healthcare.data.ages import age_band
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.labels import Schema, check_plain, drawn
from headstart_healthcare.data.patients import Patients
from headstart_healthcare.data.teaching import said_of, taught_by
from headstart_healthcare.heads.findings import Findings

PATH_NAMES = ("file_name", "filename", "file", "path", "image_path", "image", "picture", "scan", "volume")
MakeInput = Callable[[Path, str], Any]
"""A file and the key of its pseudonym -> what reads it."""

Expand = Callable[[str], Sequence[str]]
"""What a row names -> the paths of its files."""


@dataclass(frozen=True)
class RowPlan:
    """Which columns make a case.

    Attributes:
        file: Column of paths; None = told by its name.
        site: Column of where it was taken.
        age: Column of ages in years; cases get a band.
        subgroups: Further columns: sex, scanner, view.
        split: Column that says train, val or test.
        teacher: Table of `headstart predict` whose probabilities uncertain findings get by the policy "teacher".
    """

    file: str | None = None
    site: str | None = None
    age: str | None = None
    subgroups: tuple[str, ...] = ()
    split: str | None = None
    teacher: Place | None = None
    labels: Schema = field(default_factory=Schema)
    patients: Patients = field(default_factory=Patients)


def is_table(path: Path) -> bool:
    """Told by its suffix."""
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower() in SUFFIXES


def cases_in(
    table: Path, root: Path, plan: RowPlan, make: MakeInput, expand: Expand = lambda name: (name,), *, training: bool = True
) -> list[Case]:
    """A case for each row and file, in their order.

    Args:
        table: csv, tsv, jsonl or parquet.
        root: Folder that paths in the table begin from, and that none may lead out of.
        plan: Columns.
        make: Makes the input.
        expand: Paths of a row's files; none = the row is set aside as missing.
        training: Columns of labels have to be there.

    Raises:
        DataError: A column is absent, a label is none, or one file stands in two rows; names file and line.
    """
    sheet = read_table(table)
    files = _texts(sheet, _file_column(sheet, plan), "picture")
    labels = _labels(sheet, files, plan, training=training)
    patients = _optional(sheet, plan.patients.column, "group", training=training)
    splits = _optional(sheet, plan.split, "split", training=training)
    subgroups = _subgroups(sheet, plan, training=training)
    _check_once(sheet, files, labels)
    found = []
    for i, name in enumerate(files):
        target, unknown = labels[i]
        patient = patients[i] or plan.patients.by_rule(name)
        facts = {column: values[i] for column, values in subgroups.items() if values[i]}
        for path in expand(name) or (name,):
            fault = "" if _is_inside(root, path) else "outside"
            found.append(Case(path, make(root / path, path), target, unknown, patient, splits[i] or None, facts, fault))
    return found


def _file_column(sheet: Sheet, plan: RowPlan) -> str:
    found = plan.file or named_like(list(sheet.columns), PATH_NAMES)
    if found is None:
        raise DataError(f"{sheet.source}: no column looks like a path; name it with `picture: COLUMN`; columns: {_all(sheet)}")
    return found


def _labels(sheet: Sheet, files: Sequence[str], plan: RowPlan, *, training: bool) -> list[tuple[Any, tuple[str, ...]]]:
    """Target and unknown findings of each row."""
    schema = plan.labels
    if schema.labels:
        columns = {label: _optional(sheet, label, "labels", training=training) for label in schema.labels}
        taught = taught_by(plan.teacher) if training and "teacher" in schema.uncertain.values() else {}
        return [
            _findings(schema, {label: values[i] for label, values in columns.items()}, f"{sheet.source}:{line}", name, taught)
            for i, (line, name) in enumerate(zip(sheet.lines, files, strict=True))
        ]
    column = schema.label or named_like(list(sheet.columns), LABEL_NAMES)
    if column is None and training:
        raise DataError(f"{sheet.source}: no column looks like a label; name it with `label: COLUMN`; columns: {_all(sheet)}")
    cells = _optional(sheet, column, "label", training=training)
    lines = zip(cells, sheet.lines, strict=True)
    return [(schema.one(cell, f"{sheet.source}:{line}, column '{column}'"), ()) for cell, line in lines]


def _findings(
    schema: Schema, cells: Mapping[str, str], where: str, name: str, taught: Mapping[str, Mapping[str, float]]
) -> tuple[Any, tuple[str, ...]]:
    there, unknown, doubtful = schema.several(cells, where)
    if there is None:
        return None, unknown
    third = [label for label, policy in doubtful.items() if policy == "multiclass"]
    soft = {label: drawn(policy, name, label) for label, policy in doubtful.items() if policy.startswith("smooth")}
    if taught:
        soft |= {label: said_of(taught, name, label, where) for label, policy in doubtful.items() if policy == "teacher"}
    return Findings(there, unknown, soft, third), unknown


def _subgroups(sheet: Sheet, plan: RowPlan, *, training: bool) -> dict[str, list[str]]:
    found = {name: _optional(sheet, name, "subgroups", training=training) for name in plan.subgroups}
    if plan.site is not None:
        found["site"] = _optional(sheet, plan.site, "site", training=training)
    if plan.age is not None:
        found["age"] = [age_band(age) for age in _optional(sheet, plan.age, "age", training=training)]
    for name, values in found.items():
        for value, line in zip(values, sheet.lines, strict=True):
            check_plain(value, f"{sheet.source}:{line}, column '{name}'")
    return found


def _check_once(sheet: Sheet, files: Sequence[str], labels: Sequence[Any]) -> None:
    """Refuse rows that cannot be told apart.

    Raises:
        DataError: Two rows name one file, with one label or with two.
    """
    first: dict[str, int] = {}
    for i, name in enumerate(files):
        if not name:
            raise DataError(f"{sheet.source}:{sheet.lines[i]}: names no file")
        if (other := first.setdefault(name, i)) != i:
            conflict = "with different labels" if labels[other] != labels[i] else "with the same label"
            lines = f"lines {sheet.lines[other]} and {sheet.lines[i]}"
            raise DataError(f"{sheet.source}: {lines} name one file, {conflict}; each file has one row")


def _is_inside(root: Path, name: str) -> bool:
    return (root / name).resolve().is_relative_to(root.resolve())


def _optional(sheet: Sheet, column: str | None, option: str, *, training: bool) -> list[str]:
    if column is None or (not training and column not in sheet.columns):
        return [""] * len(sheet)
    return _texts(sheet, column, option)


def _texts(sheet: Sheet, column: str, option: str) -> list[str]:
    return [_text(cell) for cell in sheet.column(column, option)]


def _text(cell: Cell) -> str:
    return " ".join(cell).strip() if isinstance(cell, tuple) else (cell or "").strip()


def _all(sheet: Sheet) -> str:
    return ", ".join(sheet.columns)
