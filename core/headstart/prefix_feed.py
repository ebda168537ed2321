"""The feed of a half-frozen backbone: its frozen prefix was computed once and is replayed in every step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from headstart.features import Features
from headstart.feed import LiveFeed
from headstart.model import Model
from headstart.prefix import Pattern, Prefix, Reached, Seen, Shape, prefix_upto, watching
from headstart.rows import Row, Rows, row_bytes

TOLERANCE = 1e-4  # between batches of another composition, float32: measured 2e-6 on MiniLM
TOLERANCE_BF16 = 5e-2  # the same under bf16 autocast: measured 8e-3, values up to 1.7


class PrefixFeed:
    """Runs only what lies above the boundary, whose values are stored.

    Args:
        live: Prepares batches and runs the network.
        pattern: How to stand in for the prefix, proven.
        views: Rows of each training view; one entry = the plain view.
    """

    def __init__(self, live: LiveFeed, pattern: Pattern, views: Sequence[Rows]) -> None:
        self._live, self._pattern, self._rows = live, pattern, tuple(views)
        self.stage = pattern.prefix.stage
        self.examples, self.sizes, self.compute = live.examples, live.sizes, live.compute

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of the examples, with the stored prefix."""
        live = self._live
        live.tally.forward(live.units(indices), len(indices), after=self.stage)
        if epoch is not None:
            live.tally.backward(live.units(indices))
        with torch.set_grad_enabled(epoch is not None), self.replaying(live.model, indices, live.view(epoch)):
            return live.forward(self.inputs(indices, epoch=epoch))

    @property
    def is_blind(self) -> bool:
        """Whether nothing above the boundary reads the prepared inputs."""
        return self._pattern.inputs is not None

    def inputs(self, indices: Sequence[int], *, epoch: int | None = None) -> dict[str, Tensor]:
        """The prepared batch, or stand-ins where nothing above the boundary reads it."""
        blind = self._pattern.blind_inputs(len(indices), self.compute.device)
        return self._live.prepare(indices, epoch=epoch) if blind is None else blind

    def expect(self, batches: Sequence[Sequence[int]], *, epoch: int | None = None) -> None:
        """Inputs that are still read are prepared in threads."""
        if not self.is_blind:
            self._live.expect(batches, epoch=epoch)

    @contextmanager
    def replaying(self, model: Model, indices: Sequence[int], view: int | None) -> Iterator[None]:
        """Let the prefix of a model give the stored values of these examples while the context lasts."""
        rows = self._rows[(view or 1) - 1 if len(self._rows) > 1 else 0]
        longest = longest_of(self._live, indices)
        chosen = [rows[index] for index in indices]
        with self._pattern.replaying(model.backbone.network, chosen, self.compute.device, longest=longest):
            yield


@dataclass
class Proof:
    """Which boundaries of a network replay exactly on some examples, and what a pass over them took.

    Attributes:
        patterns: Stage -> how to stand in for everything up to it.
        refused: Stage -> why its value cannot be replayed.
        bytes: Stage -> of its value, per unit (example or token).
        port_bytes: Of the head's ports, per unit.
        seconds: Of preparing and one whole forward pass, per unit.
        error: Stage -> largest relative difference of float16, where rows are to be compact.
    """

    patterns: dict[str, Pattern] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, float] = field(default_factory=dict)
    port_bytes: float = 0.0
    seconds: float = 0.0
    error: dict[str, float] = field(default_factory=dict)


def prove(live: LiveFeed, stages: Sequence[str], *, compact: bool = False) -> Proof:
    """Watch the network on the longest and the shortest example, and replay it at each boundary.

    Replaying is offered only where it was proven on these examples: the features, replayed in the batch in which they were
    stored, are equal to the live ones to the bit, and replayed in another batch within the tolerance of sums in another
    order and precision. A compact store is proven before its values are rounded.

    Args:
        live: Of the examples; its model's modes are set to evaluation.
        stages: Boundaries, in the order of the network.
        compact: Whether rows keep float16.
    """
    live.model.eval()
    by_size = sorted(range(len(live.examples)), key=lambda index: live.sizes[index])
    both, alone = list(dict.fromkeys([by_size[-1], by_size[0]])), by_size[:1]
    whole = prefix_upto(live.model, stages[-1]) if stages else None
    with torch.no_grad():
        if whole is None:
            return _costing(live, None, alone)
        passes = [_watched(live, whole, indices) for indices in (both, alone)]
        proof = _costing(live, whole, alone)
        sizes = [(len(both), longest_of(live, both)), (1, longest_of(live, alone))]
        pattern = Pattern.of(whole, [seen for _, seen in passes], sizes)
        for stage in stages:
            _prove_one(proof, live, pattern.upto(prefix_upto(live.model, stage)), passes, (both, alone), compact=compact)
    return proof


def _costing(live: LiveFeed, prefix: Prefix | None, alone: Sequence[int]) -> Proof:
    """A proof that knows only what a pass costs; the ones before, the last the one that counted, were cold."""
    started = time.perf_counter()
    features, _ = _watched(live, prefix, alone)
    seconds = (time.perf_counter() - started) / live.units(alone)
    size = sum(features[port].nbytes for port in live.model.head.stored_ports) / live.units(alone)
    return Proof(port_bytes=size, seconds=seconds)


