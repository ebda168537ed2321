"""Levels: the last map at each resolution of a network, read where its stages end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from headstart.stages import Stage

PARTS = 4  # of a network with one resolution, as dense prediction reads vision transformers (Ranftl et al. 2021, section 3)

Shape = tuple[int, ...]
T = TypeVar("T")
AsMap = Callable[[Any], Tensor | None]
"""What a stage gives -> [B, C, h, w]; None = it is no map."""


def find_maps(network: nn.Module, stages: Sequence[Stage], run: Callable[[], T], as_map: AsMap) -> tuple[dict[str, Shape], T]:
    """Shape [C, h, w] of what each stage gives, input to output, and what `run` returns; stages that give no map are left out.

    Args:
        network: That the stages' paths are relative to.
        stages: Input to output.
        run: Runs the network once; on the meta device, so that nothing is computed.
        as_map: How this network's values become maps.
    """
    paths = {stage.name: stage.modules[-1] for stage in stages if stage.modules}
    with tapping(network, paths) as seen, _ShapesOnly():
        returned = run()
    maps = {stage: as_map(value) for stage, value in seen.items()}
    return {stage: tuple(found.shape[1:]) for stage, found in maps.items() if found is not None}, returned


class _ShapesOnly(TorchFunctionMode):
    """Leaves BatchNorm out, which keeps shapes and takes most of the time of a pass on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function of torch."""
        return args[0] if func is F.batch_norm else func(*args, **(kwargs or {}))


def levels_of(maps: Mapping[str, Shape], last: Shape, stages: Sequence[Stage]) -> list[str]:
    """The last stage at each resolution above that of the last map, input to output.

    Where all maps have one resolution, as in a vision transformer, the ends of the first three of four equal parts of what
    lies between its first stage and its last.

    Args:
        maps: Shape of what each stage gives.
        last: Of the last map.
        stages: All of them, input to output.
    """
    names = [name for name, shape in maps.items() if shape[1:] > last[1:]]
    if not names:
        between = [stage.name for stage in stages[1:-1] if stage.name in maps]
        return [between[len(between) * part // PARTS - 1] for part in range(1, PARTS)] if len(between) >= PARTS else []
    sizes = [maps[name][1:] for name in names]
    return [name for at, name in enumerate(names) if at + 1 == len(names) or sizes[at] != sizes[at + 1]]


@contextmanager
def tapping(network: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What the modules at `paths` give while the block runs, by the names that the paths have; nothing is copied."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            seen[name] = output

        return hook

    handles = [network.get_submodule(path).register_forward_hook(keep(name)) for name, path in paths.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def meta_state(module: nn.Module) -> dict[str, Tensor]:
    """Its parameters and buffers on the meta device, by name: to run it without computing."""
    return {name: torch.empty_like(value, device="meta") for name, value in module.state_dict(keep_vars=False).items()}
