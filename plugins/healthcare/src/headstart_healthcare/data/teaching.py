"""Teaching: what an earlier run says of uncertain findings, for training to aim at; U-SelfTrained of Irvin et al. 2019.

First a run by the policy "ignore", then `headstart predict RUN TABLE -o said.csv`, then a run by the policy "teacher".
"""

from __future__ import annotations

from collections.abc import Mapping

from headstart.errors import DataError, UsageError
from headstart.place import Place, locate
from headstart.tables import read_table
from headstart_healthcare.privacy.pseudonyms import pseudonyms

PROBABILITY = "p:"


def taught_by(teacher: Place | None) -> dict[str, dict[str, float]]:
    """Pseudonym -> finding -> probability, of a table that `headstart predict` wrote.

    Raises:
        UsageError: No table is named. DataError: It is none of `headstart predict`, or holds something else than probabilities.
    """
    if teacher is None:
        raise UsageError("data.uncertain: teacher wants data.teacher, the table that `headstart predict RUN TABLE -o` wrote")
    sheet = read_table(locate(teacher))
    names = [name for name in sheet.columns if name.startswith(PROBABILITY)]
    if "id" not in sheet.columns or not names:
        raise DataError(f"{sheet.source}: no table of `headstart predict`, which has the columns id and p:FINDING")
    columns = {name.removeprefix(PROBABILITY): sheet.column(name, "teacher") for name in names}
    found: dict[str, dict[str, float]] = {}
    for at, id in enumerate(sheet.column("id", "teacher")):
        found[str(id)] = {label: _share(values[at], f"{sheet.source}:{sheet.lines[at]}") for label, values in columns.items()}
    return found


def said_of(taught: Mapping[str, Mapping[str, float]], name: str, label: str, where: str) -> float:
    """What the teacher says of a finding of the file of this name.

    Raises:
        DataError: It says nothing of the file, or of the finding.
    """
    pseudonym = pseudonyms().of("scan", name)
    if label not in taught.get(pseudonym, {}):
        raise DataError(f"{where}: data.teacher says nothing of '{label}' of {pseudonym}; predict this table with that run")
    return taught[pseudonym][label]


def _share(cell: object, where: str) -> float:
    try:
        value = float(str(cell))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise DataError(f"{where}: data.teacher holds '{cell}' where a probability is read")
    return value
