"""Families: sequences that are alike beyond a stated threshold, so that no family stands in two splits.

Identity is estimated without alignment. Of two sequences the share c of the shorter one's words of k residues that the other
has too is about p^k, where p is the share of equal residues (Ondov et al. 2019, "Mash Screen", equation 4, for containment);
so p is about c^(1/k). Where equal residues lie close together c is larger than p^k (Jensen's inequality), so that the estimate
errs towards "alike": families become larger, never smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from headstart import Example, errors
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from headstart_protein.alphabet import STANDARD

WORD = 4
"""Residues of a word. Of 160,000 words two unrelated proteins of 300 residues share 0.2 %, which reads as an identity of 0.21;
words of three would read as 0.33."""
LEAST = 0.4  # below it chance words of long proteins (1,000 residues: 0.28) come too near
BLOCK = 2_000  # sequences that are held against all others at a time
_NUMBERS = np.full(256, -1, dtype=np.int64)  # by the residue's letter as a byte
_NUMBERS[list(STANDARD.encode())] = np.arange(len(STANDARD))


def check_identity(identity: float) -> float:
    """The threshold itself.

    Raises:
        UsageError: It is outside of what the estimate can tell.
    """
    if not LEAST <= identity <= 1:
        raise errors.UsageError(
            f"the data's option identity is {identity}; it must lie between {LEAST} (below it words of {WORD} residues are "
            "shared by chance) and 1, or be null for no families; for remoter kinship name a column with `group`"
        )
    return identity


def families(sequences: Sequence[str], identity: float) -> list[int]:
    """Number of each sequence's family [N], counted from 0 in the order in which families begin.

    Single linkage: any two sequences whose estimated identity is at least `identity` are of one family, so two families hold no
    such pair. Sequences without a whole word of standard residues are alike only where they are equal.
    """
    words = _word_table(sequences)
    pairs = [*_alike(words, check_identity(identity)), *_equal(sequences)]
    rows, columns = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    graph = csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(sequences), len(sequences)))
    return [int(number) for number in connected_components(graph, directed=False)[1]]


def in_families(examples: Sequence[Example], identity: float) -> list[Example]:
    """The examples with their family as group, named after its first member."""
    first: dict[int, str] = {}
    numbers = families([example.input for example in examples], identity)
    names = [first.setdefault(number, example.id) for number, example in zip(numbers, examples, strict=True)]
    return [replace(example, group=f"like {name}") for example, name in zip(examples, names, strict=True)]


def estimated_identity(first: str, second: str) -> float:
    """Estimated share of equal residues of two sequences, in [0, 1]; 0 where one has no whole word."""
    table = _word_table([first, second])
    shared = (table @ table.T).toarray()
    least = min(shared[0, 0], shared[1, 1])
    return float((shared[0, 1] / least) ** (1 / WORD)) if least else 0.0


def _word_table(sequences: Sequence[str]) -> csr_array:
    """Which words each sequence has: ones [N, 160000]."""
    rows = [_words(sequence) for sequence in sequences]
    starts = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.concatenate([*rows, np.zeros(0, dtype=np.int64)])
    return csr_array((np.ones(len(columns), dtype=np.int32), columns, starts), shape=(len(rows), len(STANDARD) ** WORD))


def _words(sequence: str) -> np.ndarray:
    """Numbers of the words of standard residues, each once; one with an X in it says nothing."""
    if len(sequence) < WORD:
        return np.zeros(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(_NUMBERS[np.frombuffer(sequence.encode(), dtype=np.uint8)], WORD)
    return np.unique(windows[(windows >= 0).all(axis=1)] @ len(STANDARD) ** np.arange(WORD))


def _alike(words: csr_array, identity: float) -> Iterator[tuple[int, int]]:
    counts = np.asarray(words.sum(axis=1)).ravel()
    least = identity**WORD
    turned = words.T.tocsr()
    for begin in range(0, words.shape[0], BLOCK):
        shared = (words[begin : begin + BLOCK] @ turned).tocoo()
        rows, columns = shared.coords[0] + begin, shared.coords[1]
        is_alike = shared.data >= least * np.minimum(counts[rows], counts[columns]) - 1e-9
        chosen = is_alike & (rows < columns)
        yield from zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True)


def _equal(sequences: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each sequence with the first that equals it, itself included."""
    seen: dict[str, int] = {}
    for at, sequence in enumerate(sequences):
        yield seen.setdefault(sequence, at), at
