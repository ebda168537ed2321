"""Supplying: what a whole recipe reads from outside, and the refusal to begin offline where something of it is absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headstart.components import Kind
from headstart.errors import MissingError
from headstart.offline import is_offline
from headstart.options import describe
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart.supplies import NONE, Supplied, Supply, What, at_place


def supplies_of(recipe: Recipe) -> list[Supply]:
    """What the recipe reads from outside; with `from`, the weights are those of that run.

    Raises:
        UsageError, MissingError: A part is not there. WeightsError: A part knows no weights of that name.
    """
    weights = [] if recipe.parent is not None else list(_of_part("backbone", recipe.backbone))
    return [
        *weights,
        *_of_part("head", recipe.head),
        *_of_part("strategy", recipe.strategy),
        *_of_part("data", recipe.data),
    ]


def refuse_absent(recipe: Recipe, *, with_data: bool = True) -> None:
    """Where the network is forbidden: refuse a recipe that needs something which only a network brings.

    What no network brings (a path that leads nowhere, a package that is not installed) is named beside it; alone, it is left
    to the part that reads it, which knows more to say.

    Raises:
        MissingError: All that is absent, and what brings it, in one sentence.
    """
    if not is_offline():
        return
    absent = [supply for supply in supplies_of(recipe) if (with_data or supply.what != "data") and not supply.pieces()]
    if all(supply.bring is None for supply in absent):
        return
    named = ", ".join(map(str, absent))
    file = recipe.file or "RECIPE"
    fetch = f"headstart cache fetch {file} --to kit.zip" + (" --with-data" if any(s.what == "data" for s in absent) else "")
    is_are = "is" if len(absent) == 1 else "are"
    raise MissingError(
        f"offline, and {named} {is_are} not on this machine; where there is a network: {fetch}; "
        "then here: headstart cache import kit.zip"
    )


def _of_part(kind: Kind, part: Part) -> Iterator[Supply]:
    component = registry().find(kind, part.use)
    description = describe(component)
    options = {**{option.name: option.default for option in description.options}, **part.options}
    what: What = "data" if kind == "data" else "weights"
    if kind in ("data", "backbone") and isinstance(cls := component.load(), Supplied):
        yield from cls.supplies(options)
        return
    for option in description.options:
        if option.has_place:
            yield from (at_place(what, place) for place in _texts(options[option.name]) if _is_place(place, what))
    if description.attributes.get("wraps") == kind:
        yield from _of_part(kind, Part(options["main"], options["options"] or {}))


def _is_place(place: str, what: What) -> bool:
    return bool(place) and not (what == "weights" and place == NONE)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
