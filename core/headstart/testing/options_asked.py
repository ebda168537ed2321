"""Options that cannot be: a part refuses them in words, whatever it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from headstart.errors import HeadstartError
from headstart.testing.cases import Case
from headstart.testing.guards import without_network
from headstart.testing.verdict import ContractError, demand

UNKNOWN = "no_such_option"
IMPOSSIBLE = -1  # nearly every number of a recipe is a size, a rate, a share or a count
NUMBERS = ("int", "float", "int | None", "float | None")
NOWHERE = "no/such/place"


def bad_options_are_refused(case: Case, options: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Any]) -> None:
    """Make the part with an unknown option, negative numbers and places that are nowhere.

    Raises:
        ContractError: One is swallowed, or ends in another error than those of `headstart.errors`.
    """
    parameters = _keywords(case)
    try:
        make({**options, UNKNOWN: 1})
    except (TypeError, HeadstartError):
        pass
    else:
        raise ContractError(f"the unknown option '{UNKNOWN}' is swallowed", "write the options out instead of **options")
    for name, value in _impossible(parameters):
        try:
            with without_network():
                made = make({**options, name: value})
        except HeadstartError as error:
            words = str(error)
            demand(len(words.split()) > 3, f"{name}: {value!r} is refused with '{words}'", "say what is possible")
        except Exception as error:
            raise ContractError(
                f"{name}: {value!r} ends in {type(error).__name__}: {str(error)[:120]}",
                f"check it in `__init__` and raise headstart.errors.UsageError that names {name}, its value and its range",
            ) from error
        else:
            del made


def _keywords(case: Case) -> dict[str, str]:
    """Name -> annotation of the keyword-only parameters."""
    from headstart.testing.bench import class_of

    found = inspect.signature(class_of(case)).parameters.values()
    return {each.name: str(each.annotation) for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY}


def _impossible(parameters: Mapping[str, str]) -> list[tuple[str, Any]]:
    numbers = [(name, IMPOSSIBLE) for name, kind in parameters.items() if kind in NUMBERS]
    places = [(name, NOWHERE) for name, kind in parameters.items() if kind == "Place" and name == "weights"]
    return [*numbers, *places]
