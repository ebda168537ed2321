"""Answers: spans of a text, verified letter by letter before anything learns from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A span of the context.

    Attributes:
        text: `context[start:end]`, to the letter.
        start: Its first character, from 0 on.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        """The character behind its last one."""
        return self.start + len(self.text)

    def __str__(self) -> str:
        return self.text


class Gold(tuple[Answer, ...]):
    """The right answers to one question; none = the context does not answer it.

    As a string it says which of the two it is, so that questions are counted by that and not by their answers.
    """

    __slots__ = ()

    def __new__(cls, answers: Iterable[Answer] = ()) -> Gold:
        return super().__new__(cls, answers)

    def __str__(self) -> str:
        return "answerable" if self else "no answer"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (tuple(self),)


@dataclass(frozen=True)
class Verdict:
    """What became of one given answer: the span, or why there is none; `repaired` = it stood elsewhere than was said."""

    answer: Answer | None
    repaired: bool = False
    reason: str = ""


def verified(context: str, text: str, start: int | None) -> Verdict:
    """The span that was meant; repaired where the text stands in the context only once.

    Args:
        context: The text that holds the answer.
        text: The answer; blanks around it do not count.
        start: Where it is said to begin, in characters; None = that was not said.
    """
    bare = text.strip()
    if not bare:
        return Verdict(None, reason="an answer is blank")
    if start is not None:
        said = start + len(text) - len(text.lstrip())
        if start >= 0 and context[said : said + len(bare)] == bare:
            return Verdict(Answer(bare, said))
    found = context.count(bare)
    if found == 1:
        return Verdict(Answer(bare, context.index(bare)), repaired=start is not None)
    where = "" if start is None else f", and not at {start}"
    if found == 0:
        return Verdict(None, reason=f"the answer does not stand in the context{where}")
    return Verdict(None, reason=f"the answer stands {found} times in the context{where}")
