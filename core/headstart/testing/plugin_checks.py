"""Checks of a plugin as a whole: it loads quickly and quietly, and what it offers can be read without importing it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from headstart.components import KINDS, Component, Kind
from headstart.discovery import CORE, PluginRecord
from headstart.errors import HeadstartError
from headstart.options import read_statically
from headstart.plugins import plugin_named, registry
from headstart.source import UnreadableError
from headstart.testing.cases import PluginCase
from headstart.testing.verdict import ContractError, NotApplicableError, demand

HEAVY = ("torch", "torchvision", "transformers", "timm", "monai", "sklearn", "scipy", "datasets", "pandas", "tensorflow", "jax")
MILLISECONDS = 50.0  # of CPU time, to import a plugin and ask its hooks
BASES: dict[Kind, str] = {
    "backbone": "headstart.backbone:Backbone",
    "head": "headstart.head:Head",
    "strategy": "headstart.strategy:Strategy",
    "data": "headstart.data:Data",
    "evaluation": "headstart.evaluation:Evaluation",
}
# loads one plugin in a process of its own, and says what that imported and cost; the core's modules are warm
PROBE = """
import json, sys, time
import click, headstart.plugins, headstart.builtin.plugin
from importlib import metadata
from headstart.discovery import load_entry_point
name = sys.argv[1]
entries = [each for each in metadata.entry_points(group="headstart") if each.name == name]
start = time.process_time()
load_entry_point(entries[0], seconds=0)
cost = 1000 * (time.process_time() - start)
heavy = [each for each in {heavy!r} if each in sys.modules]
print("PROBE", json.dumps([cost, heavy]))
"""


def loads_without_error(case: PluginCase) -> None:
    """The plugin imports, its hooks are spelt right and marked, and its names are well formed."""
    record = _record(case)
    faults = [fault for fault in (record.error or "").split("; ") if fault and "is offered by" not in fault]
    demand(not faults, f"it does not load soundly: {'; '.join(faults)}", "see docs/plugins.md, rules and isolation")


def offers_something(case: PluginCase) -> None:
    """It offers at least one part, recipe, tracker or command."""
    record = _record(case)
    offered = [*_components(record), *record.recipe_folders, *record.trackers, *record.commands]
    demand(bool(offered), "it offers nothing", "mark functions named headstart_... with @hookimpl and yield Components")


def names_are_free(case: PluginCase) -> None:
    """No other installed plugin offers one of its names; a name that two offer is of no use to anyone."""
    record = _record(case)
    for kind in KINDS:
        for component in record.components.get(kind, ()):
            others = [other.title for other, _ in registry().offers(kind).get(component.name, []) if other is not record]
            demand(
                not others,
                f"the {kind} '{component.name}' is offered by {' and '.join(others)} too",
                f"use a prefix of your own: '{record.name}/{component.name.partition('/')[2] or component.name}'",
            )


def offering_imports_nothing_heavy(case: PluginCase) -> None:
    """Importing the plugin's hook module and asking its hooks imports no torch or other heavy library."""
    _, heavy = _probe(case)
    demand(
        not heavy,
        f"offering imports {', '.join(heavy)}, and so does every `headstart --help` of its users",
        "keep the hooks in a module that imports Component and hookimpl only, and name classes by import strings",
    )


def offering_is_quick(case: PluginCase) -> None:
    """Importing the plugin and asking its hooks takes under 50 ms of CPU time."""
    cost, _ = _probe(case)
    demand(
        cost < MILLISECONDS, f"offering takes {cost:.0f} ms of CPU time, more than {MILLISECONDS:.0f}", "import less, or later"
    )


def the_core_is_required_by_a_range(case: PluginCase) -> None:
    """The distribution requires headstart from a version up to, not including, one that may break it."""
    record = _record(case)
    if not record.version or record.name == CORE:
        raise NotApplicableError("it is no distribution of its own")
    specifiers = [
        str(need.specifier) for need in _requirements(record.distribution) if canonicalize_name(need.name) == "headstart"
    ]
    demand(bool(specifiers), "it does not require headstart", 'dependencies = ["headstart>=0.1,<0.2"]')
    bounded = any((re.search(r"[<=~]=?\s*\d", each) and "<" in each) or "==" in each or "~=" in each for each in specifiers)
    demand(
        bounded,
        f"it requires headstart{specifiers[0]} without an upper bound",
        'the API may change with 0.x: dependencies = ["headstart>=0.1,<0.2"]',
    )


def parts_import_and_are_of_their_kind(case: PluginCase) -> None:
    """Every import string leads to a subclass of its kind's base class."""
    from headstart.components import Component as Loader

    for kind, component in _parts(case):
        try:
            found = component.load()
        except Exception as error:
            raise ContractError(
                f"the {kind} '{component.name}' ({component.target}) cannot be imported: {type(error).__name__}: {error}",
                "correct the import string, or declare what it needs by Component(requires=...)",
            ) from error
        base = Loader("base", BASES[kind], "").load()
        is_right = isinstance(found, type) and issubclass(found, base)
        demand(is_right, f"the {kind} '{component.name}' is no subclass of headstart.{base.__name__}", "inherit from it")


