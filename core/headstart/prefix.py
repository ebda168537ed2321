"""The frozen prefix: stages below everything that trains run once per example; their last value is replayed, bit for bit.

During a step the boundary's last module returns the stored value, and every frozen module before it a stand-in of the right
shape without storage, so that the code between modules still runs and backward stops at the boundary.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from headstart.features import join
from headstart.model import Model
from headstart.rows import Row
from headstart.stages import Stage


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
    return prefix_below(model, {model.owner[name] for name, weight in model.weights().items() if weight.requires_grad})


def prefix_below(model: Model, training: Collection[str]) -> Prefix | None:
    """The longest run of stages from the input of which none is in `training`; None where there is none."""
    frozen = list(takewhile(lambda stage: stage.name not in training, model.backbone.stages))
    while frozen and not frozen[-1].modules:
        frozen.pop()  # a stage of loose parameters alone gives no value of its own
    return _prefix(frozen) if frozen else None


def prefix_upto(model: Model, stage: str) -> Prefix:
    """The stages from the input up to a named one."""
    names = model.stage_names
    return _prefix(model.backbone.stages[: names.index(stage) + 1])


def _prefix(stages: Sequence[Stage]) -> Prefix:
    return Prefix(stages[-1].name, tuple(path for stage in stages for path in stage.modules))


@dataclass(frozen=True)
class Shape:
    """A tensor's shape with the places of batch and length left open.

    Attributes:
        sizes: As seen; the entries of open places do not count.
        is_batched: The first place is the batch.
        is_ragged: The second place is the length of the longest example.
        is_channels_last: A map whose channels lie last in memory.
    """

    sizes: tuple[int, ...]
    is_batched: bool
    is_ragged: bool
    dtype: torch.dtype
    is_channels_last: bool = False

    @classmethod
    def of(cls, tensors: Sequence[Tensor], sizes: Sequence[tuple[int, int | None]]) -> Shape:
        """The shape of one output, seen in batches of known (examples, longest); longest None = nothing has a length.

        Seen in batches of different sizes, a place that happens to equal the length once is not taken for it.
        """
        pairs = list(zip(tensors, sizes, strict=True))
        is_batched = all(tensor.ndim > 0 and tensor.shape[0] == count for tensor, (count, _) in pairs)
        is_ragged = all(tensor.ndim > 1 and tensor.shape[1] == longest for tensor, (_, longest) in pairs)  # GPT-2's positions
        return cls(tuple(tensors[0].shape), is_batched, is_ragged, tensors[0].dtype, _has_channels_last(tensors[0]))

    def stand_in(self, batch: int, longest: int | None, device: torch.device, *, fill: float = 0.0) -> Tensor:
        """A tensor of this shape for another batch; it takes no storage and holds one value."""
        sizes = list(self.sizes)
        if self.is_batched:
            sizes[0] = batch
        if self.is_ragged and longest is not None:
            sizes[1] = longest
        return torch.full((), fill, dtype=self.dtype, device=device).expand(sizes)


@dataclass
class Seen:
    """What each frozen module gave in one forward pass.

    Attributes:
        outputs: Module path -> its flattened output and the structure to put it together again; of repeated calls the last.
    """

    outputs: dict[str, tuple[list[Any], Any]] = field(default_factory=dict)


class Reached(Exception):  # noqa: N818 - no error: what was wanted is there, and the rest need not run
    """The last module that is wanted has run."""


@contextmanager
def watching(network: nn.Module, paths: Sequence[str], *, stop: bool = False) -> Iterator[Seen]:
    """Note the outputs of modules while the context lasts.

    Args:
        network: Whose modules they are.
        paths: Of the modules.
        stop: Whether the pass ends (by `Reached`) once the last of them has run.
    """
    seen = Seen()

    def note(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.outputs[path] = tree_flatten(output)
            if stop and path == paths[-1]:
                raise Reached

        return hook

    handles = [network.get_submodule(path).register_forward_hook(note(path)) for path in paths]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Pattern:
    """How to stand in for the prefix in any batch: the structure of each module's output, with shapes in place of tensors.

    Attributes:
        compact: Rows keep floating-point values as float16.
        inputs: Shapes of the prepared tensors where nothing above the boundary reads them, so that inputs need not be
            prepared again; None = they are read.
    """

    prefix: Prefix
    outputs: Mapping[str, tuple[Sequence[Any], Any]]
    compact: bool = False
    inputs: Mapping[str, Shape] | None = None

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

    def upto(self, prefix: Prefix) -> Pattern:
        """The pattern of fewer stages."""
        ran = [path for path in prefix.modules if path in self.outputs]
        return replace(self, prefix=prefix, outputs={path: self.outputs[path] for path in ran})

    def blind_inputs(self, batch: int, device: torch.device) -> dict[str, Tensor] | None:
        """Stand-ins for the prepared tensors of a batch; None where the real ones are read."""
        if self.inputs is None:
            return None
        return {name: shape.stand_in(batch, None, device, fill=math.nan) for name, shape in self.inputs.items()}

    def rows(self, seen: Seen, lengths: Sequence[int] | None) -> list[Row]:
        """The boundary's value of a watched pass, by example, on the CPU."""
        shapes, _ = self.outputs[self.prefix.modules[-1]]
        leaves, _ = seen.outputs[self.prefix.modules[-1]]
        pairs = [
            (self._kept(leaf.detach()).cpu(), shape)
            for leaf, shape in zip(leaves, shapes, strict=True)
            if isinstance(shape, Shape)
        ]
        count = pairs[0][0].shape[0]
        cut = [None] * count if lengths is None else lengths
        return [[_own(leaf[i, : cut[i]] if shape.is_ragged else leaf[i]) for leaf, shape in pairs] for i in range(count)]

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
        joined = self._joined(rows, device)
        modules = [(path, network.get_submodule(path)) for path in self.outputs]
        before = [module.__dict__.get("forward") for _, module in modules]  # a compiled stage has one of its own
        try:
            for path, module in modules:
                module.forward = _giving(self._output(path, joined, longest, device))
            yield
        finally:
            for (_, module), own in zip(modules, before, strict=True):
                module.__dict__.pop("forward", None)
                if own is not None:
                    module.forward = own

    def error(self, seen: Seen) -> float:
        """Largest difference that float16 makes to the boundary's value, relative to its largest; not finite = too large."""
        leaves, _ = seen.outputs[self.prefix.modules[-1]]
        floats = [leaf.detach().float() for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        gaps = [float((leaf - leaf.half().float()).abs().max() / leaf.abs().max().clamp(min=1e-12)) for leaf in floats]
        return max(gaps, default=0.0)

    def _kept(self, leaf: Tensor) -> Tensor:
        return leaf.half() if self.compact and leaf.is_floating_point() else leaf

    def _joined(self, rows: Sequence[Row], device: torch.device) -> list[Tensor]:
        shapes = [leaf for leaf in self.outputs[self.prefix.modules[-1]][0] if isinstance(leaf, Shape)]
        found = []
        for at, shape in enumerate(shapes):
            tensor = join([row[at] for row in rows])
            tensor = tensor.pin_memory() if device.type == "cuda" else tensor
            tensor = tensor.to(device, non_blocking=True).to(shape.dtype)
            found.append(tensor.contiguous(memory_format=torch.channels_last) if shape.is_channels_last else tensor)
        return found

    def _output(self, path: str, joined: Sequence[Tensor], longest: int | None, device: torch.device) -> Any:
        shapes, structure = self.outputs[path]
        if path == self.prefix.modules[-1]:
            values = iter(joined)
            return tree_unflatten([next(values) if isinstance(leaf, Shape) else leaf for leaf in shapes], structure)
        batch = joined[0].shape[0]
        leaves = [leaf.stand_in(batch, longest, device) if isinstance(leaf, Shape) else leaf for leaf in shapes]
        return tree_unflatten(leaves, structure)


def _has_channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _own(part: Tensor) -> Tensor:
    """A part with memory of its own, channels first, whatever it was cut from."""
    return part.clone(memory_format=torch.contiguous_format)


def _giving(value: Any) -> Any:
    def forward(*_args: Any, **_kwargs: Any) -> Any:
        return value

    return forward
