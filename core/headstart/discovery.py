"""Discovery: each plugin is loaded on its own, so that a broken one is a record with its error and stops nothing else."""

from __future__ import annotations

import inspect
import os
import re
import reprlib
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import metadata, util
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from headstart import hookspecs
from headstart.components import Component, Kind
from headstart.hookspecs import PROJECT
from headstart.installed import installed_version
from headstart.version import __version__

if TYPE_CHECKING:
    import click

CORE = "core"  # name of the core's own entry point
HOOKS: Mapping[str, Kind] = {
    "headstart_backbones": "backbone",
    "headstart_heads": "head",
    "headstart_strategies": "strategy",
    "headstart_data": "data",
    "headstart_evaluations": "evaluation",
    "headstart_report": "report",
    "headstart_explainers": "explainer",
    "headstart_cases": "case",
}
KNOWN_HOOKS = (*HOOKS, "headstart_recipes", "headstart_trackers", "headstart_commands")
LEAVING = ("_exit", "abort")  # of `os`: end the process without an exception that could be caught
NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*(?:/[a-z0-9]+(?:[-.][a-z0-9]+)*)?")


@dataclass(frozen=True)
class PluginRecord:
    """One plugin: what it offers, or why it does not.

    Attributes:
        name: Of its entry point, or of its file without the ending.
        distribution: The installed package that brings it, or the path of its file.
        components: What it offers, by kind. Sound parts of a plugin with an error stay usable.
        error: Everything that is wrong with it, in one line; None = sound.
        milliseconds: Time to import it and to ask its hooks.
    """

    name: str
    distribution: str
    version: str = ""
    components: Mapping[Kind, tuple[Component, ...]] = field(default_factory=dict)
    recipe_folders: tuple[Path, ...] = ()
    trackers: tuple[Callable[[Mapping[str, Any]], None], ...] = ()
    commands: tuple[click.Command, ...] = ()
    error: str | None = None
    milliseconds: float = 0.0

    @property
    def title(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()


def load_entry_point(entry: metadata.EntryPoint, *, seconds: float) -> PluginRecord:
    """Load one installed plugin; never raises but KeyboardInterrupt.

    Args:
        entry: An entry point of the group "headstart", its value a module of hook implementations.
        seconds: Longest time that the import, and then the hooks, may take; 0 = no limit.
    """
    if entry.dist is None:
        return PluginRecord(entry.name, "unknown", error="its distribution has no readable metadata")
    name, version = entry.dist.name or "unknown", entry.dist.version or ""
    requirements = _requirements(entry.dist)
    if clash := _core_clash(requirements, name):
        return PluginRecord(entry.name, name, version, error=clash)
    return _load(_Loading(entry.name, name, version, seconds, requirements), entry.load)


def load_file(file: Path) -> PluginRecord:
    """Load a plugin that is one file; its module is named as the file, so that its import strings are "<stem>:Class"."""

    def import_file() -> Any:
        if not file.is_file():
            raise FileNotFoundError(f"no such file: {file}")
        spec = util.find_spec(file.stem)
        if spec is not None and Path(spec.origin or "").resolve() != file.resolve():
            raise ImportError(f"a module named '{file.stem}' exists already; rename the file")
        return sys.modules.get(file.stem) or _import_from(file)

    # no time limit: the user named this file, and it may define its parts beside the hooks and so import torch
    return _load(_Loading(file.stem, str(file)), import_file)


def _import_from(file: Path) -> Any:
    spec = util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = sys.modules[file.stem] = util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[file.stem]
        raise
    return module


@dataclass
class _Loading:
    """A plugin while it is loaded: its identity and the faults found so far."""

    name: str
    distribution: str
    version: str = ""
    seconds: float = 0.0
    requirements: Sequence[Requirement] = ()
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def guard(self, doing: str) -> Iterator[None]:
        """Turn whatever goes wrong inside into a fault; what the plugin prints goes to stderr, where no `--json` is hurt."""
        try:
            with _time_limit(self.seconds), _staying(), redirect_stdout(sys.stderr):
                yield
        except KeyboardInterrupt:
            raise
        except _TimeUpError:
            self.faults.append(f"{doing} takes longer than {self.seconds:g} s")
        except ModuleNotFoundError as error:
            self.faults.append(f"{doing} fails: {self._missing(error)}")
        except BaseException as error:  # SystemExit and the like of one plugin must not end the command
            self.faults.append(f"{doing} fails: {_in_one_line(error)}")

    def _missing(self, error: ModuleNotFoundError) -> str:
        name = error.name or str(error)
        top = name.partition(".")[0]
        return f"the module '{name}' is not installed; {_missing_hint(self.requirements) or f'pip install {top}'}"


def _load(loading: _Loading, import_module: Callable[[], Any]) -> PluginRecord:
    start = perf_counter()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    with loading.guard("import"):
        module = import_module()
        loading.faults += _misnamed_hooks(module)
        manager.register(module)
    components = {kind: tuple(_components(loading, manager, hook)) for hook, kind in HOOKS.items()}
    folders = _offered(loading, manager, "headstart_recipes", _is_folder, "the Path of a folder that exists")
    trackers = _offered(loading, manager, "headstart_trackers", callable, "a function")
    commands = _offered(loading, manager, "headstart_commands", _is_command, "a click.Command")
    return PluginRecord(
        loading.name,
        loading.distribution,
        loading.version,
        components,
        tuple(folders),
        tuple(trackers),
        tuple(commands),
        error="; ".join(loading.faults) or None,
        milliseconds=round((perf_counter() - start) * 1000, 1),
    )


def _offered(
    loading: _Loading, manager: pluggy.PluginManager, hook: str, is_right: Callable[[Any], bool], expected: str
) -> list[Any]:
    """The right ones of what a hook yields; the others, and what it raises, become faults."""
    accepted: list[Any] = []
    with loading.guard(hook):
        for answer in getattr(manager.hook, hook)():
            for item in answer:
                if is_right(item):
                    accepted.append(item)
                else:
                    loading.faults.append(f"{hook} yields {reprlib.repr(item)}, which is not {expected}")
    return accepted


def _components(loading: _Loading, manager: pluggy.PluginManager, hook: str) -> Iterator[Component]:
    taken: set[str] = set()
    for component in _offered(loading, manager, hook, lambda item: isinstance(item, Component), "a Component"):
        fault = _name_fault(component, taken, is_core=loading.name == CORE)
        if fault:
            loading.faults.append(f"{hook}: {fault}")
            continue
        taken.add(component.name)
        yield component


def _name_fault(component: Component, taken: set[str], *, is_core: bool) -> str | None:
    name = component.name
    if not NAME.fullmatch(name):
        return f"the name '{name}' is not lower case with hyphens, like 'plugin/thing'"
    if not is_core and "/" not in name:
        return f"the name '{name}' needs the plugin's prefix, like 'plugin/{name}'; names without one are the core's"
    if name in taken:
        return f"the name '{name}' is offered twice by this plugin"
    if ":" not in component.target:
        return f"the target '{component.target}' of '{name}' is not 'package.module:Class'"
    return None


def _misnamed_hooks(module: Any) -> list[str]:
    """Functions that look like hooks and would never be called."""
    functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
    return [fault for name, value in functions.items() if (fault := _hook_fault(name, value))]


def _hook_fault(name: str, function: Any) -> str | None:
    marks = getattr(function, f"{PROJECT}_impl", None)  # what pluggy's marker leaves on a function
    if marks is None and not name.startswith(f"{PROJECT}_"):
        return None
    hook = (marks or {}).get("specname") or name
    if hook not in KNOWN_HOOKS:
        close = get_close_matches(hook, KNOWN_HOOKS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(KNOWN_HOOKS)}"
        return f"there is no hook named '{hook}'; {hint}"
    return f"'{name}' is not marked with @hookimpl, so it is never called" if marks is None else None


def _is_folder(item: Any) -> bool:
    return isinstance(item, Path) and item.is_dir()


def _is_command(item: Any) -> bool:
    import click

    return isinstance(item, click.Command)


def _requirements(distribution: metadata.Distribution) -> list[Requirement]:
    """What the distribution needs here, extras aside; a line that cannot be read is left to pip."""
    found = []
    for line in distribution.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append(requirement)
    return found


def _core_clash(requirements: Iterable[Requirement], distribution: str) -> str | None:
    for requirement in requirements:
        is_core = canonicalize_name(requirement.name) == PROJECT
        if is_core and not requirement.specifier.contains(__version__, prereleases=True):
            return (
                f"needs headstart{requirement.specifier}, this is headstart {__version__}; "
                f"install versions that fit: pip install -U headstart {distribution}"
            )
    return None


def _missing_hint(requirements: Iterable[Requirement]) -> str:
    missing = [f"{need.name}{need.specifier}" for need in requirements if installed_version(need.name) is None]
    return f"pip install {' '.join(map(shlex.quote, missing))}" if missing else ""


def _in_one_line(error: BaseException) -> str:
    """Type, message and the place nearest to the fault."""
    message = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {message}{place}" if message else f"{type(error).__name__}{place}"


class _TimeUpError(BaseException):
    """Not an Exception, so that the plugin's own `except Exception` does not swallow it."""


class _LeavingError(BaseException):
    """Not an Exception, for the same reason."""


@contextmanager
def _staying() -> Iterator[None]:
    """Raise _LeavingError where code inside would end this process past every handler; a child that it forks may end itself."""
    kept, process = {name: getattr(os, name) for name in LEAVING}, os.getpid()

    def held(name: str) -> Callable[..., Any]:
        def leave(*args: Any) -> Any:
            if os.getpid() != process:
                return kept[name](*args)
            raise _LeavingError(f"it calls os.{name}, which would end this process")

        return leave

    for name in LEAVING:
        setattr(os, name, held(name))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(os, name, function)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TimeUpError inside after `seconds`; only where POSIX signals can, on the main thread."""
    can_signal = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not can_signal or seconds <= 0:
        yield
        return

    def expire(*_: object) -> None:
        raise _TimeUpError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous or signal.SIG_DFL)
