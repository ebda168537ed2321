"""A frozen backbone made quick: a copy for inference, BatchNorm folded, channels last, compiled where that pays."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from headstart.backbone import Backbone
from headstart.compiling import can_compile, compile_stages, plain_stages, repays, silence
from headstart.device import Compute, free_memory
from headstart.folding import fold, foldable, watching_readers

TOLERANCE = 1e-4  # relative, float32: folding measured at most 2e-6 on the networks of benchmarks/frozen_pass.py
TOLERANCE_BF16 = 5e-2  # the same under bf16 autocast, which alone moves values by up to 1e-2
FEWEST = 64  # examples; making the copy takes 0.4 CPU-seconds, which EfficientNet-Lite0 and ResNet-18 save in 30 to 40 pictures
LOOKED_AT = 2  # examples of the batch that are enough to watch the network and to prove the copy
MEMORY_SHARE = 0.4  # of the free memory, at most, for the copy
CHANNELS_LAST, COMPILED = "channels-last", "compiled"
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Optimised:
    """A backbone for frozen passes.

    Attributes:
        backbone: A copy in evaluation mode, or the backbone itself where nothing helps; hooks on its stages' modules fire.
        steps: What was done, in words: ("20 BatchNorms folded", "channels-last").
        difference: Largest relative difference to the plain network, at the ports and the end of every stage.
    """

    backbone: Backbone
    steps: tuple[str, ...] = ()
    difference: float = 0.0

    def prepare_batch(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The batch as the copy wants it: pictures and volumes with their channels last."""
        return {name: _last(tensor) for name, tensor in batch.items()} if CHANNELS_LAST in self.steps else dict(batch)


def optimised(
    backbone: Backbone, batch: Mapping[str, Tensor], *, compute: Compute, examples: int, may_compile: bool
) -> Optimised:
    """Make a quick copy of a frozen backbone and prove it on some examples of a batch.

    Args:
        backbone: In evaluation mode, on the device; it is left as it is.
        batch: One prepared batch of the usual size, on the device.
        compute: Device and precision.
        examples: How many will go through: copying, and all the more compiling, has to pay.
        may_compile: Whether it may be compiled at all.

    Returns:
        The copy; the backbone itself, and no step, where examples are few, nothing helps, memory is short or the copy is
        not near enough.
    """
    if examples < FEWEST or not _has_convolutions(backbone.network) or not _fits(backbone.network, compute):
        return Optimised(backbone)
    some = _some(batch)
    try:
        with compute.autocast():
            quick, plain = _folded(backbone, some)
            started = _now(compute)
            difference = _difference(plain, _seen(quick.backbone, quick.prepare_batch(some)))
            seconds = (_now(compute) - started) / len(next(iter(some.values()))) * examples
    except (RuntimeError, AttributeError, TypeError, KeyError):  # the network's own code needs what folding took away
        return Optimised(backbone)
    if not difference <= _tolerance(compute):
        return Optimised(backbone)
    quick = replace(quick, difference=difference)
    worth_it = may_compile and can_compile(compute) and repays(backbone.network, seconds)
    return _compiled(quick, batch, compute) if worth_it else quick


def _folded(backbone: Backbone, some: Mapping[str, Tensor]) -> tuple[Optimised, dict[str, Tensor]]:
    """The copy with BatchNorms folded and channels last, and what the plain network gave at its ports and stages."""
    twin = _copy(backbone)
    with watching_readers(twin.network) as watching:
        plain = _seen(twin, some)
    pairs = foldable(watching.watched, twin.network, twin.stages)
    fold(twin.network, pairs)
    for module in twin.network.modules():
        for weight in module._parameters.values():
            if weight is not None:
                weight.data = _last(weight.data)
    words = (f"{len(pairs)} BatchNorm{'s' if len(pairs) > 1 else ''} folded",) if pairs else ()
    return Optimised(twin, (*words, CHANNELS_LAST)), plain


