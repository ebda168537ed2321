"""Pairs of texts as rows of tokens: the special tokens around them, and windows over a second text that is too long.

All windows of one pair stand one after the other in a single row, so that an example stays one row in every batch and
store. `windows` says which token belongs to which; positions begin anew in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart_nlp.tokenizer import TextTokenizer

PADDING, OPENING, FIRST, SECOND, SPECIAL = range(5)
"""What a token is, in the port "segment": nothing, the special token that opens a window, a token of the first or of the
second text, another special token."""

REMEMBERED = 50_000
"""Texts whose tokens are kept; a paragraph is tokenised once, however many questions are asked of it."""


@dataclass(frozen=True)
class Tokens:
    """One text: ids [L] and where each token stands in it, [L, 2], in characters."""

    ids: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class PairRow:
    """All windows of one pair, one after the other; every array has the length L, offsets [L, 2].

    Attributes:
        ids: Of the tokens.
        types: Segment ids as the network knows them.
        positions: From 0 on in each window.
        windows: Number of the window, from 0 on.
        segments: PADDING ... SPECIAL.
        offsets: Characters of the text that a token stands for; (0, 0) of special tokens.
    """

    ids: np.ndarray
    types: np.ndarray
    positions: np.ndarray
    windows: np.ndarray
    segments: np.ndarray
    offsets: np.ndarray


class PairTokenizer:
    """Joins two texts as their tokenizer does, asked of the tokenizer itself."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._backend: Any = tokenizer.hf.backend_tokenizer
        encoding = self._backend.encode("a b c", "a b c", add_special_tokens=True)
        whose, types = encoding.sequence_ids, encoding.type_ids
        first, second = [i for i, text in enumerate(whose) if text == 0], [i for i, text in enumerate(whose) if text == 1]
        if not first or not second:
            raise DataError("this tokenizer drops one text of a pair; take another network")
        cuts = ((0, first[0]), (first[-1] + 1, second[0]), (second[-1] + 1, len(whose)))
        self.specials = tuple(list(encoding.ids[start:end]) for start, end in cuts)
        self._special_types = tuple(list(types[start:end]) for start, end in cuts)
        self._types = (types[first[0]], types[second[0]])
        self._seen: dict[str, Tokens] = {}

    @property
    def taken(self) -> int:
        """Special tokens that each window gets."""
        return sum(map(len, self.specials))

    def read(self, texts: Sequence[Any]) -> list[Tokens]:
        """Tokens of each text, uncut and without special ones.

        Raises:
            DataError: An input is no text.
        """
        new = list(dict.fromkeys(_checked(text) for text in texts if text not in self._seen))
        found = {text: self._seen[text] for text in texts if text in self._seen}
        for text, encoding in zip(new, self._backend.encode_batch(new, add_special_tokens=False), strict=True):
            places = np.asarray(encoding.offsets, dtype=np.int32).reshape(-1, 2)
            found[text] = Tokens(np.asarray(encoding.ids, dtype=np.int64), places)
        if len(self._seen) + len(found) > REMEMBERED:
            self._seen.clear()
        self._seen.update(found)
        return [found[text] for text in texts]

    def row(self, first: Tokens, second: Tokens, spans: Sequence[tuple[int, int]]) -> PairRow:
        """The row of one pair; a span is the piece of the second text that a window holds."""
        windows = [self._window(first, second, number, span) for number, span in enumerate(spans)]
        return PairRow(*(np.concatenate(parts) for parts in zip(*windows, strict=True)))

    def _window(self, first: Tokens, second: Tokens, number: int, span: tuple[int, int]) -> tuple[np.ndarray, ...]:
        ids, places = second.ids[slice(*span)], second.places[slice(*span)]
        opening, middle, closing = self.specials
        pieces = (opening, first.ids, middle, ids, closing)
        types = (
            *self._special_types[0],
            *[self._types[0]] * len(first.ids),
            *self._special_types[1],
            *[self._types[1]] * len(ids),
            *self._special_types[2],
        )
        kinds = [[SPECIAL] * len(opening), [FIRST] * len(first.ids), [SPECIAL] * len(middle), [SECOND] * len(ids)]
        segments = np.asarray([*chain.from_iterable(kinds), *[SPECIAL] * len(closing)], dtype=np.int64)
        segments[np.flatnonzero(segments == SPECIAL)[:1]] = OPENING
        length = len(segments)
        offsets = np.zeros((length, 2), dtype=np.int32)
        offsets[segments == FIRST], offsets[segments == SECOND] = first.places, places
        whole = np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces])
        return whole, np.asarray(types), np.arange(length), np.full(length, number), segments, offsets


def spans_of(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Windows of at most `room` tokens that begin `stride` apart and cover `length` tokens; one, where they fit into one."""
    starts = range(0, max(1, length - room + stride), stride)
    return [(start, min(start + room, length)) for start in starts]


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(f"a pair of texts is expected, but a part of an input is a {type(text).__name__}: {repr(text)[:60]}")
    return text
