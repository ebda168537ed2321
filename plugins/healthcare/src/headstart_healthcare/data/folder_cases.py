"""Cases out of class folders, with or without folders of splits above them; patients by a rule on the path."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from headstart.errors import DataError
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.labels import Schema
from headstart_healthcare.data.patients import Patients
from headstart_healthcare.data.table_cases import MakeInput
from headstart_vision.tree import branches_of

IsWanted = Callable[[Path], bool]


def files_in(folder: Path, is_wanted: IsWanted) -> list[Path]:
    """Files of a folder and of the folders in it, in the order of their names; hidden ones are left out."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        paths = (Path(parent, name) for name in files if not name.startswith("."))
        found += [path for path in paths if is_wanted(path)]
    return sorted(found)


def cases_below(  # noqa: PLR0917 - where, and the four things that decide what a case is
    root: Path, splits: Mapping[str, str], schema: Schema, patients: Patients, is_wanted: IsWanted, make: MakeInput
) -> list[Case]:
    """A case for each file below its class's folder.

    Raises:
        DataError: There is no such folder, it has no class folders, or the rule finds no patient in any path.
    """
    found = []
    for branch in branches_of(root, splits):
        for label in sorted(child.name for child in branch.folder.iterdir() if child.is_dir() and child.name[0] not in "._"):
            for path in files_in(branch.folder / label, is_wanted):
                key = path.relative_to(root).as_posix()
                target = schema.named(label, "a class folder")
                found.append(Case(key, make(path, key), target, patient=patients.by_rule(key), split=branch.split))
    if not found:
        raise DataError(f"{root}: holds no class folders with files that can be read; expected CLASS/file or train/CLASS/file")
    if patients.rule is not None and not any(case.patient for case in found):
        raise DataError(f"data.group: '{patients.rule.pattern}' finds a patient in none of {len(found):,} paths")
    return found
