"""Exact match and F1 as the official evaluation of SQuAD 1.1 and 2.0 counts them, for one question.

Rajpurkar et al. 2016 and 2018; `evaluate-v1.1.py` and `evaluate-v2.0.py` of the data set's page. The two differ where
nothing is left of a text but articles and punctuation, and only the second knows questions without an answer.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = frozenset(string.punctuation)


def normalised(text: str) -> str:
    """Lower case, no punctuation, no articles, single blanks."""
    bare = "".join(character for character in text.lower() if character not in PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", bare).split())


def question_scores(answer: str, golds: Sequence[str], *, has_none: bool) -> tuple[float, float]:
    """Exact match and F1 of one answer, the best over all right ones.

    Args:
        answer: What was predicted; "" = the text does not answer the question.
        golds: Right answers; none = the text does not answer the question.
        has_none: Whether the data hold such questions: then as SQuAD 2.0 counts, else as 1.1.
    """
    if has_none:
        golds = [gold for gold in golds if normalised(gold)] or [""]
    pairs = [(_exact(answer, gold), _f1(answer, gold, has_none=has_none)) for gold in golds]
    return max((exact for exact, _ in pairs), default=0.0), max((f1 for _, f1 in pairs), default=0.0)


def _exact(answer: str, gold: str) -> float:
    return float(normalised(answer) == normalised(gold))


def _f1(answer: str, gold: str, *, has_none: bool) -> float:
    said, truth = normalised(answer).split(), normalised(gold).split()
    if has_none and (not said or not truth):
        return float(said == truth)  # 2.0: nothing is only like nothing; 1.1 gives 0 even then
    shared = sum((Counter(said) & Counter(truth)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(truth)
    return 2 * precision * recall / (precision + recall)
