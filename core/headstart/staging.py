"""Finding stages: the ordered parts of any network, read off one pass through it.

A pretrained network is one or more rows of blocks with something before, between and after. Which modules those are, and in
which order they run, is seen by watching it run once; the author of a backbone then need not write them down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.errors import UsageError
from headstart.stages import RESERVED, Stage

ROWS = (nn.ModuleList, nn.Sequential)


def find_stages(network: nn.Module, run: Callable[[], Any]) -> tuple[Stage, ...]:
    """Stages in the order in which they run: each block of each row of blocks, and what stands before, between and behind.

    A row is a ModuleList or Sequential with two members or more that hold weights, outside any other row. What holds no
    weights, and every BatchNorm outside a block, goes with what ran before it. Tensors that no module on the way holds (a
    class token, tables of angles, layers that run twice) are loose ones of the first stage, so that they never train above a
    frozen one. Whether a value can be replayed at each boundary is for `headstart plugins test` to say.

    Args:
        network: It stays as it is, its modes included.
        run: Calls it once on a small input: `lambda: network(torch.zeros(1, 3, 64, 64))`.

    Raises:
        UsageError: It does not run, or no module with weights ran once.
    """
    paths = list(_units(network, ""))
    with _watching(network, paths) as calls:
        try:
            run()
        except Exception as error:  # each network fails in its own way on what it does not expect
            raise UsageError(
                f"the stages of a {type(network).__name__} are not found, as it does not run: {type(error).__name__}: {error}"
            ) from error
    counted = Counter(calls)
    groups = _groups(network, [path for path in dict.fromkeys(calls) if counted[path] == 1])
    if not groups:
        raise UsageError(f"no part of the {type(network).__name__} that holds weights runs once; write its stages down by hand")
    loose = _loose(network, [path for group in groups for path in group])
    names = _names([group[0] for group in groups])
    first, *others = (Stage(name, tuple(group)) for name, group in zip(names, groups, strict=True))
    return (Stage(first.name, first.modules, loose), *others)


def _units(module: nn.Module, path: str) -> Iterator[str]:
    """The modules that stages are made of: members of the outermost rows, and the largest modules that hold no row."""
    for name, child in module.named_children():
        inner = f"{path}.{name}" if path else name
        if _is_row(module):
            yield inner
        elif _is_row(child) or isinstance(child, nn.ModuleList) or (_leads_on(child, module) and not isinstance(child, ROWS)):
            yield from _units(child, inner)
        else:
            yield inner


def _is_row(module: nn.Module) -> bool:
    return isinstance(module, ROWS) and sum(_holds_tensors(member) for member in module.children()) > 1


def _leads_on(child: nn.Module, parent: nn.Module) -> bool:
    """Whether the rows lie further inside: a list of blocks (`encoder.layer`), or all that the parent has (`model`)."""
    holds_list = any(_is_row(inner) and isinstance(inner, nn.ModuleList) for inner in child.modules())
    is_sole = sum(_holds_tensors(other) for other in parent.children()) == 1 and _holds_tensors(child)
    return holds_list or (is_sole and any(_holds_tensors(inner) for inner in child.children()))


@contextmanager
def _watching(network: nn.Module, paths: Sequence[str]) -> Iterator[list[str]]:
    """Paths in the order in which they begin; one that runs within another stands there twice, for it is not on the way."""
    calls: list[str] = []
    running: list[str] = []

    def begin(path: str, *_: Any) -> None:
        calls.extend([path] if not running else [path, path])
        running.append(path)

    def end(*_: Any) -> None:
        running.pop()

    modules = [(path, network.get_submodule(path)) for path in paths]
    handles = [module.register_forward_pre_hook(partial(begin, path)) for path, module in modules]
    handles += [module.register_forward_hook(end) for _, module in modules]
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        with torch.no_grad():
            yield calls
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def _groups(network: nn.Module, paths: Sequence[str]) -> list[list[str]]:
    groups: list[list[str]] = []
    for path in paths:
        module = network.get_submodule(path)
        is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
        if groups and (is_norm or not _holds_tensors(module)):
            groups[-1].append(path)
        elif any(True for _ in module.parameters()):  # buffers alone are tables beside the way, as rotary angles
            groups.append([path])
    return groups


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _loose(network: nn.Module, claimed: Sequence[str]) -> tuple[str, ...]:
    prefixes = tuple(f"{path}." for path in claimed)
    names = (name for tensors in (network.named_parameters(), network.named_buffers()) for name, _ in tensors)
    return tuple(name for name in names if not name.startswith(prefixes))


def _names(paths: Sequence[str]) -> list[str]:
    """Short names where they are unique: "layer.0" of "encoder.layer.0", "layer.0" of "0"; else the whole paths."""
    short = [_short(path) for path in paths]
    return short if len(set(short)) == len(short) else [f"network.{path}" for path in paths]


def _short(path: str) -> str:
    words = path.split(".")
    if not words[-1].isdecimal():
        name = words[-1]
        return f"{name}-part" if name in RESERVED else name
    row = next((word for word in reversed(words) if not word.isdecimal()), "layer")
    return f"{row}.{words[-1]}"
