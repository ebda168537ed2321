"""Naming: what a new plugin is called as a distribution, as a module and in recipes, and whether it may be."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib import util
from keyword import iskeyword

from packaging.utils import canonicalize_name

from headstart.errors import UsageError
from headstart.plugins import registry

DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 60  # characters


@dataclass(frozen=True)
class Names:
    """The names of one plugin.

    Attributes:
        distribution: What pip installs: "headstart-audio".
        module: What Python imports: "headstart_audio".
        prefix: What stands before the slash in recipes: "audio".
    """

    distribution: str
    module: str
    prefix: str


def names_for(name: str) -> Names:
    """The names of a new plugin.

    Raises:
        UsageError: The name is not lower case with hyphens, is a word of Python's, or is taken.
    """
    if not DISTRIBUTION.fullmatch(name) or len(name) > LONGEST:
        close = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST]
        hint = f"; did you mean '{close}'?" if DISTRIBUTION.fullmatch(close) else ""
        raise UsageError(f"'{name}' is not a name like 'headstart-audio': lower case letters, digits and single hyphens{hint}")
    names = Names(name, name.replace("-", "_"), name.removeprefix("headstart-"))
    if name == "headstart" or iskeyword(names.module) or names.module in sys.stdlib_module_names:
        raise UsageError(f"'{names.module}' is a module already; use a name like 'headstart-{names.prefix}'")
    _refuse_taken(names)
    return names


def _refuse_taken(names: Names) -> None:
    for record in registry().records:
        offered = {
            component.name.partition("/")[0]
            for offers in record.components.values()
            for component in offers
            if "/" in component.name
        }
        own = {record.name, canonicalize_name(record.distribution)}
        if {names.prefix, names.distribution} & (own | offered):
            raise UsageError(f"the name '{names.prefix}' is taken by the plugin {record.title}; use another one")
    if util.find_spec(names.module) is not None:
        raise UsageError(f"a module named '{names.module}' is installed already; use another name")
