"""The data part `table`: columns, labels, what is dropped, and new inputs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headstart.builtin.columns import natural_key
from headstart.builtin.table import Table
from headstart.errors import DataError, MissingError, UsageError
from headstart.example import Target

CSV = "id,text,label,who\nx1, good one ,pos,ann\nx2,,neg,bob\nx3,bad one,NA,\nx4,another,,ann\nx5,fine,pos,bob\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "data.csv").write_text(CSV)
    return tmp_path / "data.csv"


def made(folder: Path, content: str, name: str = "data.csv", **options: Any) -> Table:
    (folder / name).write_text(content)
    return Table(path=str(folder / name), **options)


def test_rows_become_examples_and_what_is_left_out_is_counted(table: Path) -> None:
    data = Table(path=str(table), group="who", id="id")
    assert [(e.id, e.input, e.target, e.group) for e in data.examples()] == [
        ("x1", "good one", "pos", "ann"),
        ("x3", "bad one", "NA", None),
        ("x5", "fine", "pos", "bob"),
    ]
    assert data.target == Target("class", ("NA", "pos"))
    assert data.facts()["dropped"] == {"empty text": 1, "no label": 1}
    assert data.facts()["guessed"] == {"text": "text", "label": "label"}
    assert (data.facts()["rows"], data.facts()["used"]) == (5, 3)


def test_facts_are_plain_json(table: Path) -> None:
    facts = Table(path=str(table)).facts()
    assert json.loads(json.dumps(facts)) == facts


def test_making_the_part_reads_nothing() -> None:
    data = Table(path="/nowhere/at/all.csv", text="text")
    assert data.read({"text": " still readable "}) == "still readable"
    with pytest.raises(DataError, match="no such file"):
        data.examples()


def test_a_packages_file_that_is_not_installed_names_the_command() -> None:
    with pytest.raises(MissingError, match="pip install no-such-package"):
        Table(path="package:no-such-package/x.csv").examples()


def test_ids_are_file_and_row_and_do_not_shift_with_what_is_dropped(table: Path) -> None:
    assert [e.id for e in Table(path=str(table)).examples()] == ["data:1", "data:3", "data:5"]
    assert [e.id for e in Table(path=str(table), where={"label": "pos"}).examples()] == ["data:1", "data:5"]


def test_an_id_that_stands_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the id 'a' stands more than once, in lines 2, 4"):
        made(tmp_path, "id,text,label\na,x,0\nb,y,1\na,z,0\n", id="id").examples()


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["class_10", "class_2", "class_1"], ("class_1", "class_2", "class_10")),
        (["neg", "NA", "1.5", "-1"], ("-1", "1.5", "NA", "neg")),
        (["b2a", "b10", "2", "a"], ("2", "a", "b2a", "b10")),
        (["nan", "inf", "1"], ("1", "inf", "nan")),
    ],
)
def test_labels_stand_in_natural_order(labels: list[str], order: tuple[str, ...]) -> None:
    assert tuple(sorted(labels, key=natural_key)) == order


def test_labels_get_new_names_and_one_may_be_positive(tmp_path: Path) -> None:
    csv = "text,label\na,0\nb,1\nc,0\n"
    data = made(tmp_path, csv, names={"0": "negative", "1": "positive"}, positive="positive")
    assert data.target == Target("class", ("negative", "positive"), "positive")
    with pytest.raises(DataError, match=r"no label 'positiv' .*did you mean 'positive'"):
        _ = made(tmp_path, csv, names={"1": "positive"}, positive="positiv").target
    with pytest.raises(DataError, match=r"no label '2' \(data\.names\)"):
        made(tmp_path, csv, names={"2": "other"}).examples()


def test_several_labels_in_one_cell_are_a_set(tmp_path: Path) -> None:
    data = made(tmp_path, "text,label\na,x| y\nb,y|y\nc,z\n", kind="labels")
    assert [e.target for e in data.examples()] == [("x", "y"), ("y",), ("z",)]
    assert data.target == Target("labels", ("x", "y", "z"))


def test_lists_of_jsonl_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = '{"text": "a", "label": ["x|y", "z"]}\n{"text": "b", "label": []}\n{"text": "c", "label": null}\n'
    data = made(tmp_path, rows, "data.jsonl", kind="labels")
    assert [e.target for e in data.examples()] == [("x|y", "z"), ()]
    with pytest.raises(DataError, match=r"data\.jsonl:1: holds a list of labels; use `kind: labels`"):
        made(tmp_path, rows, "data.jsonl").examples()


def test_numbers_are_read_and_a_word_among_them_is_named(tmp_path: Path) -> None:
    data = made(tmp_path, "text,label\na,1.5\nb,-2\n", kind="number")
    assert [e.target for e in data.examples()] == [1.5, -2.0]
    assert data.target == Target("number")
    for word in ("many", "nan", "inf"):
        with pytest.raises(DataError, match=rf"data\.csv:3: the label '{word}' is no number"):
            made(tmp_path, f"text,label\na,1.5\nb,{word}\n", kind="number").examples()


def test_columns_of_text_are_joined_by_line_breaks(tmp_path: Path) -> None:
    data = made(tmp_path, "title,body,label\nT, B ,x\n,only body,y\n", text=["title", "body"])
    assert [e.input for e in data.examples()] == ["T\nB", "only body"]
    assert data.read({"title": "T", "body": "B", "more": 1}) == "T\nB"
    with pytest.raises(DataError, match="the input has no 'body'; it has: title"):
        data.read({"title": "T"})


def test_rows_are_chosen_by_where(tmp_path: Path) -> None:
    csv = "text,label,source\na,0,imdb\nb,1,other\nc,1,more\n"
    assert [e.input for e in made(tmp_path, csv, where={"source": ["imdb", "more"]}).examples()] == ["a", "c"]
    with pytest.raises(DataError, match=r"no row is left by where .*seen: source: imdb, other, more"):
        made(tmp_path, csv, where={"source": "imbd"}).examples()


def test_a_subset_is_stratified_in_order_and_the_same_for_a_seed(tmp_path: Path) -> None:
    csv = "text,label\n" + "".join(f"t{i},{'a' if i % 4 else 'b'}\n" for i in range(200))
    chosen = made(tmp_path, csv, rows=40).examples()
    assert Counter(e.target for e in chosen) == {"a": 30, "b": 10}
    assert [int(e.input[1:]) for e in chosen] == sorted(int(e.input[1:]) for e in chosen)
    assert chosen == made(tmp_path, csv, rows=40).examples()
    assert chosen != made(tmp_path, csv, rows=40, seed=1).examples()
    with pytest.raises(DataError, match="300 asked for, 200 usable"):
        made(tmp_path, csv, rows=300).examples()


def test_files_of_splits_give_the_split_and_keep_ids_apart(tmp_path: Path) -> None:
    for folder, row in (("a", "x,0"), ("b", "y,1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.csv").write_text(f"text,label\n{row}\n")
    data = Table(path=str(tmp_path / "a/data.csv"), test=str(tmp_path / "b/data.csv"))
    assert [(e.id, e.meta["split"]) for e in data.examples()] == [("train/data:1", "train"), ("test/data:1", "test")]


def test_columns_of_split_and_time_are_carried_along(tmp_path: Path) -> None:
    data = made(tmp_path, "text,label,part,day\na,0,dev,2020-01-02\n", split="part", time="day")
    assert dict(data.examples()[0].meta) == {"split": "dev", "time": "2020-01-02"}


def test_an_absent_column_is_an_error_at_once_named_by_its_option(table: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'whom' \(data\.group\); did you mean 'who'\?"):
        Table(path=str(table), group="whom").examples()
    with pytest.raises(DataError, match="no column looks like a label; name it with `label: COLUMN`"):
        table.write_text("text,outcome\na,b\n")
        Table(path=str(table)).examples()


def test_another_file_is_opened_with_or_without_labels(table: Path, tmp_path: Path) -> None:
    data = Table(path=str(table), group="who", id="id", where={"label": "pos"})
    (tmp_path / "new.csv").write_text("text;other\nfresh;1\n;2\nnext;3\n")
    opened = data.open(tmp_path / "new.csv")
    assert [(e.id, e.input, e.target) for e in opened] == [("new:1", "fresh", None), ("new:3", "next", None)]
    assert [(e.id, e.target) for e in data.open(table)] == [("x1", "pos"), ("x3", "NA"), ("x4", None), ("x5", "pos")]


def test_a_text_file_is_one_text_per_line(table: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("first, with comma\n\nthird\n")
    opened = Table(path=str(table)).open(tmp_path / "lines.txt")
    assert [(e.id, e.input) for e in opened] == [("lines:1", "first, with comma"), ("lines:3", "third")]


def test_an_absent_text_column_in_another_file_is_an_error(table: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("texts,label\na,b\n")
    with pytest.raises(DataError, match=r"no column 'text' \(data\.text\); did you mean 'texts'"):
        Table(path=str(table), text="text").open(tmp_path / "new.csv")


def test_excerpts_are_short() -> None:
    data = Table(path="x.csv")
    assert data.excerpt("short") == "short"
    assert len(data.excerpt("long " * 200) or "") == 300


def test_copies_are_counted(tmp_path: Path) -> None:
    assert made(tmp_path, "text,label\na,0\nb,1\na,0\na,1\n").facts()["duplicates"] == 2


@pytest.mark.parametrize("rows", [0, -3])
def test_a_number_of_rows_that_keeps_none_is_refused_before_anything_is_read(rows: int) -> None:
    with pytest.raises(UsageError, match=f"option rows is {rows}; it must be at least 1"):
        Table(path="nowhere.csv", rows=rows)


def test_where_that_leaves_nothing_is_told_without_brackets(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label,source\na film,good,web\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no row is left by where source: print, radio; seen: source: web"):
        Table(path=str(tmp_path / "x.csv"), where={"source": ["print", "radio"]}).examples()


def test_a_folder_in_place_of_a_table_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; name one of its files"):
        Table(path="x.csv").open(tmp_path)