def parts_are_described_without_import(case: PluginCase) -> None:
    """Options, their types and defaults can be read from the source of every part."""
    for kind, component in _parts(case):
        try:
            read_statically(component)
        except UnreadableError as error:
            raise ContractError(
                f"the {kind} '{component.name}' cannot be described without importing it: {error}",
                "give options plain annotations and literal defaults (docs/plugins.md, options are the signature)",
            ) from error


def options_are_documented(case: PluginCase) -> None:
    """Every option of every part has an entry in the docstring's `Args:`; that is its help."""
    bare = [
        f"{component.name}.{option.name}"
        for _, component in _parts(case)
        for option in _described(component)
        if not option.help
    ]
    demand(not bare, f"options without a word of help: {', '.join(bare[:5])}", "add them to `Args:` of the class docstring")


def summaries_fit_on_a_line(case: PluginCase) -> None:
    """Every part has a summary of one line, and the licence of its weights where it carries any."""
    for kind, component in _parts(case):
        summary = component.summary
        demand(
            bool(summary.strip()) and "\n" not in summary,
            f"the {kind} '{component.name}' has no summary of one line",
            "write one",
        )
        demand(len(summary) <= 160, f"the summary of '{component.name}' has {len(summary)} characters", "stay under 160")
        demand(
            not component.megabytes or bool(component.licence), f"'{component.name}' names no licence of its weights", "name it"
        )


def recipes_are_sound(case: PluginCase) -> None:
    """Every recipe that it brings passes the check that users run first."""
    from headstart.recipe import Recipe

    record = _record(case)
    recipes = sorted(path for folder in record.recipe_folders for path in folder.rglob("*.yaml"))
    if not recipes:
        raise NotApplicableError("it brings no recipes")
    for path in recipes:
        try:
            Recipe.load(path)
        except HeadstartError as error:
            raise ContractError(f"the recipe {path.name} is not sound: {error}", "see `headstart check`") from error


def parts_have_cases(case: PluginCase) -> None:
    """Parts that cannot be built without options come with a case."""
    from headstart.testing.collecting import cases_of

    given = {(each.kind, each.name) for each in cases_of(_record(case))}
    for kind, component in _parts(case):
        required = [option.name for option in _described(component) if option.required]
        demand(
            kind == "evaluation" or (kind, component.name) in given or not required,
            f"the {kind} '{component.name}' needs the options {', '.join(required)} and has no case",
            "offer cases by the hook `headstart_cases` (docs/plugins.md, cases)",
        )


def _record(case: PluginCase) -> PluginRecord:
    return plugin_named(case.use)


def _components(record: PluginRecord) -> list[Component]:
    return [component for offers in record.components.values() for component in offers]


def _parts(case: PluginCase) -> Iterator[tuple[Kind, Component]]:
    record = _record(case)
    for kind in KINDS:
        for component in record.components.get(kind, ()):
            yield kind, component


def _described(component: Component) -> Any:
    try:
        return read_statically(component).options
    except UnreadableError:
        return ()


def _requirements(distribution: str) -> list[Requirement]:
    found = []
    for line in metadata.requires(distribution) or ():
        try:
            found.append(Requirement(line))
        except InvalidRequirement:
            continue
    return found


@lru_cache(maxsize=32)
def _probe(case: PluginCase) -> tuple[float, list[str]]:
    """CPU milliseconds and heavy imports of loading the plugin in a process of its own; the quickest of three."""
    record = _record(case)
    if not record.version:
        raise NotApplicableError("a plugin of one file may hold its parts beside the hooks, and so import torch")
    command = [sys.executable, "-c", PROBE.format(heavy=HEAVY), record.name]
    best, heavy = float("inf"), []
    for _ in range(3):
        done = subprocess.run(  # noqa: S603 - this interpreter, on code that stands above
            command, capture_output=True, text=True, env=dict(os.environ), check=False, timeout=120
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith("PROBE ")), None)
        if line is None:
            raise ContractError(f"it cannot be loaded in a process of its own: {done.stderr.strip()[-300:]}", "see the error")
        cost, heavy = json.loads(line.removeprefix("PROBE "))
        best = min(best, cost)
        if heavy or best < MILLISECONDS:
            break
    return best, heavy


CHECKS = (
    loads_without_error,
    offers_something,
    names_are_free,
    offering_imports_nothing_heavy,
    offering_is_quick,
    the_core_is_required_by_a_range,
    parts_import_and_are_of_their_kind,
    parts_are_described_without_import,
    options_are_documented,
    summaries_fit_on_a_line,
    recipes_are_sound,
    parts_have_cases,
)
