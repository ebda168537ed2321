"""The lists of docs/bad-inputs.md and of the plugin's README: every line of the specification with a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = 32  # inputs of the table that the plugin was planned by
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / "docs/bad-inputs.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| H\d", line)
]


def test_every_line_stands_once_and_says_what_happens():
    assert [row[0] for row in ROWS] == [f"H{number}" for number in range(1, CASES + 1)]
    assert len({row[1] for row in ROWS}) == CASES and all(row[2] for row in ROWS)


PROMISES = re.findall(
    r"^\| ([MS]\d+) \| .+ \| `tests/([\w/]+\.py::test_\w+)` \|$",
    (ROOT / "plugins/healthcare/README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
WANTED = {*(f"M{number}" for number in range(1, 14)), "S1", "S2", "S4", "S6"}


def test_every_promise_has_a_line():
    assert {number for number, _ in PROMISES} == WANTED


@pytest.mark.parametrize("named", [row[3].strip("`") for row in ROWS] + [named for _, named in PROMISES])
def test_a_line_names_a_test_that_runs(named):
    """One that is there, is not skipped, and claims something."""
    file, name = named.split("::")
    functions = {
        node.name: node
        for node in ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert name in functions
    text = ast.unparse(functions[name])
    assert re.search(r"\bassert\b|pytest\.raises|refused\(", text), "claims nothing"
    assert not re.search(r"mark\.(skip|xfail)|pytest\.skip", text), "is skipped"
