"""Compiling frozen stages, each module of a stage on its own and for one shape: hooks fire, and nothing compiles twice."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves

from headstart.device import Compute
from headstart.stages import Stage

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.utils.cpp_extension")
GAIN = 0.08  # share of the time that compiled code saves, where it saves anything
SECONDS_PER_LAYER = 1.0  # to compile, per convolution or linear layer: measured 0.75, 0.8 and 1.6


def can_compile(compute: Compute) -> bool:
    """Whether torch's compiler has what it needs here: a C++ compiler on the CPU, triton on a GPU."""
    if compute.device.type == "cuda":
        from importlib.util import find_spec

        return find_spec("triton") is not None
    return compute.device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is not None


def repays(network: nn.Module, seconds: float) -> bool:
    """Whether compiling is repaid by passes that take so many seconds as they are.

    Two cores of an AMD EPYC, 224 px, batches of 16, folded and channels last, pages kept (`device.keep_pages`; without, the
    gain is larger, as compiled code allocates less): EfficientNet-Lite0 68 -> 75 pictures a second for 39 s of compiling,
    ResNet-18 51 -> 51 CPU-ms a picture for 15 s, GoogLeNet 53 -> 53 for 93 s.
    """
    layers = sum(isinstance(module, (_ConvNd, nn.Linear)) for module in network.modules())
    return GAIN * seconds > SECONDS_PER_LAYER * layers


def compile_stages(network: nn.Module, stages: Sequence[Stage]) -> None:
    """Let every module that a stage names run compiled from now on, for the shapes that it sees first.

    Other shapes, such as those of the last and smaller batch, run as before: compiling anew, or for any shape, costs more
    than a batch. Compilation happens at the first pass, which may therefore raise whatever the compiler raises.
    """
    import torch._dynamo

    modules = [network.get_submodule(path) for stage in stages for path in stage.modules]
    modules = [module for module in modules if any(True for _ in module.parameters())]
    # stages of one class share a code object, and each is a compilation of it; past the limit (8) torch gives up in silence
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, len(modules) + 8)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_cache_folder()))
    for module in modules:
        module.forward = _for_first_shapes(module.forward)


def plain_stages(network: nn.Module, stages: Sequence[Stage]) -> None:
    """Undo `compile_stages`."""
    for module in (network.get_submodule(path) for stage in stages for path in stage.modules):
        module.__dict__.pop("forward", None)


@contextmanager
def silence() -> Iterator[None]:
    """Keep the compiler's warnings off the terminal; what matters comes as an exception."""
    loggers = [logging.getLogger(name) for name in COMPILERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _for_first_shapes(plain: Callable[..., Any]) -> Callable[..., Any]:
    compiled = torch.compile(plain, dynamic=False)
    first: list[Any] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        shapes = [
            (leaf.shape, leaf.stride(), leaf.dtype) if isinstance(leaf, Tensor) else leaf
            for leaf in tree_leaves((args, kwargs))
        ]
        if not first:
            first.append(shapes)
        if shapes != first[0]:
            return plain(*args, **kwargs)
        with torch.inference_mode():  # always, as code for another gradient mode would be another compilation
            return compiled(*args, **kwargs)

    return forward


def _form(leaf: Any) -> Any:
    return (leaf.shape, leaf.stride(), leaf.dtype) if isinstance(leaf, Tensor) else leaf


def _cache_folder() -> Path:
    """Compiled code is kept between runs: `$HEADSTART_CACHE/compiled`, else in the user's cache folder."""
    if given := os.environ.get("HEADSTART_CACHE"):
        return Path(given) / "compiled"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("headstart", appauthor=False)) / "compiled"
