"""Leaks: groups, identical and nearly identical examples in two splits; found, counted, and settled by the recipe's word."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.errors import DataError
from headstart.example import Example
from headstart.near import near_pairs
from headstart.split import SPLITS, Split

Kind = Literal["group", "identical", "near"]
KINDS: tuple[Kind, ...] = ("group", "identical", "near")
Policy = Literal["error", "move", "drop", "keep"]

KEPT = "kept by `leaks: keep`: scores on them say what the model remembers, not what it can do"

_SHOWN = 5  # leaks and ids that a message names
_ROUNDS = 10  # moving can bring an example beside a further near-duplicate; each round moves those too


@dataclass(frozen=True)
class Leak:
    """Examples that belong together and stand in several splits.

    Attributes:
        kind: Why they belong together: one group, the same content, or nearly the same text.
        splits: The splits that they stand in, in the order train, val, test.
        ids: Of the examples, in the order of the data.
        label_conflict: They have different targets. Usual in a group; of identical inputs one must be wrong.
    """

    kind: Kind
    splits: tuple[str, ...]
    ids: tuple[str, ...]
    label_conflict: bool = False

    def __str__(self) -> str:
        more = f" and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        names = {"group": "one group", "identical": "identical", "near": "nearly identical"}
        conflict = ", with different labels" if self.label_conflict and self.kind != "group" else ""
        return f"{names[self.kind]} in {' and '.join(self.splits)}{conflict}: {', '.join(self.ids[:_SHOWN])}{more}"


@dataclass(frozen=True)
class Audit:
    """What was found in one split.

    Attributes:
        near: Near-duplicates were asked for, and there are texts to look for them in.
        skipped: Why near-duplicates were not looked for although asked; "" = they were.
    """

    found: tuple[Leak, ...] = ()
    near: bool = True
    skipped: str = ""

    def counts(self) -> dict[str, int]:
        """Leaks by kind."""
        seen = Counter(leak.kind for leak in self.found)
        return {kind: seen[kind] for kind in KINDS}


def audit(examples: Sequence[Example], split: Split, near: bool = True) -> Audit:
    """Look for every leak of a split; near-duplicates only among texts of at least 8 words (shorter ones only identical)."""
    where = {index: name for name, indices in split.parts().items() for index in indices}
    members = sorted(where)
    same: dict[Kind, Mapping[Hashable, list[int]]] = {
        "group": _gathered((examples[i].group, i) for i in members),
        "identical": _gathered((content_key(examples[i].input), i) for i in members),
    }
    found = [leak for kind, sets in same.items() for rows in sets.values() for leak in _leak(kind, rows, where, examples)]
    if not near or not any(isinstance(examples[i].input, str) for i in members):
        return Audit(tuple(found), near=False)
    sets, skipped = _near_sets(examples, split)
    found += [leak for rows in sets for leak in _leak("near", rows, where, examples)]
    return Audit(tuple(found), skipped=skipped)


def settle(examples: Sequence[Example], split: Split, audit: Audit, policy: Policy) -> tuple[Split, dict[str, int]]:
    """The split without leaks, and how many examples were moved and dropped.

    "move" puts examples that belong together into the split that has the most of them (training first); "drop" takes them
    out of every split but the last, so that the test stays as it was given and training has seen none of it. "keep" leaves
    them, to measure what they do to a score.

    Raises:
        DataError: The policy is "error" and there are leaks, or a split ends empty.
    """
    if not audit.found or policy == "keep":
        return split, {"moved": 0, "dropped": 0}
    if policy == "error":
        raise DataError(_stop(audit))
    before = {index: name for name, indices in split.parts().items() for index in indices}
    known, where = list(audit.found), dict(before)
    for _ in range(_ROUNDS):
        where = dict(before)  # from the start again, so that a chain of near-duplicates is judged as a whole
        _resolve(examples, where, known, policy)
        found = _again(examples, where, split, audit)
        if not found.found:
            break
        known += found.found
    else:
        _resolve(examples, where, found.found, "drop")
    settled = _split_of(where, split)
    _check_not_emptied(split, settled, policy)
    moved = sum(1 for index, name in where.items() if before[index] != name)
    return settled, {"moved": moved, "dropped": len(before) - len(where)}


def content_key(input: Any) -> Hashable | None:
    """Equal for inputs with the same content: texts whatever their case and spacing, files and arrays by their bytes.

    None = this kind of input cannot be compared.
    """
    if isinstance(input, str):
        return " ".join(input.casefold().split())
    if isinstance(input, (list, tuple, Mapping)):
        parts = tuple(content_key(part) for part in (sorted(input.items()) if isinstance(input, Mapping) else input))
        return None if None in parts else parts
    if isinstance(input, (int, float)):
        return input
    content = _bytes_of(input)
    return None if content is None else hashlib.sha256(content).hexdigest()


def _bytes_of(input: Any) -> bytes | None:
    if callable(content := getattr(input, "content", None)):
        return bytes(content())
    if isinstance(input, os.PathLike):
        path = Path(input)
        return path.read_bytes() if path.is_file() else None
    if isinstance(input, np.ndarray):
        return f"{input.shape}{input.dtype}".encode() + np.ascontiguousarray(input).tobytes()
    return bytes(input) if isinstance(input, (bytes, bytearray)) else None


def _gathered(pairs: Iterable[tuple[Hashable | None, int]]) -> dict[Hashable, list[int]]:
    sets: dict[Hashable, list[int]] = {}
    for key, index in pairs:
        if key is not None:
            sets.setdefault(key, []).append(index)
    return sets


def _leak(kind: Kind, rows: Sequence[int], where: Mapping[int, str], examples: Sequence[Example]) -> list[Leak]:
    """The leak that these examples are, or none where all stand in one split."""
    splits = {where[i] for i in rows}
    if len(splits) < 2:
        return []
    ids = tuple(examples[i].id for i in rows)
    conflict = any(examples[i].target != examples[rows[0]].target for i in rows)
    return [Leak(kind, tuple(name for name in SPLITS if name in splits), ids, conflict)]


def _near_sets(examples: Sequence[Example], split: Split) -> tuple[list[list[int]], str]:
    """Sets of examples that are chained by near, not identical, pairs across splits; and why none were looked for."""
    parts = [[i for i in indices if isinstance(examples[i].input, str)] for indices in split.parts().values()]
    pairs, skipped = near_pairs({i: examples[i].input for part in parts for i in part}, parts)
    different = [(a, b) for a, b in pairs if content_key(examples[a].input) != content_key(examples[b].input)]
    return _chained(different), skipped


def _chained(sets: Iterable[Sequence[int]]) -> list[list[int]]:
    """Sets that share a member joined, each ascending, in the order of their first members."""
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for members in sets:
        for member in members:
            parent[root(member)] = root(members[0])
    joined = _gathered((root(index), index) for index in sorted(parent))
    return list(joined.values())


def _resolve(examples: Sequence[Example], where: dict[int, str], leaks: Sequence[Leak], policy: Policy) -> None:
    """Change `where` so that each set of examples that belong together stands in one split."""
    index_of = {examples[i].id: i for i in where}
    for rows in _chained([index_of[id] for id in leak.ids] for leak in leaks):
        counts = Counter(where[i] for i in rows)
        most, last = max(SPLITS, key=lambda name: counts[name]), max(counts, key=SPLITS.index)
        for i in rows:
            if policy == "move":
                where[i] = most
            elif where[i] != last:
                del where[i]


def _again(examples: Sequence[Example], where: Mapping[int, str], split: Split, found: Audit) -> Audit:
    """Audit once more where near-duplicates were moved: sets of them are only known across splits."""
    if found.counts()["near"] == 0:
        return Audit()
    return audit(examples, _split_of(where, split), near=found.near)


def _split_of(where: Mapping[int, str], split: Split) -> Split:
    parts = {name: tuple(sorted(i for i, part in where.items() if part == name)) for name in SPLITS}
    return Split(parts["train"], parts["val"], parts["test"], split.how)


def _check_not_emptied(before: Split, after: Split, policy: str) -> None:
    for name, indices in before.parts().items():
        if indices and not after.parts()[name]:
            raise DataError(f"split.leaks: {policy} leaves no example in the {name} split: all of its {len(indices)} leak")


def _stop(found: Audit) -> str:
    counts = [f"{count} {kind}" for kind, count in found.counts().items() if count]
    shown = "\n".join(f"  {leak}" for leak in found.found[:_SHOWN])
    more = f"\n  and {len(found.found) - _SHOWN} more" if len(found.found) > _SHOWN else ""
    return (
        f"{len(found.found)} leaks between splits ({', '.join(counts)}): what the model is tested on, it was trained on\n"
        f"{shown}{more}\n"
        "correct the data, or write in the recipe:\n"
        "  split: {leaks: move}    # all that belong together into one split\n"
        "  split: {leaks: drop}    # out of the earlier ones, the test stays whole\n"
        "  split: {leaks: keep}    # only to measure what they do: the test score will be too high\n"
        f"{_advice(found)}"
    ).rstrip()


def _advice(found: Audit) -> str:
    advice = ""
    if found.counts()["group"]:
        advice += "  split: {by: group}      # divides by group from the start\n"
    if found.counts()["near"]:
        advice += "  split: {near: false}    # if nearly identical examples are meant to be there\n"
    return advice
