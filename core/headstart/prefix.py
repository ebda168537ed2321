"""The frozen prefix: stages below everything that trains run once per example; their last value is replayed, bit for bit.

During a step the boundary's last module returns the stored value, and every frozen module before it a stand-in of the right
shape without storage, so that the code between modules still runs and backward stops at the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from headstart.features import join
from headstart.model import Model

Row = list[Tensor]
"""The boundary's value of one example: its tensors, padding cut away."""


@dataclass(frozen=True)
class Prefix:
    """Frozen stages at the input side.

    Attributes:
        stage: Name of the last of them, the boundary.
        modules: Paths of their modules in the order in which they run; the last one gives the boundary's value.
    """

    stage: str
    modules: tuple[str, ...]


def frozen_prefix(model: Model) -> Prefix | None:
    """The longest run of stages from the input of which nothing trains; None where the first stage trains already."""
    training = {model.owner[name] for name, weight in model.weights().items() if weight.requires_grad}
    found: Prefix | None = None
    paths: tuple[str, ...] = ()
    for stage in model.backbone.stages:
        if stage.name in training:
            return found
        paths += stage.modules
        found = Prefix(stage.name, paths) if stage.modules else found
    return found


@dataclass(frozen=True)
class Shape:
    """A tensor's shape with the places of batch and length left open.

    Attributes:
        sizes: As seen; the entries of open places do not count.
        is_batched: The first place is the batch.
        is_ragged: The second place is the length of the longest example.
    """

    sizes: tuple[int, ...]
    is_batched: bool
    is_ragged: bool
    dtype: torch.dtype

    @classmethod
    def of(cls, tensors: Sequence[Tensor], sizes: Sequence[tuple[int, int | None]]) -> Shape:
        """The shape of one output, seen in batches of known (examples, longest); longest None = nothing has a length.

        Seen in batches of different sizes, a place that happens to equal the length once is not taken for it.
        """
        pairs = list(zip(tensors, sizes, strict=True))
        is_batched = all(tensor.ndim > 0 and tensor.shape[0] == count for tensor, (count, _) in pairs)
        is_ragged = is_batched and all(tensor.ndim > 1 and tensor.shape[1] == longest for tensor, (_, longest) in pairs)
        return cls(tuple(tensors[0].shape), is_batched, is_ragged, tensors[0].dtype)

    def stand_in(self, batch: int, longest: int | None, device: torch.device) -> Tensor:
        """A tensor of this shape for another batch; it takes no storage and holds zeros."""
        sizes = list(self.sizes)
        if self.is_batched:
            sizes[0] = batch
        if self.is_ragged and longest is not None:
            sizes[1] = longest
        return torch.zeros((), dtype=self.dtype, device=device).expand(sizes)


@dataclass
class Seen:
    """What each frozen module gave in one forward pass.

    Attributes:
        outputs: Module path -> its flattened output and the structure to put it together again; of repeated calls the last.
    """

    outputs: dict[str, tuple[list[Any], Any]] = field(default_factory=dict)


@contextmanager
def watching(network: nn.Module, prefix: Prefix) -> Iterator[Seen]:
    """Note the outputs of the prefix's modules while the context lasts."""
    seen = Seen()

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.outputs[path] = tree_flatten(output)

        return hook

    handles = [network.get_submodule(path).register_forward_hook(note(path)) for path in prefix.modules]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Pattern:
    """How to stand in for the prefix in any batch: the structure of each module's output, with shapes in place of tensors."""

    prefix: Prefix
    outputs: Mapping[str, tuple[Sequence[Any], Any]]

    @classmethod
    def of(cls, prefix: Prefix, passes: Sequence[Seen], sizes: Sequence[tuple[int, int | None]]) -> Pattern:
        """The pattern of several watched passes over batches of known (examples, longest)."""
        outputs = {}
        for path, (leaves, structure) in passes[0].outputs.items():
            columns = zip(*(seen.outputs[path][0] for seen in passes), strict=True)
            shapes = [
                Shape.of(column, sizes) if isinstance(leaf, Tensor) else leaf
                for leaf, column in zip(leaves, columns, strict=True)
            ]
            outputs[path] = (shapes, structure)
        return cls(prefix, outputs)

    def is_storable(self) -> bool:
        """Whether the boundary's value can be taken apart by example."""
        leaves, _ = self.outputs.get(self.prefix.modules[-1], ((), None))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Shape)]
        return bool(tensors) and all(leaf.is_batched for leaf in tensors)

    def rows(self, seen: Seen, lengths: Sequence[int] | None) -> list[Row]:
        """The boundary's value of a watched pass, by example, on the CPU."""
        shapes, _ = self.outputs[self.prefix.modules[-1]]
        leaves, _ = seen.outputs[self.prefix.modules[-1]]
        pairs = [(leaf.detach().cpu(), shape) for leaf, shape in zip(leaves, shapes, strict=True) if isinstance(shape, Shape)]
        count = pairs[0][0].shape[0]
        cut = [None] * count if lengths is None else lengths
        return [[(leaf[i, : cut[i]] if shape.is_ragged else leaf[i]).clone() for leaf, shape in pairs] for i in range(count)]

    @contextmanager
    def replaying(
        self, network: nn.Module, rows: Sequence[Row], device: torch.device, *, longest: int | None
    ) -> Iterator[None]:
        """Let the prefix give the stored rows while the context lasts; nothing of it computes.

        Args:
            network: Whose modules are replaced for the time.
            rows: Of the batch's examples.
            device: Where the batch is.
            longest: Length of the longest example; None = nothing has a length.
        """
        joined = [join([row[at] for row in rows]).to(device, non_blocking=True) for at in range(len(rows[0]))]
        modules = [(path, network.get_submodule(path)) for path in self.outputs]
        try:
            for path, module in modules:
                module.forward = _giving(self._output(path, joined, longest, device))
            yield
        finally:
            for _, module in modules:
                module.__dict__.pop("forward", None)

    def _output(self, path: str, joined: Sequence[Tensor], longest: int | None, device: torch.device) -> Any:
        shapes, structure = self.outputs[path]
        if path == self.prefix.modules[-1]:
            values = iter(joined)
            return tree_unflatten([next(values) if isinstance(leaf, Shape) else leaf for leaf in shapes], structure)
        batch = joined[0].shape[0]
        leaves = [leaf.stand_in(batch, longest, device) if isinstance(leaf, Shape) else leaf for leaf in shapes]
        return tree_unflatten(leaves, structure)


def _giving(value: Any) -> Any:
    def forward(*_args: Any, **_kwargs: Any) -> Any:
        return value

    return forward
