"""The feed of a half-frozen backbone: its frozen prefix runs once per example and is replayed in every step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

from headstart.features import Features
from headstart.feed import LiveFeed, pass_batches
from headstart.prefix import Pattern, Prefix, Row, Seen, watching

MEMORY_SHARE = 0.4  # of the free memory, at most, for one split's prefix; the rest is for training
TOLERANCE = 1e-4  # between batches of another composition, float32: measured 2e-6 on MiniLM
TOLERANCE_BF16 = 5e-2  # the same under bf16 autocast: measured 8e-3, values up to 1.7


class PrefixFeed:
    """Runs only what lies above the boundary; made by `store_prefix`, which proves first that replaying is exact.

    Args:
        live: Prepares batches and runs the network.
        pattern: How to stand in for the prefix.
        rows: The boundary's value by the example's index.
    """

    def __init__(self, live: LiveFeed, pattern: Pattern, rows: Mapping[int, Row]) -> None:
        self._live, self._pattern, self._rows = live, pattern, rows
        self.stage, self.megabytes = pattern.prefix.stage, round(_bytes(list(rows.values())) / 1e6, 1)
        self.examples, self.sizes, self.compute = live.examples, live.sizes, live.compute

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of the examples, with the stored prefix."""
        rows = [self._rows[index] for index in indices]
        network = self._live.model.backbone.network
        replaying = self._pattern.replaying(network, rows, self.compute.device, longest=_longest(self._live, indices))
        with torch.set_grad_enabled(epoch is not None), replaying:
            return self._live.forward(self._live.prepare(indices, epoch=epoch))


def store_prefix(live: LiveFeed, prefix: Prefix) -> PrefixFeed | str:
    """Run the prefix once over all examples of a feed; or say why it runs live instead.

    Replaying is offered only where it was proven on these examples: the features of the shortest and the longest one,
    replayed in the batch in which they were stored, are equal to the live ones to the bit, and replayed in another
    batch within the tolerance of sums in another order and precision.
    """
    if not live.examples:
        return "there are no examples"
    live.model.eval()
    with torch.no_grad():
        pattern, why_not = _proven(live, prefix)
        if pattern is None:
            return why_not
        rows: dict[int, Row] = {}
        singly = [[index] for index in range(len(live.examples))]
        for indices in singly if live.exact else pass_batches(live.sizes, live.compute):
            _, seen = _watched(live, prefix, indices)
            rows.update(zip(indices, pattern.rows(seen, _lengths(live, indices)), strict=True))
    return PrefixFeed(live, pattern, rows)


def _proven(live: LiveFeed, prefix: Prefix) -> tuple[Pattern | None, str]:
    by_size = sorted(range(len(live.examples)), key=lambda index: live.sizes[index])
    both, alone = list(dict.fromkeys([by_size[-1], by_size[0]])), by_size[:1]
    passes = [_watched(live, prefix, indices) for indices in (both, alone)]
    pattern = Pattern.of(prefix, [seen for _, seen in passes], [(len(both), _longest(live, both)), (1, _longest(live, alone))])
    if not pattern.is_storable():
        return None, f"the value after {prefix.stage} cannot be taken apart by example"
    rows = pattern.rows(passes[0][1], _lengths(live, both))
    needed = _bytes(rows) * sum(live.sizes) // sum(live.sizes[index] for index in both)
    if needed > MEMORY_SHARE * free_memory():
        return None, f"the values after {prefix.stage} would take {needed / 1e9:.1f} GB of memory"
    again = PrefixFeed(live, pattern, {index: rows[at] for at, index in enumerate(both)})
    ports = live.model.head.needs
    is_same = all(torch.equal(again.batch(both)[port], passes[0][0][port]) for port in ports)
    tolerance = TOLERANCE_BF16 if live.compute.bf16 else TOLERANCE
    is_near = all(_is_near(again.batch(alone)[port], passes[1][0][port], tolerance) for port in ports)
    return (pattern, "") if is_same and is_near else (None, f"replaying after {prefix.stage} is not exact in this network")


def _watched(live: LiveFeed, prefix: Prefix, indices: Sequence[int]) -> tuple[Features, Seen]:
    with watching(live.model.backbone.network, prefix) as seen:
        return live.batch(indices), seen


def _lengths(live: LiveFeed, indices: Sequence[int]) -> list[int] | None:
    """Sizes of the examples where they differ in size at all."""
    return [live.sizes[index] for index in indices] if len(set(live.sizes)) > 1 else None


def _longest(live: LiveFeed, indices: Sequence[int]) -> int | None:
    return max(_lengths(live, indices) or [0]) or None


def _is_near(first: torch.Tensor, second: torch.Tensor, tolerance: float) -> bool:
    return torch.allclose(first.float(), second.float(), rtol=tolerance, atol=tolerance)


def _bytes(rows: Sequence[Row]) -> int:
    return sum(tensor.nbytes for row in rows for tensor in row)


def free_memory() -> int:
    """Bytes of memory that are free now, as the system tells; unlimited where it does not."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 62
