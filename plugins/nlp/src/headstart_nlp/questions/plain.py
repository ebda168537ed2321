"""Plain ways to answer, without learning: what a trained model has to beat."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from headstart.example import Example
from headstart.order import seed_of

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+")
WORD = re.compile(r"\w+")
MOST_WORDS = 4  # of a random span; half of SQuAD's answers have one or two words, three quarters at most four


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends, in characters; they end at . ! ? before a blank."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    bounds = [0, *ends, *([len(text)] if not ends or ends[-1] < len(text) else [])]
    return [(start, end) for start, end in pairwise(bounds) if text[start:end].strip()]


def random_span(example: Example) -> str:
    """One to four words from anywhere in the text; a function of the question's id."""
    text = example.input[1]
    words = list(re.finditer(r"\S+", text))
    rng = np.random.default_rng(seed_of("random span", example.id))
    first = int(rng.integers(len(words)))
    last = min(first + int(rng.integers(MOST_WORDS)), len(words) - 1)
    return str(text[words[first].start() : words[last].end()])


def likest_sentence(example: Example) -> str:
    """The sentence that shares most words with the question, the earlier one of equals."""
    question, text = example.input
    asked = {word.lower() for word in WORD.findall(question)}
    spans = sentences(text)
    shared = [len(asked & {word.lower() for word in WORD.findall(text[start:end])}) for start, end in spans]
    start, end = spans[int(np.argmax(shared))]
    return str(text[start:end].strip())


NONE = "always no answer"
PLAIN: Mapping[str, Callable[[Example], str]] = {
    "random span": random_span,
    "sentence with most shared words": likest_sentence,
    NONE: lambda _example: "",
}
