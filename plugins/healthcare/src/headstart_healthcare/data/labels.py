"""Labels: what a cell of a table says of a finding (there, not, uncertain, not known), and what uncertain ones count as."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

from headstart.errors import DataError, UsageError

Policy = Literal["ignore", "zeros", "ones", "smooth", "multiclass", "teacher"]
"""What an uncertain label counts as: U-Ignore, U-Zeros, U-Ones, U-MultiClass and, by a teacher, U-SelfTrained of CheXpert
(Irvin et al. 2019, section 4), and U-Ones with label smoothing (Pham et al. 2021, section 3.3)."""

SMOOTH = (0.55, 0.85)  # of U-Ones; Pham et al. 2021. Of U-Zeros they draw from 0 to 0.3
_SMOOTH = re.compile(r"smooth(?:\(\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\))?")

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

    def several(self, cells: Mapping[str, str], where: str) -> tuple[tuple[str, ...] | None, tuple[str, ...], dict[str, str]]:
        """The findings that are there, those that nobody knows, and of these the ones that training makes something of, with
        the policy; None in place of the first = nothing is known, and training makes nothing of any.

        Raises:
            DataError: A cell is something else, or -1 without a policy.
        """
        states = {label: self._state(label, cell, f"{where}, column '{label}'") for label, cell in cells.items()}
        doubtful = {label: state for label, state in states.items() if isinstance(state, str)}
        unknown = tuple(label for label, state in states.items() if state is None or label in doubtful)
        there = tuple(label for label, state in states.items() if state is True)
        return (None if len(unknown) == len(states) and not doubtful else there), unknown, doubtful

    def _state(self, label: str, cell: str, where: str) -> bool | str | None:
        """Whether it is there; None = nobody knows; else the policy by which training makes something of it."""
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
        decided: dict[str, bool | str | None] = {"ignore": None, "zeros": False, "ones": True}
        return decided.get(policy, policy)


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
            smooth_range(policy)
        if name and name not in (labels or ()):
            raise UsageError(f"data.uncertain: '{name}' is not among data.labels")
    return Schema(label, tuple(labels or ()), policies, dict(names or {}), tuple(classes) if classes else None)


def smooth_range(policy: str) -> tuple[float, float]:
    """From where to where the policy "smooth" or "smooth(LOW, HIGH)" draws the probability that is aimed at.

    Raises:
        UsageError: It is no such policy.
    """
    found = _SMOOTH.fullmatch(policy.strip())
    if found is None:
        raise UsageError(f"data.uncertain: '{policy}' is none of {', '.join(get_args(Policy))}, smooth(LOW, HIGH)")
    low, high = (float(one) for one in found.groups()) if found.group(1) else SMOOTH
    if not 0 <= low <= high <= 1:
        raise UsageError(f"data.uncertain: '{policy}' draws no probabilities; write smooth(LOW, HIGH), 0 <= LOW <= HIGH <= 1")
    return low, high


def drawn(policy: str, name: str, label: str) -> float:
    """A number of the policy's range, always the same for a file and a finding."""
    low, high = smooth_range(policy)
    share = int.from_bytes(sha256(f"{name}\n{label}".encode()).digest()[:6], "big") / (1 << 48)
    return low + (high - low) * share


def check_plain(word: str, where: str) -> None:
    """Refuse what a spreadsheet would run.

    Raises:
        DataError: It begins like a formula.
    """
    if word.startswith(_FORMULA) or (word.startswith("-") and word[1:2].isalpha()):
        raise DataError(f"{where}: a value begins like a formula of a spreadsheet; correct the table")
