"""Subgroups: the same figures for women and men, sites and ages, and for women of an age; small cells are not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from headstart.example import Example

LEAST = 10  # examples of each class: below, a figure says little and may point at a person
CROSS = " x "


@dataclass(frozen=True)
class Cell:
    """The examples of a subgroup.

    Attributes:
        chosen: Which they are [N].
        lines: Cells that have one in common, at its place, add up to a sum that is shown: of one subgroup all its values; of
            two crossed ones the row and the column of the cell.
    """

    chosen: np.ndarray
    lines: tuple[str, ...]

    @property
    def is_crossed(self) -> bool:
        """It is a cell of two subgroups."""
        return len(self.lines) > 1


def subgroup_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """Keys of `Example.meta` under "subgroups" that occur, in the order of their first example."""
    return tuple(dict.fromkeys(name for example in examples for name in example.meta.get("subgroups", {})))


def members(examples: Sequence[Example], name: str) -> dict[str, Cell]:
    """Value -> its examples, values in natural order; examples without a value belong to none."""
    values = [example.meta.get("subgroups", {}).get(name) for example in examples]
    every = sorted({str(value) for value in values if value is not None})
    return {value: Cell(np.array([other == value for other in values]), (name,)) for value in every}


def crossed(first: Mapping[str, Cell], second: Mapping[str, Cell]) -> dict[str, Cell]:
    """ "F x 60-79" -> the examples that have both values; pairs that nobody has are left out."""
    pairs = product(first, second)
    both = {f"{one}{CROSS}{other}": Cell(first[one].chosen & second[other].chosen, (one, other)) for one, other in pairs}
    return {name: cell for name, cell in both.items() if cell.chosen.any()}


def cells_of(examples: Sequence[Example], *, pairs: bool) -> dict[str, dict[str, Cell]]:
    """Name of a subgroup, or of two crossed, -> value -> its examples."""
    single = {name: members(examples, name) for name in subgroup_names(examples)}
    if not pairs:
        return single
    return single | {f"{one}{CROSS}{other}": crossed(single[one], single[other]) for one, other in combinations(single, 2)}


def shown(cells: Mapping[str, Cell], is_positive: np.ndarray, least: int = LEAST) -> list[str]:
    """Which of the cells are shown: those with enough examples of both classes.

    The only hidden value of a subgroup, or cell of a row or column of two crossed ones, could be told from the sum; there the
    smallest of the others is hidden too (complementary suppression; Willenborg and de Waal 2001, chapter 8).
    """
    kept = [name for name, cell in cells.items() if is_shown(is_positive[cell.chosen], least)]
    while others := _beside_one_hidden(cells, kept):
        kept.remove(min(others, key=lambda name: int(cells[name].chosen.sum())))
    return kept


def is_shown(is_positive: np.ndarray, least: int = LEAST) -> bool:
    """Whether a subgroup has enough examples of both classes for its figures to be shown."""
    positives = int(is_positive.sum())
    return min(positives, len(is_positive) - positives) >= least


def hidden(least: int = LEAST) -> dict[str, Any]:
    """What is said in place of figures: that there are too few, never how few, or that another's would follow."""
    return {"n": f"n < {2 * least}, fewer than {least} of one class, or another's would follow", "hidden": True}


def _beside_one_hidden(cells: Mapping[str, Cell], kept: Sequence[str]) -> list[str]:
    """Cells that are shown in the first line with exactly one that is not; empty where there is none such."""
    lines: dict[tuple[int, str], list[str]] = {}
    for name, cell in cells.items():
        for place in enumerate(cell.lines):
            lines.setdefault(place, []).append(name)
    for every in lines.values():
        seen = [name for name in every if name in kept]
        if seen and len(every) - len(seen) == 1:
            return seen
    return []
