"""Kinds of error, and the sorts of questions and texts by which scores are shown."""

from __future__ import annotations

import re

from headstart.example import Example
from headstart.head import Prediction
from headstart_nlp.questions.plain import sentences

RIGHT, BOUNDARY, NEAR, FAR = "right", "wrong boundary", "right sentence, wrong place", "wrong sentence"
SILENT, INVENTED = "no answer, but there is one", "an answer, but there is none"
KINDS = (RIGHT, BOUNDARY, NEAR, FAR, SILENT, INVENTED)

QUESTION_WORDS = ("who", "whose", "whom", "what", "which", "when", "where", "why", "how many", "how much", "how")
_ASKED = re.compile(r"\b(how many|how much|" + "|".join(QUESTION_WORDS) + r")\b")
LENGTHS = (50, 100, 150, 200, 300, 500)


def kind_of(example: Example, prediction: Prediction, *, is_exact: bool) -> str:
    """What is wrong with an answer, by where it stands and where a right one does."""
    if is_exact:
        return RIGHT
    if not prediction.value:
        return SILENT
    if not example.target:
        return INVENTED
    start, end = prediction.details["start"], prediction.details["end"]
    if any(start < answer.end and answer.start < end for answer in example.target):
        return BOUNDARY
    homes = [sentence for sentence in sentences(example.input[1]) if _meets(sentence, start, end)]
    is_near = any(_meets(home, answer.start, answer.end) for home in homes for answer in example.target)
    return NEAR if is_near else FAR


def question_word(question: str) -> str:
    """The first question word in it; "other" where there is none."""
    found = _ASKED.search(question.lower())
    return found.group(1) if found else "other"


def longer_than(text: str) -> str:
    """A range of lengths in words."""
    words = len(text.split())
    above = next((limit for limit in LENGTHS if words <= limit), None)
    if above is None:
        return f"over {LENGTHS[-1]}"
    at = LENGTHS.index(above)
    return f"{LENGTHS[at - 1] + 1 if at else 1} to {above}"


def _meets(span: tuple[int, int], start: int, end: int) -> bool:
    return span[0] < end and start < span[1]
