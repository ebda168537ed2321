"""Source: finding classes, their bases and their values in source files with griffe, without importing a module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib import util
from pathlib import Path
from typing import Any

import griffe

# Where reading bases stops: what stands there has no options of ours, and parsing it costs time.
CLOSED = {"torch", "numpy", "sklearn", "transformers", "torchvision", "timm", "monai", *sys.stdlib_module_names}


class UnreadableError(Exception):
    """The source does not say it in a plain enough way; importing is the only way to know."""


@lru_cache(maxsize=512)
def read_module(name: str) -> griffe.Module:
    """The parsed source of a module; its parents are neither imported nor parsed.

    Raises:
        UnreadableError: There is no source file of that name, or it is not Python.
    """
    path = _file_of(name)
    try:
        return griffe.visit(name, filepath=path, code=path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableError(f"{path}: {error}") from error


def read_class(path: str) -> griffe.Class:
    """The class behind "package.module.Class", imports followed.

    Raises:
        UnreadableError: The path leads to no class in a source file.
    """
    found = _object(path)
    if not isinstance(found, griffe.Class):
        raise UnreadableError(f"{path} is not a class")
    return found


def lineage(cls: griffe.Class) -> Iterator[griffe.Class]:
    """The class and its bases, nearest first, as far as their source can be read."""
    seen: set[str] = set()
    queue = [cls]
    while queue:
        current = queue.pop(0)
        if current.path in seen:
            continue
        seen.add(current.path)
        yield current
        queue[:0] = list(_bases(current))


def value_of(expression: str, module: griffe.Module) -> Any:
    """The value of a literal, or of a name that stands for one ("DEFAULT", "defaults.LIMIT").

    Raises:
        UnreadableError: It is computed.
    """
    try:
        return ast.literal_eval(expression)
    except (ValueError, SyntaxError, TypeError):
        definition, home = definition_of(expression, module)
        if definition == expression:
            raise UnreadableError(f"'{expression}' is not a literal") from None
        return value_of(definition, home)


def definition_of(name: str, module: griffe.Module) -> tuple[str, griffe.Module]:
    """What a module-level name is assigned, and the module where that stands.

    Raises:
        UnreadableError: The name is not assigned in a source file.
    """
    found = _object(canonical(name, module))
    if not isinstance(found, griffe.Attribute) or found.value is None:
        raise UnreadableError(f"'{name}' is not assigned in {module.path}")
    return str(found.value), found.module


def section_of(name: str, module: griffe.Module) -> griffe.Class | None:
    """The class behind a name where it is a TypedDict, else None.

    Raises:
        UnreadableError: The name leads to no definition in a source file.
    """
    found = _object(canonical(name, module))
    is_section = isinstance(found, griffe.Class) and any(str(base).rpartition(".")[2] == "TypedDict" for base in found.bases)
    return found if isinstance(found, griffe.Class) and is_section else None


def canonical(name: str, module: griffe.Module) -> str:
    """The full path of a dotted name as the module's imports have it."""
    head, _, rest = name.partition(".")
    try:
        resolved = module.resolve(head)
    except griffe.NameResolutionError as error:
        raise UnreadableError(f"'{name}' is unknown in {module.path}") from error
    return f"{resolved}.{rest}" if rest else resolved


def _bases(cls: griffe.Class) -> Iterator[griffe.Class]:
    for base in cls.bases:
        path = base if isinstance(base, str) else base.canonical_path
        if path.partition(".")[0] not in CLOSED:
            try:
                yield read_class(path)
            except UnreadableError:
                continue  # a base without source (a C class, a missing package) gives no options


def _object(path: str, depth: int = 0) -> griffe.Object:
    """What stands at a dotted path; the longest prefix that is a module is read, imports are followed."""
    module, inner = _split(path)
    if depth > 20 or not inner:
        raise UnreadableError(f"{path} leads to no definition")
    current: griffe.Object | griffe.Alias = module
    for index, name in enumerate(inner):
        if name not in current.members:
            raise UnreadableError(f"{path}: no '{name}' in {current.path}")
        current = current.members[name]
        if isinstance(current, griffe.Alias):
            return _object(".".join([current.target_path, *inner[index + 1 :]]), depth + 1)
    if isinstance(current, griffe.Alias):
        raise UnreadableError(f"{path} leads to no definition")
    return current


def _split(path: str) -> tuple[griffe.Module, list[str]]:
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        if _find(".".join(parts[:count])) is not None:
            return read_module(".".join(parts[:count])), parts[count:]
    raise UnreadableError(f"no source file for {path}")


def _file_of(name: str) -> Path:
    path = _find(name)
    if path is None:
        raise UnreadableError(f"no source file for the module {name}")
    return path


@lru_cache(maxsize=2048)
def _find(name: str) -> Path | None:
    """The file of a module. Only the top-level name is asked of the import system: that imports nothing."""
    top, *inner = name.split(".")
    try:
        spec = util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder).joinpath(*inner)
        for candidate in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
