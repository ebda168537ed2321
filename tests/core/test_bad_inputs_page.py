"""Every line of docs/bad-inputs.md stands once, and names a test that is there or says that there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "docs" / "bad-inputs.md").read_text(encoding="utf-8").splitlines()
ROWS = [line for line in LINES if re.match(r"\| \d", line)]
CASES = 98  # of the list that the page is made after
HELD = 85  # lines with a test: only ever more


def test_every_case_has_its_line() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, CASES + 1))
    assert sum("::" in row for row in ROWS) >= HELD


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_line_names_a_test_that_is_there_or_says_that_there_is_none(row: str) -> None:
    *_, what, named, _ = (cell.strip() for cell in row.split("|"))
    assert what
    if not named:
        return
    file, function = re.fullmatch(r"`([\w/]+\.py)::(test_\w+)`", named).groups()  # type: ignore[union-attr] # fails on None
    assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
