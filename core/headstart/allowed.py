"""Allow-lists: which plugins may be imported at all, by the variable HEADSTART_PLUGINS and by the user's own file.

The file is `config.toml` in the user's configuration folder of headstart, or the one that HEADSTART_CONFIG names:

    plugins = ["headstart-nlp==0.1.0", "headstart-healthcare"]

A plugin has to be on both lists where there are both; the core always is. A list that cannot be read stops the command, since
an empty one in its place would import everything.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from headstart.errors import UsageError

VARIABLE = "HEADSTART_PLUGINS"
FILE_VARIABLE = "HEADSTART_CONFIG"
KEYS = ("plugins",)


@dataclass(frozen=True)
class Allowed:
    """One name of a list: of an entry point or a distribution; `version` "" = any."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class AllowList:
    """What one source allows.

    Attributes:
        source: Where it stands, for messages.
    """

    source: str
    entries: tuple[Allowed, ...]

    def refusal(self, names: Iterable[str], version: str) -> str:
        """Why a plugin of these names is not imported; "" = it is allowed."""
        known = {canonicalize_name(name) for name in names}
        found = [entry for entry in self.entries if entry.name in known]
        if not found:
            return f"left out by {self.source}"
        if any(not entry.version or _is_same(entry.version, version) for entry in found):
            return ""
        here = version or "an unknown one"
        return f"left out by {self.source}, which allows version {found[0].version}, and {here} is installed"

    def unknown(self, present: Iterable[str]) -> list[str]:
        """Names that no installed plugin has: a typing error must not go unseen."""
        known = {canonicalize_name(name) for name in present}
        return sorted({entry.name for entry in self.entries} - known)


def allow_lists() -> tuple[AllowList, ...]:
    """The lists that hold for this process; none = every installed plugin is imported.

    Raises:
        UsageError: The file or a name in a list cannot be read.
    """
    lists = []
    if names := [name for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]:
        lists.append(AllowList(VARIABLE, _parsed(names, VARIABLE)))
    file = config_file()
    if file is not None:
        state = file.stat()
        lists += _of_file(file, state.st_mtime_ns, state.st_size)
    return tuple(lists)


def config_file() -> Path | None:
    """The user's file of settings; None = there is none.

    Raises:
        UsageError: HEADSTART_CONFIG names one that is not there.
    """
    if given := os.environ.get(FILE_VARIABLE):
        path = Path(given).expanduser()
        if not path.is_file():
            raise UsageError(f"{FILE_VARIABLE}: there is no file '{given}'; write it, or unset the variable")
        return path
    path = _usual_file(os.environ.get("XDG_CONFIG_HOME", ""), os.environ.get("HOME", ""))
    return path if path.is_file() else None


@lru_cache
def _usual_file(*_variables: str) -> Path:
    from platformdirs import user_config_path

    return user_config_path("headstart", appauthor=False) / "config.toml"


@lru_cache(maxsize=8)
def _of_file(file: Path, _changed: int, _size: int) -> list[AllowList]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if unknown := sorted(set(content) - set(KEYS)):
        raise UsageError(f"{file}: there is no setting '{unknown[0]}'; known: {', '.join(KEYS)}")
    if "plugins" not in content:
        return []
    return [AllowList(str(file), _parsed(_texts(content["plugins"], file), str(file)))]


def _texts(value: Any, file: Path) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f'{file}: plugins is a list of names, like plugins = ["headstart-nlp==0.1.0"]')
    return value


def _parsed(names: Iterable[str], source: str) -> tuple[Allowed, ...]:
    return tuple(_entries(names, source))


def _entries(names: Iterable[str], source: str) -> Iterator[Allowed]:
    for text in names:
        name, _, version = (part.strip() for part in text.partition("=="))
        if not name or any(sign in name for sign in "<>=~!;@[ ") or ("==" in text and not version):
            raise UsageError(f"{source}: '{text.strip()}' is neither a name nor name==version")
        yield Allowed(canonicalize_name(name), version)


def _is_same(wanted: str, installed: str) -> bool:
    try:
        return Version(wanted) == Version(installed)
    except InvalidVersion:
        return wanted == installed
