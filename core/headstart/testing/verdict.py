"""Verdicts: how a check says that a part breaks the contract, or that the question does not arise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "known", "skipped"]


class ContractError(AssertionError):
    """A part breaks the contract; the message says what is wrong and then how to mend it."""

    def __init__(self, wrong: str, mend: str) -> None:
        self.wrong, self.mend = wrong, mend
        super().__init__(f"{wrong}. To mend it: {mend}")


class UnbuildableError(ContractError):
    """A part cannot be built as its case says; `can_be_built` says so once, and the other checks are skipped."""


class NotApplicableError(Exception):
    """The question of a check does not arise for this part; the message says why."""


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        part: Name of the part, or of the plugin.
        kind: "backbone", "head", "strategy", "data" or "plugin".
        check: Name of the check.
        outcome: "known" = it failed as the case says, with the case's reason.
        message: What is wrong and how to mend it, or why it was skipped or is known; "" where it passed.
    """

    part: str
    kind: str
    check: str
    outcome: Outcome
    message: str = ""
    seconds: float = 0.0


def demand(holds: bool, wrong: str, mend: str) -> None:
    """Raise ContractError unless something holds."""
    if not holds:
        raise ContractError(wrong, mend)
