"""Plugins: the registry of everything that the core and the installed plugins offer, looked up by kind and name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from headstart.allowed import AllowList, allow_lists
from headstart.components import KINDS, Component, Kind
from headstart.discovery import CORE, PluginRecord, load_entry_point, load_file
from headstart.errors import MissingError, PluginError, UsageError

if TYPE_CHECKING:
    import click

__all__ = ["PluginRecord", "Registry", "UnknownNameError", "plugin_named", "registry"]

FAMILY = {"vision": "headstart-vision", "nlp": "headstart-nlp", "healthcare": "headstart-healthcare"}
SECONDS = 10.0  # longest import of a plugin


class UnknownNameError(UsageError):
    """Nothing of this name is offered; `hint` says what may be meant and what is known."""

    def __init__(self, what: str, name: str, hint: str) -> None:
        self.name, self.hint = name, hint
        super().__init__(f"no {what} named '{name}'; {hint}")


class Registry:
    """What is offered, as records of plugins; nothing that is offered has been imported."""

    def __init__(self, records: Iterable[PluginRecord]) -> None:
        self.records = tuple(_with_clashes(tuple(records)))

    def find(self, kind: Kind, name: str) -> Component:
        """The part of this kind and name.

        Raises:
            UnknownNameError: No plugin offers it (exit code 2).
            PluginError: Its plugin is broken or left out, or two plugins offer it (exit code 4).
            MissingError: It belongs to a plugin that is not installed (exit code 4).
        """
        offers = self.offers(kind).get(name, [])
        if len(offers) > 1:
            raise PluginError(_clash(kind, name, [record for record, _ in offers]))
        if not offers:
            raise self._absence(kind, name)
        return offers[0][1]

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Every name offered for this kind, sorted, the core's first."""
        return tuple(self.offers(kind))

    def offers(self, kind: Kind) -> dict[str, list[tuple[PluginRecord, Component]]]:
        """Name -> who offers it; more than one is a fault that shows at look-up."""
        return self._offers[kind]

    def recipes(self) -> dict[str, Path]:
        """Recipes that plugins bring, by name: the path in its folder without the ending ("nlp/sentiment")."""
        return dict(sorted(pair for record in self.records for folder in record.recipe_folders for pair in _recipes_in(folder)))

    def trackers(self) -> tuple[Callable[[Mapping[str, Any]], None], ...]:
        """Functions that are called with every event of a run."""
        return tuple(tracker for record in self.records for tracker in record.trackers)

    def sections(self) -> list[Component]:
        """Sections that plugins add to the report, those of the first plugin first."""
        return [component for record in self.records for component in record.components.get("report", ())]

    def explainers(self) -> list[Component]:
        """What explains answers, that of the first plugin first."""
        return [component for record in self.records for component in record.components.get("explainer", ())]

    def commands(self) -> dict[str, click.Command]:
        """Further commands of the command line, by name; the first plugin to offer a name keeps it."""
        commands: dict[str, click.Command] = {}
        for command in (command for record in self.records for command in record.commands):
            commands.setdefault(command.name or "", command)
        return commands

    @cached_property
    def _offers(self) -> dict[Kind, dict[str, list[tuple[PluginRecord, Component]]]]:
        return {kind: _by_name(kind, self.records) for kind in KINDS}

    def _absence(self, kind: Kind, name: str) -> UsageError | MissingError:
        """The error that says why there is no such part."""
        prefix = name.partition("/")[0] if "/" in name else ""
        for record in self.records:
            if prefix and record.error and prefix in _prefixes(record):
                return PluginError(f"no {kind} named '{name}': the plugin {record.title} does not work: {record.error}")
        if prefix in FAMILY and not any(prefix in _prefixes(record) for record in self.records):
            return MissingError(f"'{name}' belongs to {FAMILY[prefix]}, which is not installed: pip install {FAMILY[prefix]}")
        return UnknownNameError(kind, name, self._hint(kind, name))

    def _hint(self, kind: Kind, name: str) -> str:
        for other in KINDS:
            if name in self._offers[other]:
                return f"'{name}' is a {other}; {kind}s: {', '.join(self.names(kind))}"
        return nearest(name, self.names(kind))


def nearest(name: str, known: Sequence[str]) -> str:
    """ "did you mean ...? known: ..." for a name that is not known."""
    close = get_close_matches(name, known, n=1) or get_close_matches(name, [entry.partition("/")[2] for entry in known], n=1)
    full = next((entry for entry in known if close and entry.endswith(close[0])), None)
    family = name.partition("/")[0] + "/" if "/" in name else ""
    ranked = sorted(known, key=lambda entry: not entry.startswith(family)) if family else known  # those of its plugin first
    listed = ", ".join(ranked[:20]) + (", ..." if len(known) > 20 else "")
    return f"did you mean '{full}'? known: {listed}" if full else f"known: {listed or 'none'}"


