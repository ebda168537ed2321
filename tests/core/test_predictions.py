"""Predictions survive the way to disk and back; a file is whole or absent; tables are safe to open."""

from __future__ import annotations

import csv
import json

import pyarrow.parquet as pq
import pytest

from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.predictions import SavedOutcome, SavedPrediction, read_predictions, write_predictions, write_table


def saved(model, targets, predictions, *, split="test", fold=-1, group=None):
    examples = [Example(f"{split}-{i}", f"text {i}", target, group) for i, target in enumerate(targets)]
    return SavedOutcome(model, split, fold, examples, predictions)


def test_classes_come_back_as_they_were(tmp_path):
    run = saved("run", ["NA", "yes"], [SavedPrediction("NA", {"NA": 0.75, "yes": 0.25}, {"note": [1, 2]})] * 2, group="g1")
    base = saved("majority", ["NA", "yes"], [SavedPrediction("yes")] * 2, fold=2)
    write_predictions([run, base], tmp_path / "p.parquet", excerpt=str)
    assert read_predictions(tmp_path / "p.parquet") == [run, base]


def test_the_columns_are_those_of_the_contract(tmp_path):
    write_predictions([saved("run", ["a"], [SavedPrediction("a", {"a": 1.0, "b": 0.0})])], tmp_path / "p.parquet")
    names = pq.read_schema(tmp_path / "p.parquet").names
    wanted = ["model", "split", "fold", "id", "group", "target", "prediction", "excerpt", "details", "p:a", "p:b"]
    assert names == wanted


def test_numbers_stay_numbers_and_label_sets_stay_sets(tmp_path):
    numbers = saved("run", [1, 2.5], [SavedPrediction(1.25), SavedPrediction(-3)])
    write_predictions([numbers], tmp_path / "n.parquet")
    (back,) = read_predictions(tmp_path / "n.parquet")
    assert back.targets == [1.0, 2.5]
    assert [p.value for p in back.predictions] == [1.25, -3.0]
    sets = saved("run", [("a", "b"), ()], [SavedPrediction(("a",), {"a": 0.9, "b": 0.2}), SavedPrediction(())])
    write_predictions([sets], tmp_path / "s.parquet")
    (back,) = read_predictions(tmp_path / "s.parquet")
    assert back.targets == [("a", "b"), ()]
    assert back.predictions[0].probabilities == {"a": 0.9, "b": 0.2}


def test_inputs_are_saved_only_as_excerpts(tmp_path):
    write_predictions([saved("run", ["a"], [SavedPrediction("a")])], tmp_path / "p.parquet")
    (back,) = read_predictions(tmp_path / "p.parquet")
    assert back.examples[0].input is None


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "p.parquet"
    good = saved("run", ["a"], [SavedPrediction("a")])
    write_predictions([good], path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_predictions([saved("run", ["a"], [SavedPrediction("a", None, {"no json": object()})])], path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["p.parquet"]


def test_a_file_that_is_no_table_of_predictions_is_refused(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    write_table([{"id": "1"}], tmp_path / "other.parquet")
    with pytest.raises(DataError, match="no readable table"):
        read_predictions(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="lacks the columns fold, model"):
        read_predictions(tmp_path / "other.parquet")
    with pytest.raises(DataError):
        read_predictions(tmp_path / "absent.parquet")


ROWS = [
    {"id": "1", "text": "=HYPERLINK(1)", "p:bad": 0.25, "labels": ["a", "b"]},
    {"id": "2", "text": 'naïve, "q"\n', "p:bad": -0.5},
]


def test_csv_is_safe_to_open_in_a_spreadsheet_and_keeps_numbers(tmp_path):
    write_table(ROWS, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["text"] == "'=HYPERLINK(1)"
    assert rows[0]["labels"] == "a; b"
    assert rows[1] == {"id": "2", "text": 'naïve, "q"\n', "p:bad": "-0.5", "labels": ""}


def test_jsonl_and_parquet_keep_values_as_they_are(tmp_path):
    write_table(ROWS, tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS
    write_table(ROWS, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist()[0] == ROWS[0]


def test_an_unknown_ending_names_those_that_are_possible(tmp_path):
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl, \.parquet"):
        write_table(ROWS, tmp_path / "out.xlsx")
