"""Decoding: from scores of tokens to the best spans, in characters of the original text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart_nlp.pair_tokens import OPENING, SECOND


@dataclass(frozen=True)
class Reading:
    """What a network made of one question and its text. L tokens, all windows one after the other.

    Attributes:
        starts: Log-probability that the answer begins at each token [L].
        ends: That it ends there [L].
        segment: What each token is [L].
        windows: Which window it belongs to [L].
        offsets: Characters of the text that it stands for [L, 2].
    """

    starts: np.ndarray
    ends: np.ndarray
    segment: np.ndarray
    windows: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Candidate:
    """A span in characters, and the sum of its two log-probabilities."""

    start: int
    end: int
    score: float


def best_spans(reading: Reading, text: str, *, most: int, longest: int) -> list[Candidate]:
    """The best different spans, best first, without blanks at their ends; empty where the text has no token.

    A span begins and ends in the same window, at tokens of the text, and does not end before it begins. Where windows
    overlap the same characters count once, with their best score.

    Args:
        reading: Of one question.
        text: The context.
        most: Spans at most.
        longest: Tokens of a span at most.
    """
    length = len(reading.starts)
    is_text = reading.segment == SECOND
    scores = np.full((min(longest, length), length), -np.inf)
    for more in range(len(scores)):
        begins, ends = slice(0, length - more), slice(more, length)
        fits = is_text[begins] & is_text[ends] & (reading.windows[begins] == reading.windows[ends])
        scores[more, begins] = np.where(fits, reading.starts[begins] + reading.ends[ends], -np.inf)
    flat = scores.ravel()
    found: dict[tuple[int, int], Candidate] = {}
    enough = min(len(flat), most * (int(reading.windows.max(initial=0)) + 1) + most)
    for at in _highest(flat, enough):
        if not np.isfinite(flat[at]):
            break
        more, first = divmod(int(at), length)
        start, end = _trimmed(text, int(reading.offsets[first, 0]), int(reading.offsets[first + more, 1]))
        if start < end and (start, end) not in found:
            found[start, end] = Candidate(start, end, float(flat[at]))
    return list(found.values())[:most]


def no_answer_score(reading: Reading) -> float:
    """Log of the probability that the answer is nowhere: of all windows' opening tokens, as start and end; -inf = never."""
    opening = reading.segment == OPENING
    sums = reading.starts[opening] + reading.ends[opening]
    return float(np.logaddexp.reduce(sums)) if len(sums) else -np.inf


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the highest values, highest first; of equal ones the earlier place first."""
    places = np.argpartition(-values, count - 1)[:count] if count < len(values) else np.arange(len(values))
    places = np.sort(places)
    order: np.ndarray = places[np.argsort(-values[places], kind="stable")]
    return order


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without blanks: some tokenizers count the blank before a word to its token."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
