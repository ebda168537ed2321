"""Feeds: where the loop gets features from, live through the backbone or from those computed once; the loop cannot tell."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from headstart.ahead import ahead
from headstart.data import Data
from headstart.device import Compute, free_memory
from headstart.example import Example
from headstart.features import Features, collate, unbatch
from headstart.freezing import is_backbone_frozen
from headstart.model import HEAD, Model
from headstart.order import frozen_batches, rng
from headstart.rows import Row, Rows
from headstart.sound import prepare_soundly
from headstart.tally import Tally

PASS_EXAMPLES = 256  # at most, per batch of texts where nothing is learnt
NAMED = 8  # examples that a message names
DEVICE_SHARE = 0.25  # of the device's free memory, at most, for features that stay there

Coming = Iterator[tuple[Sequence[int], dict[str, Tensor]]]


class Feed(Protocol):
    """Features and targets of examples by index."""

    examples: Sequence[Example]
    sizes: Sequence[int]
    compute: Compute

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of the examples; `epoch` given = a training view of them."""
        ...

    def expect(self, batches: Sequence[Sequence[int]], *, epoch: int | None = None) -> None:
        """Hear which batches will be asked for next, in order, so that they can be prepared meanwhile."""


class LiveFeed:
    """Runs the backbone for every batch; under gradient only where something of it trains.

    Args:
        model: Whose backbone is run.
        data: Augments the training views.
        examples: Of one split.
        compute: Device and precision.
        seed: Of augmentation.
        exact: One example per pass while the backbone is frozen (see `TrainPlan.exact`).
        views: Different training views of each example (see `TrainPlan.views`).
        workers: Threads that prepare what is expected; 0 = none beside the computation (see `headstart.ahead`).
        tally: Hears of every pass.
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
        views: int = 0,
        workers: int = 0,
        tally: Tally | None = None,
    ) -> None:
        self.model, self._data, self.compute = model, data, compute
        self.seed, self.exact, self.views = seed, exact, views
        self.tally = tally or Tally(model.stage_names)
        self.examples: Sequence[Example] = examples
        sizes = model.backbone.sizes([example.input for example in examples])
        self.sizes: Sequence[int] = [1] * len(examples) if sizes is None else list(sizes)
        # texts are prepared in a moment, and their tokenizers are not made for several threads
        self.workers = workers if sizes is None else None
        self._coming: tuple[int | None, Coming] | None = None

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Run the backbone on the examples; singly where `exact` asks for it."""
        frozen = is_backbone_frozen(self.model)
        with torch.set_grad_enabled(epoch is not None and not frozen):
            if self.exact and frozen:
                single = [self.run(self.prepare([index], epoch=epoch), [index], epoch=epoch) for index in indices]
                rows = [row for features in single for row in unbatch(features, self.model.head.stored_ports)]
                return collate(rows, self.compute.device)
            return self.run(self.prepare(indices, epoch=epoch), indices, epoch=epoch)

    def run(self, batch: dict[str, Tensor], indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of a prepared batch, through every stage."""
        self.tally.forward(self.units(indices), len(indices))
        if epoch is not None:
            self.tally.backward(self.units(indices))
        return self.forward(batch)

    def expect(self, batches: Sequence[Sequence[int]], *, epoch: int | None = None) -> None:
        """Prepare these batches in threads; `prepare` takes them as long as they are asked for in this order."""
        self._forget()
        if self.workers is not None:
            prepare = partial(self.prepare_cpu, epoch=epoch)
            self._coming = (epoch, ahead(batches, prepare, workers=self.workers, name=self.named))

    def prepare(self, indices: Sequence[int], *, epoch: int | None = None) -> dict[str, Tensor]:
        """The prepared batch of the examples, on the device."""
        return self.to_device(self._expected(indices, epoch) or self.prepare_cpu(indices, epoch=epoch))

    def prepare_cpu(self, indices: Sequence[int], *, epoch: int | None = None) -> dict[str, Tensor]:
        """The same on the CPU; a pure function of its arguments, so that any thread may call it."""
        examples = [self.examples[index] for index in indices]
        view = self.view(epoch)
        rngs = [rng(self.seed, view or 0, example.id) for example in examples]
        inputs: list[Any] = [example.input for example in examples]
        if view is not None:
            inputs = [self._data.augment(input, generator) for input, generator in zip(inputs, rngs, strict=True)]
        return prepare_soundly(self.model.backbone, inputs, examples, rngs, train=view is not None)

    def named(self, indices: Sequence[int]) -> str:
        """The examples by their ids, for a message."""
        ids = [self.examples[index].id for index in indices[:NAMED]]
        return ", ".join(ids) + (f" and {len(indices) - NAMED} more" if len(indices) > NAMED else "")

    def view(self, epoch: int | None) -> int | None:
        """Number of the augmented view that an epoch sees, from 1 on; None = the plain one.

        A frozen backbone sees plain views, computed once, unless the plan asks for augmented ones by number.
        """
        if epoch is None:
            return None
        if self.views:
            return (epoch - 1) % self.views + 1
        return None if is_backbone_frozen(self.model) else epoch

    def to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A prepared batch on the device; page-locked memory lets the copy run beside the computation."""
        device = self.compute.device
        if device.type == "cuda":
            batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    def forward(self, batch: dict[str, Tensor]) -> Features:
        """Features of a prepared batch."""
        with self.compute.autocast():
            features: Features = self.model(batch)
        return features

    def units(self, indices: Sequence[int]) -> int:
        """What these examples cost together: their number, or their tokens."""
        return sum(self.sizes[index] for index in indices)

    def _expected(self, indices: Sequence[int], epoch: int | None) -> dict[str, Tensor] | None:
        if self._coming is None:
            return None
        known, coming = self._coming
        following = next(coming, None) if known == epoch else None
        if following is not None and list(following[0]) == list(indices):
            return following[1]
        self._forget()
        return None

    def _forget(self) -> None:
        if self._coming is not None:
            cast("Generator[object, None, None]", self._coming[1]).close()  # its threads end
            self._coming = None


class StoredFeed:
    """Features of a frozen backbone, computed once; only the ports that the head reads.

    Args:
        live: Whose examples these are.
        ports: What a row holds, in order.
        views: Rows of each training view; one entry = the plain view.
    """

    def __init__(self, live: LiveFeed, ports: Sequence[str], views: Sequence[Rows]) -> None:
        self.examples, self.sizes, self.compute = live.examples, live.sizes, live.compute
        self._units, self._tally, self._view = live.units, live.tally, live.view
        self._ports = tuple(ports)
        self._rows: tuple[Rows | Sequence[Row], ...] = tuple(views)
        self._dense = [self._join_dense(rows) for rows in self._rows]
        self._rows = tuple(() if dense else rows for dense, rows in zip(self._dense, self._rows, strict=True))

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """The stored features of the examples, padded to the longest where they are ragged."""
        self._tally.forward(self._units(indices), len(indices), after=HEAD)
        if epoch is not None:
            self._tally.backward(self._units(indices))
        at = ((self._view(epoch) or 1) - 1) if len(self._rows) > 1 else 0
        dense = self._dense[at]
        if dense is None:
            rows = [dict(zip(self._ports, self._rows[at][index], strict=True)) for index in indices]
            return collate(rows, self.compute.device)
        device = next(iter(dense.values())).device
        where = torch.as_tensor(indices, device=device)
        return {port: tensor.index_select(0, where).to(self.compute.device) for port, tensor in dense.items()}

    def expect(self, batches: Sequence[Sequence[int]], *, epoch: int | None = None) -> None:
        """Nothing is left to prepare."""

    def _join_dense(self, rows: Rows | Sequence[Row]) -> dict[str, Tensor] | None:
        """All rows of one view as one tensor for each port, on the device where they fit there; None where they are ragged."""
        every = [rows[index] for index in range(len(self.examples))]
        if not every or any(len({row[at].shape for row in every}) > 1 for at in range(len(self._ports))):
            return None
        size = sum(tensor.nbytes for row in every for tensor in row)
        if size > DEVICE_SHARE * free_memory(self.compute.device):
            return None
        device = self.compute.device
        return {port: torch.stack([row[at] for row in every]).to(device) for at, port in enumerate(self._ports)}


def pass_batches(sizes: Sequence[int], compute: Compute) -> list[list[int]]:
    """Batches of indices for a pass that learns nothing."""
    limit = PASS_EXAMPLES if len(set(sizes)) > 1 else compute.pass_examples
    return frozen_batches(sizes, compute.pass_tokens, limit)
