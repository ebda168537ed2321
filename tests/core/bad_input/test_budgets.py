"""Broken rows of text tables against the budget: 0, 1, 5 and 50 %, just within `max_bad` and just over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.builtin.table import Table
from headstart.data_check import check_data
from headstart.errors import DataError, UsageError
from headstart.recipe import Part, Recipe

COUNT = 100


def csv_line(number: int, is_broken: bool) -> str:
    return f"text {number}, with a comma,{number % 2}" if is_broken else f"text {number},{number % 2}"


def json_line(number: int, is_broken: bool) -> str:
    line = json.dumps({"text": f"text {number}", "label": str(number % 2)})
    return (line[:-5], f"[{number}]")[number % 2] if is_broken else line


def number_line(number: int, is_broken: bool) -> str:
    return f"text {number},{('nan', 'inf', 'three')[number % 3] if is_broken else number / 10}"


KINDS = [
    pytest.param("rows.csv", "class", csv_line, "3 fields where the header has 2", id="fields of csv"),
    pytest.param("rows.tsv", "class", lambda *line: csv_line(*line).replace(",", "\t"), "3 fields where", id="fields of tsv"),
    pytest.param("rows.jsonl", "class", json_line, "is no JSON", id="lines of JSON"),
    pytest.param("rows.csv", "number", number_line, "the label 'nan' is no number", id="numbers"),
]


def written(path: Path, line: Callable[[int, bool], str], broken: int) -> Path:
    """A table of 100 rows, the first of them broken."""
    header = {".csv": ["text,label"], ".tsv": ["text\tlabel"]}.get(path.suffix, [])
    path.write_text("\n".join([*header, *(line(number, number < broken) for number in range(COUNT))]) + "\n")
    return path


@pytest.mark.parametrize(("file", "kind", "line", "reason"), KINDS)
def test_broken_rows_count_against_the_budget(tmp_path, caplog, file, kind, line, reason, budget) -> None:
    broken, max_bad, is_read = budget
    path = written(tmp_path / file, line, broken)
    first = f"{path}:{1 if path.suffix == '.jsonl' else 2}"
    options = {"path": str(path), "text": "text", "label": "label", "kind": kind, "max_bad": max_bad}
    data, report = Table(**options), check_data(Recipe(Part("table", options), Part("vectors"), Part("linear")))
    if not is_read:
        with pytest.raises(
            DataError, match=f"{broken} of {COUNT} rows cannot be read, over the budget of {max_bad:g} "
        ) as caught:
            data.examples()
        assert f"(data.max_bad): {first}: " in str(caught.value)
        assert str(caught.value) in [finding.text for finding in report.findings if finding.level == "error"]
        return
    assert len(data.examples()) == COUNT - broken
    assert {example.input for example in data.examples()} == {f"text {number}" for number in range(broken, COUNT)}
    quarantined = data.facts().get("quarantined", {})
    assert len(quarantined) == broken
    if broken:
        assert reason in quarantined[first]
        assert f"{broken} of {COUNT} rows cannot be read and are left out: {first}: " in caplog.text
        assert any("left out" in finding.text and finding.level == "warning" for finding in report.findings)


def test_without_a_budget_the_first_broken_row_is_the_error(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", csv_line, 3)
    with pytest.raises(DataError, match=r"^\S+rows\.csv:2: 3 fields where the header has 2"):
        Table(path=str(path), text="text", label="label").examples()


def test_an_answer_is_owed_to_each_row_of_a_new_file_whatever_the_budget(tmp_path: Path) -> None:
    data = Table(path=str(written(tmp_path / "rows.csv", csv_line, 0)), text="text", label="label", max_bad=1.0)
    with pytest.raises(DataError, match=r"new\.csv:2: 3 fields"):
        data.open(written(tmp_path / "new.csv", csv_line, 1))


def test_a_quote_that_is_never_closed_is_no_row_that_could_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", csv_line, 0)
    path.write_text(path.read_text().replace("text 7,", '"text 7,'))
    with pytest.raises(DataError, match=r"rows\.csv:9: a double quote opens here and is never closed"):
        Table(path=str(path), text="text", label="label", max_bad=0.5).examples()


@pytest.mark.parametrize("max_bad", [-0.1, 1.5])
def test_a_budget_that_is_no_share_is_refused(tmp_path: Path, max_bad: float) -> None:
    with pytest.raises(UsageError, match=rf"data\.max_bad: {max_bad} is no share of the rows; 0 = none may be broken, 1 = all"):
        Table(path=str(tmp_path / "rows.csv"), max_bad=max_bad)
