"""Every promise of docs/reliability.md names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
TABLE = PAGE.read_text(encoding="utf-8").partition("\n## Faults")[2].partition("\n\n")[2].partition("\n\n")[0]
ROWS = TABLE.splitlines()[2:]


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_each_line_of_the_fault_table_names_a_test_that_is_there(row: str) -> None:
    names = re.findall(r"`((?:\w+/)*test_\w+\.py)(?:::(test_\w+))?`", row)
    assert names, f"no test stands in: {row}"
    for file, function in names:
        code = (ROOT / "tests" / ("" if "/" in file else "core") / file).read_text(encoding="utf-8")
        assert f"def {function}(" in code if function else "def test_" in code
