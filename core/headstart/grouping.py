"""Whole groups: parts of about a wanted size in which every group is whole and labels keep their shares."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.example import Example

_BUNDLES = 500  # groups are bundled to at most so many, for StratifiedGroupKFold takes 17 s for 20,000
_PIECES = range(5, 21)  # into how many pieces of whole groups examples are cut, of which a part takes some


def groups_of(examples: Sequence[Example], indices: Sequence[int]) -> list[str]:
    """Group of each; an example without one is a group of its own."""
    return [f"group {examples[i].group}" if examples[i].group is not None else f"alone {i}" for i in indices]


def bundled(groups: Sequence[str], seed: int) -> list[str]:
    """Many groups drawn together into at most 500 bundles, so that dividing stays quick; few ones as they are."""
    names = list(dict.fromkeys(groups))
    if len(names) <= _BUNDLES:
        return list(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    bundle = {names[int(place)]: f"bundle {rank % _BUNDLES}" for rank, place in enumerate(order)}
    return [bundle[group] for group in groups]


def whole_groups(
    examples: Sequence[Example], indices: Sequence[int], strata: Mapping[int, Hashable], wanted: int, seed: int
) -> list[int]:
    """About `wanted` examples in whole groups: stratified pieces are added while that brings the size nearer."""
    groups = bundled(groups_of(examples, indices), seed)
    pieces = min(_best_pieces(wanted / len(indices)), len(set(groups)))
    if pieces < 2:
        raise DataError(
            "there is one group only, so it cannot be divided by group; leave `group` out or set split.by: stratified"
        )
    taken: list[int] = []
    for piece in group_pieces(indices, groups, strata, pieces, seed):
        if abs(len(taken) + len(piece) - wanted) <= abs(len(taken) - wanted) and len(taken) + len(piece) < len(indices):
            taken += piece
    if not taken:
        raise DataError(f"no whole group fits into a part of {wanted} examples (of {len(indices)}); ask for a larger one")
    return sorted(taken)


def _best_pieces(share: float) -> int:
    """The number of pieces of which some make up `share` most nearly; a tiny share is one piece of many."""
    if share * max(_PIECES) < 1:
        return round(1 / share)
    return min(_PIECES, key=lambda pieces: round(abs(round(share * pieces) / pieces - share), 3))


def group_pieces(
    indices: Sequence[int], groups: Sequence[str], strata: Mapping[int, Hashable], pieces: int, seed: int
) -> list[list[int]]:
    """Whole groups in `pieces` pieces of about equal size and shares of labels (StratifiedGroupKFold)."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    codes: dict[Hashable, int] = {}
    classes = [codes.setdefault(strata[i], len(codes)) for i in indices]
    largest = max(Counter(classes).values())
    dealer: Any = StratifiedGroupKFold(pieces, shuffle=True, random_state=seed)
    if pieces > largest:
        dealer = GroupKFold(pieces, shuffle=True, random_state=seed)  # fewer examples of every label than pieces
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label rarer than the number of pieces: our own checks name it
        found = dealer.split(np.zeros(len(indices)), classes, groups)
        return [[indices[int(i)] for i in piece] for _, piece in found]
