"""Findings: the target of kind "labels" that also says what nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Findings(tuple[str, ...]):
    """The findings that are there, as a tuple; `unknown` are those of which it is not known whether they are.

    Everything that reads a tuple of labels reads this; heads and scores that know of `unknown` leave those out.
    """

    unknown: frozenset[str]

    def __new__(cls, there: Iterable[str], unknown: Iterable[str] = ()) -> Findings:
        """Findings that are there, and those that nobody knows."""
        found = super().__new__(cls, there)
        found.unknown = frozenset(unknown)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """So that copies and other processes keep what is unknown."""
        return type(self), (tuple(self), tuple(sorted(self.unknown)))


def unknown_of(target: Any) -> frozenset[str]:
    """What nobody knows of an example; nothing for a plain tuple."""
    found: frozenset[str] = getattr(target, "unknown", frozenset())
    return found
