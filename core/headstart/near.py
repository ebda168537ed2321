"""Near-duplicates among texts: pairs across parts that share most of their word trigrams, found exactly and without all pairs.

Prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007): two sets with a cosine of at least c
share an element among the rarest 1 - c^2 of either, so only texts that share a rare trigram are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

COSINE = 0.8  # of the sets of word trigrams: in a text of 20 words one word may differ
MIN_WORDS = 8  # shorter texts ("a very good film") are alike without being copies
MAX_CHARACTERS = 200_000_000  # about a minute of work
MAX_PAIRS = 5_000_000  # candidates; texts made of one template share their trigrams and would take hours

WORD = r"\w+"

Pair = tuple[int, int]


def near_pairs(texts: Mapping[int, str], parts: Sequence[Sequence[int]]) -> tuple[list[Pair], str]:
    """Pairs of texts of different parts with a cosine of at least 0.8, and why they were not looked for ("" = they were)."""
    size = sum(map(len, texts.values()))
    if size > MAX_CHARACTERS:
        return [], f"near-duplicates were not looked for: {size:,} characters are more than {MAX_CHARACTERS:,}"
    long = [[i for i in part if len(texts[i].split()) >= MIN_WORDS] for part in parts]
    order = [i for part in long for i in part]
    if sum(1 for part in long if part) < 2:
        return [], ""
    shingles = _shingles([texts[i] for i in order])
    rare = _rarest(shingles)
    bounds = np.cumsum([0, *map(len, long)])
    ranges = [(int(low), int(high)) for low, high in pairwise(bounds)]
    jobs = list(combinations(ranges, 2))
    candidates = sum(_count(rare[slice(*a)], rare[slice(*b)]) for a, b in jobs)
    if candidates > MAX_PAIRS:
        return [], f"near-duplicates were not looked for: {candidates:,} pairs share rare words, more than {MAX_PAIRS:,}"
    pairs = [pair for a, b in jobs for pair in _compare(shingles, rare, a, b)]
    return sorted((order[a], order[b]) for a, b in pairs), ""


def _shingles(texts: Sequence[str]) -> Any:
    """Sets of word trigrams as a binary CSR matrix [texts, trigrams that occur]."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        ngram_range=(3, 3),
        token_pattern=WORD,
        binary=True,
        norm=None,
        alternate_sign=False,
        n_features=2**22,
        dtype=np.float32,
    )
    matrix = vectorizer.transform(texts)
    used, columns = np.unique(matrix.indices, return_inverse=True)
    return type(matrix)((matrix.data, columns, matrix.indptr), shape=(matrix.shape[0], len(used)))


def _rarest(shingles: Any) -> Any:
    """Of each row only the rarest trigrams that a partner must share one of; those that occur once have no partner."""
    frequency = np.bincount(shingles.indices, minlength=shingles.shape[1])
    sizes = np.diff(shingles.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((shingles.indices, frequency[shingles.indices], rows))
    rank = np.arange(len(order)) - np.repeat(shingles.indptr[:-1], sizes)
    kept = sizes - np.ceil(COSINE**2 * sizes - 1e-9).astype(int) + 1
    columns = shingles.indices[order]
    chosen = (rank < kept[rows]) & (frequency[columns] > 1)
    entries = (np.ones(int(chosen.sum()), np.float32), (rows[chosen], columns[chosen]))
    return type(shingles)(entries, shape=shingles.shape)


def _count(a: Any, b: Any) -> int:
    """Pairs that share a rare trigram, counted once for each that they share: an upper bound that costs nothing."""
    width = a.shape[1]
    return int(np.bincount(a.indices, minlength=width) @ np.bincount(b.indices, minlength=width))


def _compare(shingles: Any, rare: Any, a: tuple[int, int], b: tuple[int, int]) -> list[Pair]:
    found = (rare[slice(*a)] @ rare[slice(*b)].T).tocoo()
    left, right = found.row + a[0], found.col + b[0]
    sizes = np.diff(shingles.indptr)
    pairs: list[Pair] = []
    for start in range(0, len(left), 20_000):  # pairs at a time: the rows of both are copied
        i, j = left[start : start + 20_000], right[start : start + 20_000]
        shared = np.asarray(shingles[i].multiply(shingles[j]).sum(axis=1)).ravel()
        is_near = shared >= COSINE * np.sqrt(sizes[i] * sizes[j])
        pairs += zip(i[is_near].tolist(), j[is_near].tolist(), strict=True)
    return pairs
