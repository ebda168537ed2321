"""Stages: the ordered parts of a backbone, and the proof that every parameter belongs to exactly one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from headstart.errors import HeadstartError

RESERVED = ("head", "backbone")  # selectors of their own in a phase's groups


@dataclass(frozen=True)
class Stage:
    """One step of the way from input to output.

    Attributes:
        name: Short and stable: "stem", "layer1", "layer.0". Recipes, rates and the report's timeline use it.
        modules: Paths of modules inside `Backbone.network`, in the order in which they run.
        params: Names of loose parameters or buffers that no listed module holds ("cls_token", "pos_embed").
    """

    name: str
    modules: tuple[str, ...] = ()
    params: tuple[str, ...] = ()


class StageError(HeadstartError):
    """Stages do not cover a network exactly once."""


def owners(network: nn.Module, stages: Sequence[Stage]) -> dict[str, str]:
    """Name of the owning stage of each parameter and buffer of `network`.

    Raises:
        StageError: A path names nothing, a tensor has no stage, two stages claim it, or a stage's name is taken.
    """
    _check_names([stage.name for stage in stages])
    tensors = [name for name, _ in _named_tensors(network)]
    claims: dict[str, str] = {}
    for stage in stages:
        for name in _claimed(network, stage, tensors):
            if claims.setdefault(name, stage.name) != stage.name:
                raise StageError(f"'{name}' is claimed by two stages, '{claims[name]}' and '{stage.name}'")
    missing = [name for name in tensors if name not in claims]
    if missing:
        raise StageError(f"{len(missing)} tensors have no stage: {', '.join(missing[:5])}; add their modules to a Stage")
    return claims


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if name in RESERVED:
            raise StageError(f"a stage is named '{name}', which selects all of the {name}; give it another name")
        if names.count(name) > 1:
            raise StageError(f"two stages are named '{name}'; names select what trains, so each needs its own")


def _named_tensors(network: nn.Module) -> Iterable[tuple[str, object]]:
    yield from network.named_parameters()  # tied weights appear once, under their first name
    yield from network.named_buffers()


def _claimed(network: nn.Module, stage: Stage, tensors: Sequence[str]) -> list[str]:
    known = dict(network.named_modules())
    for path in stage.modules:
        if path not in known:
            raise StageError(f"stage '{stage.name}' names the module '{path}', which the network does not have")
    for name in stage.params:
        if name not in tensors:
            raise StageError(f"stage '{stage.name}' names the parameter '{name}', which the network does not have")
    prefixes = tuple(f"{path}." for path in stage.modules)
    return [name for name in tensors if name in stage.params or name.startswith(prefixes)]
