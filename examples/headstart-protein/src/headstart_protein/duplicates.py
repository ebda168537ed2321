"""Equal sequences: copies with the same label are kept once, those with different labels not at all."""

from __future__ import annotations

from collections.abc import Sequence

from headstart import Example


def without_duplicates(examples: Sequence[Example]) -> tuple[list[Example], int, int]:
    """Examples with sequences that are unique, how many copies were left out, and how many with contradicting labels."""
    by_sequence: dict[str, list[Example]] = {}
    for example in examples:
        by_sequence.setdefault(example.input, []).append(example)
    kept, copies, conflicts = [], 0, 0
    for same in by_sequence.values():
        if any(example.target != same[0].target for example in same):
            conflicts += len(same)
        else:
            kept.append(same[0])
            copies += len(same) - 1
    return kept, copies, conflicts
