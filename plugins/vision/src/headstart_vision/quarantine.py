"""Quarantine: pictures that cannot be read are left out by name, up to a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headstart.errors import DataError
from headstart.example import Example
from headstart.quarantine import hold_to_budget, listed


@dataclass(frozen=True)
class Checked:
    """Examples whose pictures have a sound header.

    Attributes:
        sizes: Width and height -> how many pictures have them.
        bad: File -> why it was left out.
    """

    examples: list[Example]
    sizes: Counter[tuple[int, int]]
    bad: dict[str, str]

    def facts(self) -> dict[str, Any]:
        """Plain values, and sentences for `headstart check`."""
        facts: dict[str, Any] = {"used": len(self.examples), "quarantined": self.bad, "notes": [_of_sizes(self.sizes)]}
        if self.bad:
            facts["warnings"] = [f"{_counted(len(self.bad))} left out: {listed(self.bad)}."]
        return facts


def quarantine(examples: Sequence[Example], max_bad: float) -> Checked:
    """Read each header; leave out what cannot be read.

    Raises:
        DataError: More than the share `max_bad` cannot be read.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    kept: list[Example] = []
    bad: dict[str, str] = {}
    for example in examples:
        try:
            sizes[example.input.check()] += 1
            kept.append(example)
        except DataError as error:
            bad[str(example.input)] = str(error)
    hold_to_budget(bad, len(examples), max_bad, "pictures")
    return Checked(kept, sizes, bad)


def _counted(count: int) -> str:
    return "1 picture cannot be read and is" if count == 1 else f"{count:,} pictures cannot be read and are"


def _of_sizes(sizes: Counter[tuple[int, int]]) -> str:
    if len(sizes) == 1:
        ((width, height),) = sizes
        return f"All pictures have {width}x{height} pixels."
    widths, heights = zip(*sizes, strict=True) if sizes else ((0,), (0,))
    (width, height), count = sizes.most_common(1)[0] if sizes else ((0, 0), 0)
    return (
        f"The pictures are {min(widths):,} to {max(widths):,} pixels wide and {min(heights):,} to {max(heights):,} high, "
        f"in {len(sizes):,} sizes; the commonest is {width}x{height} ({count:,})."
    )