def plugin_named(name: str) -> PluginRecord:
    """The record of a plugin by the name of its entry point, its distribution or its file.

    Raises:
        UnknownNameError: None of this name is installed.
    """
    records = registry().records
    for record in records:
        if canonicalize_name(name) in (canonicalize_name(record.name), canonicalize_name(record.distribution)):
            return record
    known = tuple(record.name for record in records)
    raise UnknownNameError("plugin", name, nearest(name, known))


def registry(files: Sequence[str | Path] = ()) -> Registry:
    """The registry of this process, made once.

    `HEADSTART_PLUGINS=a,b==1.0` (names of entry points or distributions) and the user's file limit it (see
    `headstart.allowed`), `HEADSTART_NO_PLUGINS=1` leaves the core alone, `HEADSTART_PLUGIN_FILES` (set by `--plugin`, so that
    child processes see it too) adds single files, and `HEADSTART_PLUGIN_SECONDS` limits the time of an import.
    """
    listed = os.environ.get("HEADSTART_PLUGIN_FILES", "").split(os.pathsep)
    places = tuple(dict.fromkeys(str(Path(file).resolve()) for file in (*filter(None, listed), *files)))
    is_core_only = os.environ.get("HEADSTART_NO_PLUGINS", "") not in ("", "0")
    return _registry(places, allow_lists(), is_core_only, _seconds())


@lru_cache
def _registry(files: tuple[str, ...], lists: tuple[AllowList, ...], is_core_only: bool, seconds: float) -> Registry:
    entries = sorted(metadata.entry_points(group="headstart"), key=lambda entry: (entry.name != CORE, entry.name))
    records = [_load_or_leave(entry, lists, is_core_only, seconds) for entry in entries]
    return Registry([*records, *_absent(lists, records), *(load_file(Path(file)) for file in files)])


def _load_or_leave(entry: metadata.EntryPoint, lists: Sequence[AllowList], is_core_only: bool, seconds: float) -> PluginRecord:
    distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
    if entry.name == CORE and canonicalize_name(distribution) == "headstart":
        return load_entry_point(entry, seconds=0.0)
    refusals = ["left out by HEADSTART_NO_PLUGINS"] if is_core_only else []
    refusals += [said for one in lists if (said := one.refusal((entry.name, distribution), version))]
    if refusals:
        return PluginRecord(entry.name, distribution, version, error="; ".join(refusals))
    return load_entry_point(entry, seconds=seconds)


def _absent(lists: Iterable[AllowList], records: Iterable[PluginRecord]) -> Iterator[PluginRecord]:
    present = [name for record in records for name in (record.name, record.distribution)]
    for one in lists:
        for name in one.unknown(present):
            yield PluginRecord(name, "", error=f"named by {one.source}, but not installed")


def _seconds() -> float:
    given = os.environ.get("HEADSTART_PLUGIN_SECONDS", "")
    try:
        return float(given) if given else SECONDS
    except ValueError:
        raise UsageError(f"HEADSTART_PLUGIN_SECONDS must be a number of seconds, not '{given}'") from None


def _prefixes(record: PluginRecord) -> set[str]:
    """Prefixes of names that are taken to belong to a plugin, whether it loaded or not."""
    offered = {component.name.partition("/")[0] for offers in record.components.values() for component in offers}
    return {record.name, canonicalize_name(record.distribution).removeprefix("headstart-"), *offered}


def _by_name(kind: Kind, records: Iterable[PluginRecord]) -> dict[str, list[tuple[PluginRecord, Component]]]:
    offers: dict[str, list[tuple[PluginRecord, Component]]] = {}
    for record in records:
        for component in record.components.get(kind, ()):
            offers.setdefault(component.name, []).append((record, component))
    return dict(sorted(offers.items(), key=lambda item: ("/" in item[0], item[0])))


def _clash(kind: Kind, name: str, records: Sequence[PluginRecord]) -> str:
    titles = " and ".join(record.title for record in records)
    spare = records[-1]
    way_out = (
        f"uninstall one (pip uninstall {spare.distribution})" if spare.version else f"leave out --plugin {spare.distribution}"
    )
    return f"the {kind} '{name}' is offered by {titles}; {way_out} or limit HEADSTART_PLUGINS"


def _with_clashes(records: tuple[PluginRecord, ...]) -> Iterator[PluginRecord]:
    """The records, those that offer a taken name with an error that says so."""
    clashes: dict[int, list[str]] = {}
    for kind in KINDS:
        for name, offers in _by_name(kind, records).items():
            if len(offers) > 1:
                for record, _ in offers:
                    clashes.setdefault(id(record), []).append(_clash(kind, name, [other for other, _ in offers]))
    for record in records:
        faults = [*([record.error] if record.error else []), *clashes.get(id(record), [])]
        yield replace(record, error="; ".join(faults) or None)


def _recipes_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*.yaml"):
        yield path.relative_to(folder).with_suffix("").as_posix(), path