def _compiled(quick: Optimised, batch: Mapping[str, Tensor], compute: Compute) -> Optimised:
    """The copy compiled, where it turns out to be quicker, and as near."""
    network, stages, prepared = quick.backbone.network, quick.backbone.stages, quick.prepare_batch(batch)
    before = _seconds(quick.backbone, prepared, compute)
    plain = _seen(quick.backbone, prepared)
    try:
        with silence():
            compile_stages(network, stages)
            difference = _difference(plain, _seen(quick.backbone, prepared))
        if difference <= _tolerance(compute) and _seconds(quick.backbone, prepared, compute) < before:
            return Optimised(quick.backbone, (*quick.steps, COMPILED), quick.difference + difference)
    except Exception:  # noqa: S110  # a compiler fails in ways of its own, and the plain network is always right
        pass
    plain_stages(network, stages)
    return quick


def _tolerance(compute: Compute) -> float:
    return TOLERANCE_BF16 if compute.bf16 else TOLERANCE


def _seconds(backbone: Backbone, batch: Mapping[str, Tensor], compute: Compute) -> float:
    """Of one pass; the better of two, as the first one warms up."""
    times = []
    for _ in range(2):
        started = _now(compute)
        with torch.inference_mode(), compute.autocast():
            backbone(batch)
        times.append(_now(compute) - started)
    return min(times)


def _now(compute: Compute) -> float:
    """Seconds of computing: of all threads on a CPU, so that a busy machine does not look like a slow network."""
    if compute.device.type == "cpu":
        return time.process_time()
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
    return time.perf_counter()


def _copy(backbone: Backbone) -> Backbone:
    """Weights are copied; what the backbone only reads (tokenizer, stages, card) is shared."""
    shared = {id(value): value for value in vars(backbone).values() if not isinstance(value, (dict, nn.Module))}
    twin = copy.deepcopy(backbone, shared)
    return twin.requires_grad_(False).eval()


def _seen(backbone: Backbone, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values of one pass at every port and at the end of every stage."""
    seen: dict[str, Tensor] = {}
    with torch.no_grad(), _noting(backbone, seen):
        ports = backbone(batch)
    return seen | {f"port {name}": value for name, value in ports.items()}


@contextmanager
def _noting(backbone: Backbone, seen: dict[str, Tensor]) -> Iterator[None]:
    def note(stage: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            seen.update({f"stage {stage} {at}": tensor.clone() for at, tensor in enumerate(tensors)})

        return hook

    ends = [(stage.name, stage.modules[-1]) for stage in backbone.stages if stage.modules]
    handles = [backbone.network.get_submodule(path).register_forward_hook(note(name)) for name, path in ends]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _difference(plain: Mapping[str, Tensor], quick: Mapping[str, Tensor]) -> float:
    """Largest difference of any value, relative to the largest value of its tensor."""
    return max(_apart(tensor, quick[name]) for name, tensor in plain.items())


def _apart(first: Tensor, second: Tensor) -> float:
    plain, quick = first.detach().float(), second.detach().float()
    return float((plain - quick).abs().max()) / (float(plain.abs().max()) or 1.0)


def _last(tensor: Tensor) -> Tensor:
    """The same values with their channels last in memory, where it is a batch of pictures, of volumes, or their weights."""
    is_picture = tensor.ndim in LAYOUTS and tensor.is_floating_point()
    return tensor.contiguous(memory_format=LAYOUTS[tensor.ndim]) if is_picture else tensor


def _some(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first examples, where the batch can be cut: pictures and volumes can, windows of texts cannot."""
    can_cut = all(tensor.is_floating_point() for tensor in batch.values()) and len({len(t) for t in batch.values()}) == 1
    return {name: tensor[:LOOKED_AT] if can_cut else tensor for name, tensor in batch.items()}


def _has_convolutions(network: nn.Module) -> bool:
    """More than the one that cuts a picture into patches, or a BatchNorm, which can be folded."""
    kinds = [type(module) for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d, _BatchNorm))]
    return len(kinds) > 1


def _fits(network: nn.Module, compute: Compute) -> bool:
    """Whether the copy's weights are a small part of the free memory."""
    needed = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    return needed < MEMORY_SHARE * free_memory(compute.device)
