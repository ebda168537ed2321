"""Tables that name pictures become examples with classes, sets of labels or numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import DataError
from headstart_vision.table import PictureTable

Save = Callable[..., Path]


@pytest.fixture
def pictures(save: Save, tmp_path: Path) -> Path:
    """Folder with a.png to d.png in img/."""
    for name in "abcd":
        save(f"img/{name}.png")
    return tmp_path


def table(folder: Path, text: str, name: str = "rows.csv", **options: Any) -> PictureTable:
    (folder / name).write_text(text)
    return PictureTable(path=str(folder / name), **options)


ROWS = "image,grade,patient,part\nimg/a.png,1,p1,train\nimg/b.png,0,p2,train\nimg/c.png,1,p1,test\n"


def test_rows_become_examples_with_groups_and_splits(pictures: Path) -> None:
    data = table(pictures, ROWS, label="grade", group="patient", split="part", names={"0": "whole", "1": "torn"})
    assert [(e.id, e.target, e.group, e.meta["split"]) for e in data.examples()] == [
        ("rows:1", "torn", "p1", "train"), ("rows:2", "whole", "p2", "train"), ("rows:3", "torn", "p1", "test"),
    ]  # fmt: skip
    assert data.examples()[0].input.load().size == (24, 16)
    assert data.excerpt(data.examples()[0].input) == "img/a.png"
    assert data.pinned() == {"picture": "image", "label": "grade"}


def test_pictures_may_lie_below_another_root(pictures: Path) -> None:
    data = table(pictures, "file,label\na.png,x\nb.png,y\n", root=str(pictures / "img"))
    assert data.target.labels == ("x", "y")


@pytest.mark.parametrize(
    ("options", "cells", "targets"),
    [
        ({"kind": "number"}, ("1.5", "2"), [1.5, 2.0]),
        ({"kind": "labels"}, ("crack|hole", ""), [("crack", "hole"), ()]),
    ],
)
def test_labels_may_be_numbers_or_sets(
    pictures: Path, options: dict[str, Any], cells: tuple[str, str], targets: list[object]
) -> None:
    data = table(pictures, f"file,label\nimg/a.png,{cells[0]}\nimg/b.png,{cells[1]}\n", **options)
    assert [example.target for example in data.examples()] == targets
    assert data.target.kind == options["kind"]


@pytest.mark.parametrize("separator", [" ", ","])
def test_a_table_without_a_header_gets_its_columns_from_the_recipe(pictures: Path, separator: str) -> None:
    rows = ["img/a.png{0}1.0{1}mono", "img/b.png{0}0.0{1}mono"]
    padding = ("  ", "              ") if separator == " " else (",", ",")
    text = "\n".join(row.format(*padding) for row in rows)
    data = table(pictures, text + "\n", separator=separator, columns=["picture", "defect", "cell"], label="defect")
    assert [example.target for example in data.examples()] == ["1.0", "0.0"]


def test_a_header_of_another_width_is_an_error_with_the_line(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.csv:1: 2 fields where the header has 3 \(file, label, more\)"):
        table(pictures, "img/a.png,1\n", columns=["file", "label", "more"]).examples()


def test_files_that_are_absent_count_against_the_budget(pictures: Path) -> None:
    text = "file,label\nimg/a.png,1\nimg/b.png,0\nimg/gone.png,0\n"
    with pytest.raises(DataError, match=r"1 of 3 pictures cannot be read.*gone\.png: there is no such file"):
        table(pictures, text).examples()
    data = table(pictures, text, max_bad=0.5)
    assert len(data.examples()) == 2
    assert list(data.facts()["quarantined"]) == ["img/gone.png"]


def test_a_file_that_stands_in_two_rows_is_an_error(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"the file 'img/a\.png' stands in more than one row"):
        table(pictures, "file,label\nimg/a.png,1\nimg/a.png,0\n").examples()


def test_what_is_no_path_is_not_guessed(pictures: Path) -> None:
    with pytest.raises(DataError, match=r"no column looks like the path of a picture.*columns: words, label"):
        table(pictures, "words,label\nhello,1\n").examples()


def test_further_tables_are_further_splits(pictures: Path) -> None:
    (pictures / "late.csv").write_text("file,label\nimg/c.png,1\n")
    data = table(pictures, "file,label\nimg/a.png,1\nimg/b.png,0\n", test=str(pictures / "late.csv"))
    assert [(e.id, e.meta["split"]) for e in data.examples()] == [
        ("train/rows:1", "train"), ("train/rows:2", "train"), ("test/late:1", "test"),
    ]  # fmt: skip


def test_another_table_is_opened_with_or_without_labels(pictures: Path) -> None:
    data = table(pictures, "file,label\nimg/a.png,1\nimg/b.png,0\n")
    (pictures / "new.csv").write_text("file\nimg/c.png\nimg/d.png\n")
    assert [example.target for example in data.open(pictures / "new.csv")] == [None, None]
    assert [example.target for example in data.open(pictures / "rows.csv")] == ["1", "0"]
    assert [example.id for example in data.open(pictures / "img")] == ["a.png", "b.png", "c.png", "d.png"]
    (one,) = data.open(pictures / "img/d.png")
    assert one.input.load().size == (24, 16)


def test_the_solar_cells_of_the_package_are_read() -> None:
    try:
        metadata.distribution("elpv-dataset")
    except metadata.PackageNotFoundError:
        pytest.skip("needs the package elpv-dataset")
    data = PictureTable(
        path="package:elpv-dataset/elpv_dataset/data/labels.csv", separator=" ", columns=["picture", "probability", "cell"],
        label="probability",
    )  # fmt: skip
    assert Counter(example.target for example in data.examples()) == {
        "0.0": 1508, "0.3333333333333333": 295, "0.6666666666666666": 106, "1.0": 715,
    }  # fmt: skip
