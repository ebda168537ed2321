"""Trial: making a recipe's parts before anything trains, so that an option that a part refuses is found at its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from headstart.components import Kind
from headstart.errors import Problem, RecipeError, UsageError
from headstart.recipe import Part, Recipe


def make_parts(recipe: Recipe, kinds: Iterable[Kind], *given: Any) -> list[Any]:
    """The parts of these kinds, made with their options.

    Args:
        recipe: A recipe that has passed the static checks.
        kinds: Which parts.
        given: What their classes take beside options: ports and target of a head.

    Raises:
        RecipeError: Every option that a part refuses, each where it stands in the recipe.
        MissingError: A part or its weights are absent.
    """
    from headstart.build import part_class  # torch

    made, problems = [], []
    for kind in kinds:
        part: Part = getattr(recipe, kind)
        try:
            made.append(part_class(kind, part.use)(*given, **part.options))
        except RecipeError:
            raise
        except UsageError as error:
            problems.append(_located(recipe, kind, str(error)))
    if problems:
        raise RecipeError(problems)
    return made


def _located(recipe: Recipe, kind: Kind, message: str) -> Problem:
    """The fault at the option that the message names, else at the part's name."""
    from headstart.recipe_file import read_recipe

    options = getattr(recipe, kind).options
    if recipe.file is None:
        return Problem(f"{'.'.join([kind, *_named(options, message)])}: {message}")
    document = read_recipe(recipe.file, recipe.overrides)
    use = (kind, "use") if isinstance(document.data.get(kind), dict) else (kind,)
    return document.at_value(next(((kind, name) for name in _named(options, message)), use), message)


def _named(options: Iterable[str], message: str) -> Sequence[str]:
    """The given option that a message speaks of first; none where it names no given one."""
    places = {name: found.start() for name in options if (found := re.search(rf"\b{re.escape(name)}\b", message))}
    return sorted(places, key=lambda name: places[name])[:1]
