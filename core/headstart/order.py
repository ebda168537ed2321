"""Order and randomness as pure functions of seeds: the same for any number of workers and after any kill."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


def seed_of(*keys: object) -> int:
    """A 63-bit seed from any keys; equal keys give equal seeds on every machine (not Python's salted hash)."""
    digest = blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def rng(seed: int, view: int, example_id: str) -> np.random.Generator:
    """The generator of one example's augmentation in one view or epoch."""
    return np.random.default_rng(seed_of("augment", seed, view, example_id))


def training_batches(seed: int, epoch: int, sizes: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of indices for one epoch: shuffled, then alike in size within stretches of 16 batches to save padding.

    Args:
        seed: The training seed.
        epoch: Number of the epoch; each has its own order.
        sizes: Cost of each example (tokens); all equal = a plain shuffle.
        batch_size: Examples per batch; the last one may be smaller. A last one of a single example joins the one before:
            BatchNorm has no variance of it.
    """
    generator = np.random.default_rng(seed_of("order", seed, epoch))
    shuffled = generator.permutation(len(sizes))
    if len(set(sizes)) > 1:
        shuffled = _sorted_in_stretches(shuffled, sizes, 16 * batch_size)
    batches = [part.tolist() for part in np.split(shuffled, _cuts(len(shuffled), batch_size))] if len(sizes) else []
    return [batches[index] for index in generator.permutation(len(batches))]


def batch_count(count: int, batch_size: int) -> int:
    """How many batches `training_batches` makes of `count` examples."""
    return len(_cuts(count, batch_size)) + 1 if count else 0


def micro_batches(
    indices: Sequence[int], size: int | None, sizes: Sequence[int] = (), budget: int | None = None
) -> list[list[int]]:
    """A batch in the fewest parts of at most `size`, as equal as can be, so that none is a single left-over example.

    Args:
        indices: Of the batch.
        size: Examples of a part at most; None = any number.
        sizes: Cost of each example (tokens), by index.
        budget: Where a batch is padded to more tokens than this, it is parted by length, longest first, into parts of at most
            so many; a few long texts otherwise make the others as long as they are. None = no limit.
    """
    if budget is not None and len(indices) * max(sizes[index] for index in indices) > budget:
        parted = frozen_batches([sizes[index] for index in indices], budget, size or len(indices))
        return [[indices[at] for at in part] for part in parted]
    parts = -(-len(indices) // size) if size else 1
    return [part.tolist() for part in np.array_split(np.asarray(indices), parts)]


def _cuts(count: int, batch_size: int) -> list[int]:
    """Where batches begin but the first."""
    cuts = list(range(batch_size, count, batch_size))
    return cuts[:-1] if batch_size > 1 and count % batch_size == 1 else cuts


def _sorted_in_stretches(order: np.ndarray, sizes: Sequence[int], stretch: int) -> np.ndarray:
    costs = np.asarray(sizes)
    parts = [order[start : start + stretch] for start in range(0, len(order), stretch)]
    return np.concatenate([part[np.argsort(costs[part], kind="stable")] for part in parts])


def frozen_batches(sizes: Sequence[int], budget: int, limit: int) -> list[list[int]]:
    """Batches for a pass that learns nothing: longest first, each of at most `limit` examples and `budget` padded tokens."""
    longest_first = np.argsort(-np.asarray(sizes), kind="stable").tolist()
    batches: list[list[int]] = []
    for index in longest_first:
        full = not batches or len(batches[-1]) >= limit or (len(batches[-1]) + 1) * sizes[batches[-1][0]] > budget
        if full:
            batches.append([])
        batches[-1].append(index)
    return batches
