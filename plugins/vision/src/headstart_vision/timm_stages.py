"""Stages of any timm network, read off one pass on the meta device, where nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import UsageError
from headstart.stages import Stage

REPEATED = ("blocks", "stages", "layers", "features")  # timm's names for what stands in a row; each member is a stage
LEAVES = (nn.Conv2d, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def find_stages(twin: nn.Module, forward: Callable[[], Tensor]) -> tuple[tuple[Stage, ...], int]:
    """Stages in the order in which they run, and the width of the vector that comes out.

    The first is called "stem"; others have their module's path. Tensors that no such module holds (a class token, position
    biases that many blocks read) belong to the first stage, so that they never train above a frozen one.

    Args:
        twin: The network on the meta device, without its classifier.
        forward: Runs it and returns the vector [B, C].

    Raises:
        UsageError: The network cannot run at this size.
    """
    units = list(_units(twin, ""))
    with _watching(twin, units) as calls:
        try:
            width = forward().shape[-1]
        except (RuntimeError, AssertionError, NotImplementedError, ValueError, TypeError) as error:
            raise UsageError(f"timm's {type(twin).__name__} cannot run on a picture of this size: {error}") from error
    runs = _divide(twin, [path for path in calls if calls.count(path) == 1])
    if not runs:
        raise UsageError(f"timm's {type(twin).__name__} has no parts that run one after the other; take another network")
    names = ["stem", *(f"{run[0]}-norm" if run[0] == "head" else run[0] for run in runs[1:])]  # "head" selects ours
    stages = [Stage(name, tuple(run)) for name, run in zip(names, runs, strict=True)]
    return (Stage("stem", stages[0].modules, _loose(twin, stages)), *stages[1:]), width


def _units(module: nn.Module, path: str) -> Iterator[str]:
    """The modules that a stage can be made of: the network's children, and the members of its rows."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        is_row = isinstance(child, nn.ModuleList) or (not path and name in REPEATED and isinstance(child, nn.Sequential))
        if is_row:
            yield from _units(child, inner)
        else:
            yield inner


@contextmanager
def _watching(network: nn.Module, paths: Sequence[str]) -> Iterator[list[str]]:
    """Paths in the order in which they run, without those that run within another (they are shared, not on the way)."""
    calls: list[str] = []
    running: list[str] = []

    def begin(path: str, *_: Any) -> None:
        calls.extend([path] if not running else [path, path])  # noted twice = not run once
        running.append(path)

    def end(*_: Any) -> None:
        running.pop()

    modules = [(path, network.get_submodule(path)) for path in paths]
    handles = [module.register_forward_pre_hook(partial(begin, path)) for path, module in modules]
    handles += [module.register_forward_hook(end) for _, module in modules]
    try:
        with torch.no_grad():
            yield calls
    finally:
        for handle in handles:
            handle.remove()


def _divide(network: nn.Module, paths: Sequence[str]) -> list[list[str]]:
    """Runs of modules, one for each stage: what has no weights and every BatchNorm goes with what ran before it."""
    runs: list[list[str]] = []
    is_stem = True  # single convolutions before the first block
    for path in paths:
        module = network.get_submodule(path)
        joins = not _holds_tensors(network, path) or isinstance(module, nn.modules.batchnorm._NormBase)
        is_leaf = isinstance(module, LEAVES) and "." not in path
        if runs and (joins or (is_stem and is_leaf)):
            runs[-1].append(path)
        elif runs or _holds_tensors(network, path):
            is_stem = is_leaf and not runs
            runs.append([path])
    return runs


def _holds_tensors(network: nn.Module, path: str) -> bool:
    module = network.get_submodule(path)
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _loose(network: nn.Module, stages: Sequence[Stage]) -> tuple[str, ...]:
    prefixes = tuple(f"{path}." for stage in stages for path in stage.modules)
    names = [name for name, _ in network.named_parameters()] + [name for name, _ in network.named_buffers()]
    return tuple(name for name in names if not name.startswith(prefixes))
