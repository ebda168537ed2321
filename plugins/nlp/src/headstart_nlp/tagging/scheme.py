"""Schemes of tags: BIO and BIOES, entities as the CoNLL evaluation finds them, and the repair of broken sequences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OUTSIDE = "O"

Entity = tuple[str, int, int]
"""Type, first word, last word."""


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of one sequence of tags (BIO, IOB1, IOE or BIOES) as `conlleval` of CoNLL-2000 finds them.

    A broken sequence has entities, too: an I after O, or of another type, begins one. The package seqeval does the same.
    """
    found: list[Entity] = []
    begin, before, kind = 0, OUTSIDE, ""
    for at, tag in enumerate([*tags, OUTSIDE]):
        mark, name = tag[:1], tag[1:].split("-", 1)[-1] or "_"
        if _ends(before, mark, is_other=kind != name):
            found.append((kind, begin, at - 1))
        if _begins(before, mark, is_other=kind != name):
            begin = at
        before, kind = mark, name
    return found


def is_tag(tag: str) -> bool:
    """O, or a mark of BIOES with a type."""
    return tag == OUTSIDE or (tag[:1] in "BIES" and tag[1:2] == "-" and len(tag) > 2)


def is_ended(tags: Iterable[str]) -> bool:
    """Whether these tags are of a scheme that marks ends: an E or S is among them."""
    return any(tag[:1] in ("E", "S") for tag in tags)


def repaired(tags: Sequence[str], *, ended: bool) -> tuple[list[str], int]:
    """The same entities in a sound sequence, and how many tags were changed.

    In BIO an entity begins with B. In BIOES (`ended`) one of several words goes from B to E, and one of a single word is S.
    """
    sound = [OUTSIDE] * len(tags)
    for kind, first, last in entities(tags):
        sound[first : last + 1] = [f"I-{kind}"] * (last + 1 - first)
        sound[first] = f"B-{kind}"
        if ended:
            sound[last] = f"S-{kind}" if first == last else f"E-{kind}"
    return sound, sum(new != old for new, old in zip(sound, tags, strict=True))


def _ends(before: str, mark: str, *, is_other: bool) -> bool:
    if before in ("E", "S"):
        return True
    return before in ("B", "I") and (mark in ("B", "S", "O") or is_other)


def _begins(before: str, mark: str, *, is_other: bool) -> bool:
    if mark in ("B", "S"):
        return True
    return mark in ("E", "I") and (before in ("E", "S", "O") or is_other)
