"""Findings: the target of kind "labels" that also says what nobody knows, and what training may make of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Findings(tuple[str, ...]):
    """The findings that are there, as a tuple; `unknown` are those of which it is not known whether they are.

    Everything that reads a tuple of labels reads this; heads and scores that know of `unknown` leave those out.

    Attributes:
        unknown: Judged by nobody: they count in no score.
        soft: Of the unknown those that training aims at all the same, with the probability that it aims at.
        third: Of the unknown those that training takes for a class of their own, "uncertain".
    """

    unknown: frozenset[str]
    soft: Mapping[str, float]
    third: frozenset[str]

    def __new__(
        cls,
        there: Iterable[str],
        unknown: Iterable[str] = (),
        soft: Mapping[str, float] | None = None,
        third: Iterable[str] = (),
    ) -> Findings:
        """Findings that are there, and those that nobody knows; what is soft or third is unknown, too."""
        found = super().__new__(cls, there)
        found.soft, found.third = dict(soft or {}), frozenset(third)
        found.unknown = frozenset(unknown) | frozenset(found.soft) | found.third
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """So that copies and other processes keep what is unknown."""
        return type(self), (tuple(self), tuple(sorted(self.unknown)), dict(self.soft), tuple(sorted(self.third)))


def unknown_of(target: Any) -> frozenset[str]:
    """What nobody knows of an example; nothing for a plain tuple."""
    found: frozenset[str] = getattr(target, "unknown", frozenset())
    return found


def soft_of(target: Any) -> Mapping[str, float]:
    """Unknown findings that training aims at, and with which probability; nothing for a plain tuple."""
    found: Mapping[str, float] = getattr(target, "soft", {})
    return found


def third_of(target: Any) -> frozenset[str]:
    """Unknown findings that training takes for the class "uncertain"; nothing for a plain tuple."""
    found: frozenset[str] = getattr(target, "third", frozenset())
    return found
