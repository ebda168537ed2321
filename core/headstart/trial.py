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
    named = _named(options, message)
    if recipe.file is None:
        return Problem(f"{'.'.join([kind, *map(str, named)])}: {message}")
    document = read_recipe(recipe.file, recipe.overrides)
    use = (kind, "use") if isinstance(document.data.get(kind), dict) else (kind,)
    return document.at_value((kind, *named) if named else use, message)


def _named(options: Iterable[str], message: str) -> Sequence[str | int]:
    """The given option that a message speaks of first, and the way within it ("phases.0.epochs"); empty = it names none."""
    found = [each for name in options if (each := re.search(rf"\b{re.escape(name)}\b((?:\.\w+)*)", message))]
    first = min(found, key=lambda each: each.start(), default=None)
    return [int(step) if step.isdigit() else step for step in first[0].split(".")] if first else []
