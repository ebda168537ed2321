"""This plugin is an outsider's: it imports what the core calls public and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import headstart
import headstart.testing

import headstart_protein

SOURCES = sorted(Path(headstart_protein.__file__).parent.glob("*.py"))


def imported(source: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a file imports."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def test_only_public_names_of_the_core_are_imported():
    names = [(source.name, module, name) for source in SOURCES for module, name in imported(source)]
    of_core = [(file, module, name) for file, module, name in names if module.split(".")[0] == "headstart"]
    assert of_core, "the plugin builds on the core"
    public = {"headstart": headstart.__all__, "headstart.testing": headstart.testing.__all__}
    assert [one for one in of_core if one[2] not in public.get(one[1], ())] == []


def test_no_other_plugin_is_needed():
    modules = {module.split(".")[0] for source in SOURCES for module, _ in imported(source)}
    assert not modules & {"headstart_nlp", "headstart_vision", "headstart_healthcare"}


def test_no_private_attribute_of_another_module_is_touched():
    """`self._x` is our own; any other underscored attribute would be somebody else's."""
    touched = [
        f"{source.name}: {ast.unparse(node)}"
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node.value) != "self"
        and not node.attr.startswith("__")
    ]  # fmt: skip
    assert touched == []


def test_offering_imports_no_torch():
    code = "import sys, headstart_protein.plugin as p; list(p.headstart_backbones()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
