"""The data part `hub`, on local folders in the hub's own form: the loading code is real, the network is not asked."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from headstart.builtin.hub import Hub
from headstart.errors import DataError, MissingError, UsageError
from headstart.example import Target

COMMIT = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: train.csv
  - split: validation
    path: validation.csv
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names: {'0': neg, '1': pos}
---
"""


@pytest.fixture
def csv_set(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("text,label\n007,0\nNA,1\nplain,0\n")
    (tmp_path / "validation.csv").write_text("text,label\nother,1\n")
    return tmp_path


@pytest.fixture
def parquet_set(tmp_path: Path) -> Path:
    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    for split, labels in (("train", [0, 1]), ("test", [1, -1]), ("unsupervised", [-1, -1])):
        rows = {"sentence": [f"{split} one", f"{split} two"], "label": labels}
        part = datasets.Dataset.from_dict(rows, features=features)
        (tmp_path / "data").mkdir(exist_ok=True)
        part.to_parquet(str(tmp_path / "data" / f"{split}-00000-of-00001.parquet"))
    return tmp_path


def test_csv_of_a_data_set_keeps_its_words(csv_set: Path) -> None:
    data = Hub(dataset=str(csv_set))
    assert [(e.id, e.input, e.target, e.meta["split"]) for e in data.examples()] == [
        ("train:1", "007", "0", "train"),
        ("train:2", "NA", "1", "train"),
        ("train:3", "plain", "0", "train"),
        ("validation:1", "other", "1", "val"),
    ]


def test_numbers_of_classes_become_the_names_of_the_card(csv_set: Path) -> None:
    (csv_set / "README.md").write_text(CARD)
    assert Hub(dataset=str(csv_set)).target == Target("class", ("neg", "pos"))


def test_lines_of_json_keep_their_digits_and_may_lack_a_key(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD.replace(".csv", ".jsonl"))
    (tmp_path / "train.jsonl").write_text('{"text": "one", "label": 0, "size": 1.50}\n{"text": "two", "label": 1}\n')
    data = Hub(dataset=str(tmp_path), text=["text", "size"])
    (tmp_path / "validation.jsonl").write_text('{"text": "last", "label": 1, "size": null}\n')
    assert [(e.id, e.input, e.target) for e in data.examples()] == [
        ("train:1", "one\n1.50", "neg"),
        ("train:2", "two", "pos"),
        ("validation:1", "last", "pos"),
    ]


def broken_csv(number: int, is_broken: bool) -> str:
    return f"text {number}, with a comma,{number}" if is_broken else f"text {number},{number}"


def broken_json(number: int, is_broken: bool) -> str:
    line = json.dumps({"text": f"text {number}", "label": number})
    return line[:-5] if is_broken else line


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [("train.csv", broken_csv, "3 fields where the header has 2"), ("train.jsonl", broken_json, "is no JSON")],
)
def test_broken_rows_count_against_the_budget(tmp_path: Path, file: str, line, reason, budget) -> None:
    broken, max_bad, is_read = budget
    header = ["text,label"] if file.endswith(".csv") else []
    rows = [line(number, number < broken) for number in range(100)]
    (tmp_path / file).write_text("\n".join([*header, *rows]) + "\n")
    data = Hub(dataset=str(tmp_path), kind="number", max_bad=max_bad)
    if not is_read:
        with pytest.raises(DataError, match=f"{broken} of 100 rows cannot be read, over the budget of {max_bad:g} "):
            data.examples()
        return
    assert [example.target for example in data.examples()] == [float(number) for number in range(broken, 100)]
    quarantined = data.facts().get("quarantined", {})
    first = f"{tmp_path / file}:{len(header) + 1}"
    assert len(quarantined) == broken
    assert not broken or reason in quarantined[first]


def test_a_split_that_is_not_used_costs_no_budget(csv_set: Path) -> None:
    (csv_set / "validation.csv").write_text("text,label\nother,0\nanother,1\nlast,1,2\n")
    assert len(Hub(dataset=str(csv_set), splits={"train": "train"}).examples()) == 3
    with pytest.raises(DataError, match=r"validation\.csv:4: 3 fields where the header has 2"):
        Hub(dataset=str(csv_set)).examples()
    with pytest.raises(UsageError, match=r"data\.max_bad: 2 is no share of the rows"):
        Hub(dataset=str(csv_set), max_bad=2)


def test_parquet_has_names_and_hidden_labels_are_left_out(parquet_set: Path) -> None:
    data = Hub(dataset=str(parquet_set), positive="pos")
    assert [(e.id, e.target) for e in data.examples()] == [("train:1", "neg"), ("train:2", "pos"), ("test:1", "pos")]
    assert data.facts()["dropped"] == {"no label": 1}
    assert data.facts()["files"][0]["left out"] == ["unsupervised"]
    assert data.target == Target("class", ("neg", "pos"), "pos")


def test_splits_may_be_chosen(parquet_set: Path) -> None:
    data = Hub(dataset=str(parquet_set), splits={"train": "train", "val": "test"})
    assert [e.meta["split"] for e in data.examples()] == ["train", "train", "val"]
    with pytest.raises(DataError, match=r"no split 'tset' \(data\.splits\.test\); it has: "):
        Hub(dataset=str(parquet_set), splits={"train": "train", "test": "tset"}).examples()
    with pytest.raises(UsageError, match="'dev' is none of train, val, test"):
        Hub(dataset=str(parquet_set), splits={"dev": "train"}).examples()


def test_a_configuration_that_is_not_there_is_an_error(csv_set: Path) -> None:
    with pytest.raises(DataError, match="'no' not found"):
        Hub(dataset=str(csv_set), config="no").examples()


def test_a_data_set_of_the_hub_needs_a_revision_that_stands_still() -> None:
    with pytest.raises(UsageError, match=r"data\.revision: it is not given; name the commit \(40 hex digits\), see "):
        Hub(dataset="stanfordnlp/imdb").examples()
    for moving in ("main", "v1.0", "refs/pr/1", COMMIT[:7], COMMIT.upper(), f"{COMMIT}/.."):
        with pytest.raises(UsageError, match=f"'{moving}' is no commit, and branches and tags can be moved"):
            Hub(dataset="stanfordnlp/imdb", revision=moving).examples()
    with pytest.raises(UsageError, match="neither a folder here nor an id"):
        Hub(dataset="/no/such/folder", revision=COMMIT).examples()


def test_offline_says_how_to_fetch_what_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    line = f"hf download headstart-tests/absent --repo-type dataset --revision {COMMIT}"
    with pytest.raises(MissingError, match=line):
        Hub(dataset="headstart-tests/absent", revision=COMMIT).examples()


def test_a_fetched_revision_is_found_offline_and_no_other_takes_its_place(
    tmp_path: Path, csv_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    snapshot = cache / "datasets--headstart-tests--kept" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "train.csv").write_text((csv_set / "train.csv").read_text())
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    data = Hub(dataset="headstart-tests/kept", revision=COMMIT)
    assert [e.input for e in data.examples()] == ["007", "NA", "plain"]
    assert data.facts()["files"][0]["commit"] == COMMIT
    with pytest.raises(MissingError, match="not in the cache"):
        Hub(dataset="headstart-tests/kept", revision="0" * 40).examples()


def test_new_inputs_come_in_as_for_a_table(csv_set: Path) -> None:
    data = Hub(dataset=str(csv_set), text="text")
    assert data.read(" a text ") == "a text"
    assert [(e.input, e.target) for e in data.open(csv_set / "validation.csv")] == [("other", "1")]