def _prove_one(
    proof: Proof,
    live: LiveFeed,
    pattern: Pattern,
    passes: Sequence[tuple[Features, Seen]],
    batches: tuple[list[int], list[int]],
    *,
    compact: bool,
) -> None:
    stage, (both, alone) = pattern.prefix.stage, batches
    if not pattern.is_storable():
        proof.refused[stage] = f"the value after {stage} cannot be taken apart by example"
        return
    rows = pattern.rows(passes[0][1], lengths_of(live, both))
    proof.bytes[stage] = row_bytes(rows) / live.units(both) / (2 if compact else 1)
    again = PrefixFeed(live, pattern, [_Few(rows, both)])
    ports, (first, second) = live.model.head.stored_ports, (passes[0][0], passes[1][0])
    tolerance = TOLERANCE_BF16 if live.compute.bf16 else TOLERANCE
    replayed = again.batch(both)
    is_same = all(torch.equal(replayed[port], first[port]) for port in ports)
    is_near = all(_is_near(found, second[port], tolerance) for port, found in again.batch(alone).items() if port in ports)
    if not (is_same and is_near):
        proof.refused[stage] = f"replaying after {stage} is not exact in this network"
        return
    pattern = _blinded(live, pattern, both, rows, first)
    if compact:
        proof.error[stage] = pattern.error(passes[0][1])
        pattern = replace(pattern, compact=bool(proof.error[stage] < 1))
    proof.patterns[stage] = pattern


def _blinded(live: LiveFeed, pattern: Pattern, both: Sequence[int], rows: Sequence[Row], expected: Features) -> Pattern:
    """The pattern with stand-ins for the inputs, where features stay equal with nothing but NaN in their place."""
    batch = live.prepare(both)
    is_even = lengths_of(live, both) is None and all(
        tensor.is_floating_point() and len(tensor) == len(both) for tensor in batch.values()
    )
    if not is_even:
        return pattern
    shapes = {name: Shape(tuple(t.shape), is_batched=True, is_ragged=False, dtype=t.dtype) for name, t in batch.items()}
    blind = replace(pattern, inputs=shapes)
    try:
        found = PrefixFeed(live, blind, [_Few(rows, both)]).batch(both)
    except (RuntimeError, ValueError, IndexError):  # the network's own code looks at the values
        return pattern
    return blind if all(torch.equal(found[port], expected[port]) for port in live.model.head.stored_ports) else pattern


class _Few:
    """Rows of a few examples by their index."""

    def __init__(self, rows: Sequence[Row], indices: Sequence[int]) -> None:
        self._rows = dict(zip(indices, rows, strict=True))
        self.nbytes = row_bytes(rows)

    def __getitem__(self, at: int) -> Row:
        return self._rows[at]

    def __len__(self) -> int:
        return len(self._rows)


class Recomputed:
    """Rows that are computed anew whenever they are asked for, each example on its own: what `train.exact` compares with."""

    nbytes = 0

    def __init__(self, live: LiveFeed, pattern: Pattern, view: int | None) -> None:
        self._live, self._pattern, self._view = live, pattern, view

    def __getitem__(self, at: int) -> Row:
        return boundary_rows(self._live, self._live.model, self._pattern, [at], self._view)[0]

    def __len__(self) -> int:
        return len(self._live.examples)


def boundary_rows(live: LiveFeed, model: Model, pattern: Pattern, indices: Sequence[int], view: int | None) -> list[Row]:
    """Run the prefix of a model on some examples, no further, and take its value apart."""
    batch = live.to_device(live.prepare_cpu(indices, epoch=view))
    live.tally.forward(live.units(indices), len(indices), upto=pattern.prefix.stage)
    return upto_boundary(live, model, pattern, indices, batch)


def upto_boundary(
    live: LiveFeed, model: Model, pattern: Pattern, indices: Sequence[int], batch: Mapping[str, Tensor]
) -> list[Row]:
    """The rows of a prepared batch after the boundary; what lies above does not run."""
    was_training = [module for module in model.backbone.network.modules() if module.training]
    model.backbone.eval()
    try:
        with torch.no_grad(), live.compute.autocast():
            seen = _run_upto(model, pattern.prefix.modules[-1], batch)
            return pattern.rows(seen, lengths_of(live, indices))
    finally:
        for module in was_training:
            module.training = True


def _run_upto(model: Model, path: str, batch: Mapping[str, Tensor]) -> Seen:
    with watching(model.backbone.network, [path], stop=True) as seen, suppress(Reached):
        model(batch)
    return seen


def lengths_of(live: LiveFeed, indices: Sequence[int]) -> list[int] | None:
    """Sizes of the examples where they differ in size at all."""
    return [live.sizes[index] for index in indices] if len(set(live.sizes)) > 1 else None


def longest_of(live: LiveFeed, indices: Sequence[int]) -> int | None:
    """Size of the longest of these examples; None = nothing has a length."""
    return max(lengths_of(live, indices) or [0]) or None


def _watched(live: LiveFeed, prefix: Prefix | None, indices: Sequence[int]) -> tuple[Features, Seen]:
    paths = prefix.modules if prefix else ()
    with watching(live.model.backbone.network, paths) as seen:
        return live.run(live.prepare(indices), indices), seen


def _is_near(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two features are equal but for the order of sums, whose error grows with the largest value."""
    largest = max(1.0, float(second.float().abs().max()))
    return torch.allclose(first.float(), second.float(), rtol=tolerance, atol=tolerance * largest)
