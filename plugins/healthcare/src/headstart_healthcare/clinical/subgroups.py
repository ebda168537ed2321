"""Subgroups: the same figures for women and men, sites and ages; small cells are not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.example import Example

LEAST = 10  # examples of each class: below, a figure says little and may point at a person
NOT_SUBGROUPS = ("split",)


def subgroup_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """Keys of `Example.meta` under "subgroups" that occur, in the order of their first example."""
    return tuple(dict.fromkeys(name for example in examples for name in example.meta.get("subgroups", {})))


def members(examples: Sequence[Example], name: str) -> dict[str, np.ndarray]:
    """Value -> which examples have it [N], values in natural order; examples without a value belong to none."""
    values = [example.meta.get("subgroups", {}).get(name) for example in examples]
    return {
        value: np.array([other == value for other in values]) for value in sorted({str(v) for v in values if v is not None})
    }


def is_shown(is_positive: np.ndarray) -> bool:
    """Whether a subgroup has enough examples of both classes for its figures to be shown."""
    positives = int(is_positive.sum())
    return min(positives, len(is_positive) - positives) >= LEAST


def hidden(is_positive: np.ndarray) -> dict[str, Any]:
    """What is said in place of figures: that there are too few, never how few."""
    return {"n": f"n < {2 * LEAST} or fewer than {LEAST} of one class", "hidden": True}
