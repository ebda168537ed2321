"""Every attack that SECURITY.md says something holds against names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
HEADING = "## Who attacks, how, and what holds against it"
ROWS = [line for line in TEXT.partition(HEADING)[2].partition("\n## ")[0].splitlines() if re.match(r"\| (?!attack)", line)]
ATTACKERS = ("recipe", "data file", "weights", "hub", "plugin", "another user", "kit", "log")


def test_the_table_is_there_and_no_attacker_is_left_out() -> None:
    assert len(ROWS) >= 25
    attacks = " ".join(row.split("|")[1] for row in ROWS)
    assert [who for who in ATTACKERS if who not in attacks] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_each_line_names_tests_that_are_there(row: str) -> None:
    names = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row)
    assert names, f"no test stands in: {row}"
    for file, function in names:
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file} has no {function}"


def test_nothing_is_claimed_of_an_audit_that_was_not_made() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "No result of it stands here" in TEXT
    assert re.search(r"^audit:\n(\t.*\n)+", makefile, re.MULTILINE)
    assert "--strict" in makefile  # without it, packages that cannot be asked about count as sound
