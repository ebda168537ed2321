"""Labels: what a cell of a table says of a finding (there, not, uncertain, not known), and what uncertain ones count as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from headstart.errors import DataError, UsageError

Policy = Literal["ignore", "zeros", "ones"]
"""What an uncertain label counts as; U-Ignore, U-Zeros and U-Ones of CheXpert (Irvin et al. 2019, section 4)."""

_YES, _NO, _UNCERTAIN, _MISSING = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no"), ("-1", "-1.0"), ("", "nan")
_FORMULA = ("=", "+", "@")  # with "-" before a letter: a spreadsheet runs such a cell


@dataclass(frozen=True)
class Schema:
    """Which labels there are and what a cell means.

    Attributes:
        label: Column of one class of several; None = there are `labels`, or class folders.
        labels: Columns of findings, each 1, 0, -1 (uncertain) or empty (not known).
        uncertain: What -1 counts as, for each finding; "" = for all that are not named.
        names: New names of classes.
        classes: The only ones there may be, by their new names; None = those that occur.
    """

    label: str | None = None
    labels: tuple[str, ...] = ()
    uncertain: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None

    def named(self, word: str, where: str) -> str:
        """A class by its new name.

        Raises:
            DataError: It is not one of `classes`.
        """
        name = self.names.get(word, word)
        if self.classes is not None and name not in self.classes:
            raise DataError(f"{where}: the class '{name}' is not among data.classes: {', '.join(self.classes)}")
        return name

    def one(self, cell: str, where: str) -> str | None:
        """The class that a cell names; None = it is empty.

        Raises:
            DataError: It is -1, a formula, or no known class.
        """
        word = cell.strip()
        if word.lower() in _MISSING:
            return None
        check_plain(word, where)
        if word in _UNCERTAIN and word not in self.names:
            raise DataError(
                f"{where}: the label is -1, which means uncertain in CheXpert; read the column as a finding with "
                "`labels: [COLUMN]` and `uncertain: ignore`, zeros or ones, or give it a name in `names`"
            )
        return self.named(word, where)

    def several(self, cells: Mapping[str, str], where: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """The findings that are there, and those that nobody knows; None in place of the first = none is known.

        Raises:
            DataError: A cell is something else, or -1 without a policy.
        """
        states = {label: self._state(label, cell, f"{where}, column '{label}'") for label, cell in cells.items()}
        unknown = tuple(label for label, state in states.items() if state is None)
        there = tuple(label for label, state in states.items() if state)
        return (None if len(unknown) == len(states) else there), unknown

    def _state(self, label: str, cell: str, where: str) -> bool | None:
        word = cell.strip().lower()
        if word in _MISSING:
            return None
        if word in _YES or word in _NO:
            return word in _YES
        if word not in _UNCERTAIN:
            check_plain(word, where)
            raise DataError(f"{where}: '{word}' is no finding; it is 1, 0, -1 (uncertain) or empty (not known)")
        policy = self.uncertain.get(label, self.uncertain.get(""))
        if policy is None:
            raise DataError(f"{where}: -1 is uncertain; write what it counts as: `uncertain: ignore`, zeros or ones")
        return {"ignore": None, "zeros": False, "ones": True}[policy]


def make_schema(
    *,
    label: str | None,
    labels: Sequence[str] | None,
    uncertain: str | Mapping[str, str] | None,
    names: Mapping[str, str] | None,
    classes: Sequence[str] | None,
) -> Schema:
    """The schema of a data part's options.

    Raises:
        UsageError: Both or contradicting options are given, or a policy is none.
    """
    if label is not None and labels:
        raise UsageError("data.label names one class of several, data.labels several findings; write one of the two")
    policies = {"": uncertain} if isinstance(uncertain, str) else dict(uncertain or {})
    known = get_args(Policy)
    for name, policy in policies.items():
        if policy not in known:
            raise UsageError(f"data.uncertain: '{policy}' is none of {', '.join(known)}")
        if name and name not in (labels or ()):
            raise UsageError(f"data.uncertain: '{name}' is not among data.labels")
    return Schema(label, tuple(labels or ()), policies, dict(names or {}), tuple(classes) if classes else None)


def check_plain(word: str, where: str) -> None:
    """Refuse what a spreadsheet would run.

    Raises:
        DataError: It begins like a formula.
    """
    if word.startswith(_FORMULA) or (word.startswith("-") and word[1:2].isalpha()):
        raise DataError(f"{where}: a value begins like a formula of a spreadsheet; correct the table")
