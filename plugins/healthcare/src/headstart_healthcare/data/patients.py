"""Patients: which examples are of one person, by a column, a rule on names, or a DICOM tag; or "none", written out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headstart.errors import UsageError

NONE, TAG = "none", "PatientID"
TAGS = (TAG, "StudyInstanceUID")  # the second where numbers of patients were taken out: files of one examination


@dataclass(frozen=True)
class Patients:
    """How a patient is told.

    Attributes:
        column: Of the table.
        rule: Whose first group is searched in the path below the data's folder.
        tag: By a DICOM element, one of `TAGS`.
    """

    column: str | None = None
    rule: re.Pattern[str] | None = None
    tag: str | None = None

    @property
    def is_known(self) -> bool:
        """Examples have patients."""
        return self.column is not None or self.rule is not None or self.tag is not None

    def by_rule(self, path: str) -> str | None:
        """The rule's first group; None where it does not match."""
        match = self.rule.search(path) if self.rule else None
        return match.group(1) if match else None


def patients_of(group: str, *, has_table: bool, has_tags: bool) -> Patients:
    """What the option `group` says.

    Raises:
        UsageError: It is no regular expression, or a column without a table.
    """
    if group == NONE:
        return Patients()
    if group in TAGS and has_tags:
        return Patients(tag=group)
    if "(" in group:
        return Patients(rule=_rule(group))
    if not has_table:
        tag = f", '{TAG}' for the DICOM tag" if has_tags else ""
        raise UsageError(
            f"data.group: '{group}' is no rule, and there is no table with such a column; write a regular expression whose "
            f"first group in parentheses finds the patient in a path, such as '(person\\d+)'{tag}, or 'none' where nobody knows"
        )
    return Patients(column=group)


def _rule(pattern: str) -> re.Pattern[str]:
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"data.group: '{pattern}' is no regular expression: {error}") from error
    if not rule.groups:
        raise UsageError(f"data.group: '{pattern}' has no group in parentheses; for example '(person\\d+)'")
    return rule
