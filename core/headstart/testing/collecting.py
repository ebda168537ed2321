"""Collecting: the cases of a plugin's parts, those that it offers itself and plain ones for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headstart.components import Kind
from headstart.discovery import PluginRecord
from headstart.plugins import plugin_named
from headstart.testing.cases import BackboneCase, Case, DataCase, HeadCase, PluginCase, StrategyCase

PLAIN: Mapping[Kind, type[Case]] = {"backbone": BackboneCase, "head": HeadCase, "strategy": StrategyCase, "data": DataCase}


def all_cases(plugin: str) -> list[Case]:
    """The plugin itself, its own cases, and a plain case for every part that has none.

    Raises:
        UnknownNameError: No plugin of this name is installed.
    """
    record = plugin_named(plugin)
    return [PluginCase(use=record.name), *part_cases(record)]


def part_cases(record: PluginRecord) -> list[Case]:
    """The plugin's own cases, and a plain one for every part that has none."""
    own = list(cases_of(record))
    named = {(case.kind, case.name) for case in own}
    plain = [
        PLAIN[kind](use=component.name)
        for kind in PLAIN
        for component in record.components.get(kind, ())
        if (kind, component.name) not in named
    ]
    return [*own, *plain]


def cases_of(record: PluginRecord) -> Iterator[Case]:
    """The cases that a plugin offers by the hook `headstart_cases`."""
    for component in record.components.get("case", ()):
        yield from component.load()()
