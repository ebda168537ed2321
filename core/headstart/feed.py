"""Feeds: where the loop gets features from, live through the backbone or from those computed once; the loop cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from headstart.data import Data
from headstart.device import Compute
from headstart.example import Example
from headstart.features import Features, collate, unbatch
from headstart.freezing import is_backbone_frozen
from headstart.model import Model
from headstart.order import frozen_batches, rng

PASS_EXAMPLES = 256  # at most, per batch of texts where nothing is learnt


class Feed(Protocol):
    """Features and targets of examples by index."""

    examples: Sequence[Example]
    sizes: Sequence[int]
    compute: Compute

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of the examples; `epoch` given = a training view of them."""
        ...


class LiveFeed:
    """Runs the backbone for every batch; under gradient only where something of it trains.

    Args:
        model: Whose backbone is run.
        data: Augments the training views.
        examples: Of one split.
        compute: Device and precision.
        seed: Of augmentation.
        exact: One example per pass while the backbone is frozen (see `TrainPlan.exact`).
        count: Called with the number of examples of each pass.
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        examples: Sequence[Example],
        compute: Compute,
        *,
        seed: int = 0,
        exact: bool = False,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.model, self._data, self.compute = model, data, compute
        self._seed, self.exact, self._count = seed, exact, count
        self.examples: Sequence[Example] = examples
        self.sizes: Sequence[int] = measure(model, examples)

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Run the backbone on the examples; singly where `exact` asks for it."""
        frozen = is_backbone_frozen(self.model)
        with torch.set_grad_enabled(epoch is not None and not frozen):
            if self.exact and frozen:
                rows = [row for index in indices for row in unbatch(self._run([index], epoch), self.model.head.needs)]
                return collate(rows, self.compute.device)
            return self._run(indices, epoch)

    def _run(self, indices: Sequence[int], epoch: int | None) -> Features:
        self._count(len(indices))
        return self.forward(self.prepare(indices, epoch=epoch))

    def prepare(self, indices: Sequence[int], *, epoch: int | None = None) -> dict[str, torch.Tensor]:
        """The prepared batch of the examples, on the device."""
        examples = [self.examples[index] for index in indices]
        rngs = [rng(self._seed, epoch or 0, example.id) for example in examples]
        inputs: list[Any] = [example.input for example in examples]
        if epoch is not None:
            inputs = [self._data.augment(input, generator) for input, generator in zip(inputs, rngs, strict=True)]
        batch = self.model.backbone.prepare(inputs, train=epoch is not None, rngs=rngs)
        return {name: tensor.to(self.compute.device, non_blocking=True) for name, tensor in batch.items()}

    def forward(self, batch: dict[str, torch.Tensor]) -> Features:
        """Features of a prepared batch."""
        with self.compute.autocast():
            features: Features = self.model(batch)
        return features


class StoredFeed:
    """Features computed once with a frozen backbone, by example; only the ports that the head reads.

    Args:
        live: The feed that computes them; it is run exactly once over its examples.
        ports: What to keep.
        compute: Where batches are wanted; dense ports stay there.
    """

    def __init__(self, live: LiveFeed, ports: Sequence[str], compute: Compute) -> None:
        self.examples: Sequence[Example] = live.examples
        self.sizes: Sequence[int] = live.sizes
        self.compute = compute
        rows: list[dict[str, torch.Tensor] | None] = [None] * len(live.examples)
        for indices in pass_batches(live.sizes, compute):
            for index, row in zip(indices, unbatch(live.batch(indices), ports), strict=True):
                rows[index] = row
        self._rows = [row for row in rows if row is not None]
        self._dense = self._join_dense()
        if self._dense is not None:
            self._rows = []

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """The stored features of the examples, padded to the longest where they are ragged."""
        if self._dense is None:
            return collate([self._rows[index] for index in indices], self.compute.device)
        where = torch.as_tensor(indices, device=self.compute.device)
        return {port: tensor.index_select(0, where) for port, tensor in self._dense.items()}

    def _join_dense(self) -> dict[str, torch.Tensor] | None:
        shapes = {port: {row[port].shape for row in self._rows} for port in (self._rows[0] if self._rows else ())}
        if not self._rows or any(len(found) > 1 for found in shapes.values()):
            return None
        return collate(self._rows, self.compute.device)


def pass_batches(sizes: Sequence[int], compute: Compute) -> list[list[int]]:
    """Batches of indices for a pass that learns nothing."""
    limit = PASS_EXAMPLES if len(set(sizes)) > 1 else compute.pass_examples
    return frozen_batches(sizes, compute.pass_tokens, limit)


def measure(model: Model, examples: Sequence[Example]) -> list[int]:
    """Cost of each example, 1 where the backbone knows no difference."""
    sizes = model.backbone.sizes([example.input for example in examples])
    return [1] * len(examples) if sizes is None else list(sizes)
