"""Hostile tables through the real reader: a DataError with file and line, bounded in time and memory."""

from __future__ import annotations

import gzip
import json
import resource
import time
from pathlib import Path

import pytest

from headstart.builtin.table import Table
from headstart.errors import DataError
from headstart.tables import read_table

MEGABYTES = 300


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path) -> str:
    """The message of a table that is refused within 2 s of its own and 300 MB."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1000  # kilobytes
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "a", "label": "x", "label": "y"}', ":1: is no JSON: the key 'label' stands twice"),
        ('{"text": {"a": 1, "a": 2}, "label": "x"}', ":1: is no JSON: the key 'a' stands twice"),
        ('{"text": "\\ud800 half", "label": "x"}', ":1: is no JSON: 'utf-8' codec can't encode"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", ":1: is no JSON"),
    ],
)
def test_hostile_json_lines_are_named_with_their_line(tmp_path: Path, content: str, said: str) -> None:
    assert said in refused(write(tmp_path / "rows.jsonl", content + "\n"))


def test_an_object_of_many_keys_is_read_in_no_more_than_their_number(tmp_path: Path) -> None:
    row = json.dumps({f"key{number}": "v" for number in range(50_000)})
    assert "stands twice" in refused(write(tmp_path / "rows.jsonl", row[:-1] + ', "key49999": "v"}\n'))


def test_whole_characters_written_as_two_halves_are_read(tmp_path: Path) -> None:
    sheet = read_table(write(tmp_path / "rows.jsonl", '{"text": "\\ud83d\\ude00", "label": "x"}\n'))
    assert sheet.columns["text"] == ("😀",)


def test_a_bomb_of_a_gz_is_refused_while_it_unfolds(tmp_path: Path) -> None:
    bomb = gzip.compress(b"text,label\n" + b"a,b\n" * 25_000_000, 1)
    assert len(bomb) < 500_000
    assert "unfolds to more than 50,000,000 bytes; if it is meant, unpack it" in refused(write(tmp_path / "rows.csv.gz", bomb))


def test_a_gz_with_bytes_that_no_deflate_writes_is_a_typed_error(tmp_path: Path) -> None:
    broken = gzip.compress(b"text,label\n" + bytes(range(32, 127)) * 20)[:10] + b"\xff" * 60
    assert "cannot be read" in refused(write(tmp_path / "rows.csv.gz", broken))


def test_words_that_mean_nothing_elsewhere_stay_labels(tmp_path: Path) -> None:
    rows = "text,label\na,NA\nb,None\nc,nan\nd,null\n"
    assert Table(path=str(write(tmp_path / "rows.csv", rows))).target.labels == ("NA", "None", "nan", "null")


def test_marks_that_turn_or_hide_text_are_kept_as_they_stand(tmp_path: Path) -> None:
    text = "a\u202eb\u200bc"
    assert read_table(write(tmp_path / "rows.csv", f"text,label\n{text},x\n")).columns["text"] == (text,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"names": {"z": "q"}}, "no label 'z' (data.names); labels before"),
        ({"positive": "z"}, "(data.positive)"),
    ],
)
def test_a_map_of_labels_that_the_data_lack_is_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    part = Table(path=str(write(tmp_path / "rows.csv", "text,label\na,x\nb,y\n")), **options)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        assert part.target
    assert said in str(caught.value)
