"""Trees of pictures become examples with classes, splits and groups; broken files are left out by name, up to a budget."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.audit import audit, settle
from headstart.data_check import check_data
from headstart.errors import DataError, UsageError
from headstart.recipe import Part, Recipe, SplitPlan
from headstart.split import make_splits
from headstart_vision.folder import Folder
from headstart_vision.pictures import Picture

Save = Callable[..., Path]


@pytest.fixture
def pets(save: Save, tmp_path: Path) -> Path:
    """Class folders without splits: four cats, two dogs."""
    for name in ("cat/1", "cat/2", "cat/10", "cat/in/deep", "dog/1", "dog/2"):
        save(f"{name}.png")
    (tmp_path / "cat/notes.txt").write_text("no picture")
    (tmp_path / "cat/._1.png").write_bytes(b"left by a Mac")
    return tmp_path


def recipe(path: Path, plan: SplitPlan, **options: Any) -> Recipe:
    data = Part("vision/folder", {"path": str(path), **options})
    return Recipe(name="t", data=data, backbone=Part("any"), head=Part("linear"), strategy=Part("probe"), split=plan)


def splits_of(data: Folder) -> dict[str, int]:
    return dict(Counter(example.meta["split"] for example in data.examples()))


def test_folders_are_classes_and_ids_are_paths_below_the_root(pets: Path) -> None:
    data = Folder(path=str(pets))
    assert data.target.labels == ("cat", "dog")
    assert [example.id for example in data.examples()][:4] == ["cat/1.png", "cat/10.png", "cat/2.png", "cat/in/deep.png"]
    assert Counter(example.target for example in data.examples()) == {"cat": 4, "dog": 2}
    assert data.examples()[0].input.load().size == (24, 16)


def test_classes_stand_in_natural_order(save: Save, tmp_path: Path) -> None:
    for name in ("grade 10", "grade 9", "grade 1"):
        save(f"{name}/a.png")
    assert Folder(path=str(tmp_path)).target.labels == ("grade 1", "grade 9", "grade 10")


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "Validation", "Testing"), ("TRAIN", "dev", "test"), ("train", "valid", "test")],
)
def test_split_folders_are_known_by_their_usual_names(save: Save, tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, split in enumerate(names):
        for i in range(number + 1):
            save(f"{split}/a/{i}.png")
            save(f"{split}/b/{i}.png")
    data = Folder(path=str(tmp_path))
    assert splits_of(data) == {"train": 2, "val": 4, "test": 6}
    assert data.target.labels == ("a", "b")


def test_a_split_can_be_given_another_meaning(save: Save, tmp_path: Path) -> None:
    for name in ("train/a/1", "train/b/1", "val/a/1", "fold-x/b/1"):
        save(f"{name}.png")
    assert splits_of(Folder(path=str(tmp_path), splits={"val": "test", "fold-x": "val"})) == {"train": 2, "test": 1, "val": 1}
    with pytest.raises(DataError, match=r"no folder 'fold-y' \(data\.splits\); it has: fold-x, train, val"):
        Folder(path=str(tmp_path), splits={"fold-y": "val"}).examples()
    with pytest.raises(UsageError, match="train, val or test, not 'tset'"):
        Folder(path=str(tmp_path), splits={"val": "tset"})


def test_a_class_may_be_called_train(save: Save, tmp_path: Path) -> None:
    save("train/1.png")
    save("bus/1.png")
    assert Folder(path=str(tmp_path)).target.labels == ("bus", "train")


def test_classes_can_be_renamed_and_joined(save: Save, tmp_path: Path) -> None:
    for name in ("0_ok", "1_crack", "2_hole"):
        save(f"{name}/a.png")
    data = Folder(path=str(tmp_path), names={"0_ok": "whole", "1_crack": "broken", "2_hole": "broken"}, positive="broken")
    assert data.target.labels == ("broken", "whole")
    assert data.target.positive == "broken"
    with pytest.raises(DataError, match=r"no class 'ok' \(data\.names\); classes before renaming: 0_ok, 1_crack, 2_hole"):
        Folder(path=str(tmp_path), names={"ok": "whole"}).examples()


def test_groups_are_read_out_of_file_names(save: Save, tmp_path: Path) -> None:
    for name in ("ill/person1_a", "ill/person1_b", "ill/person2_a", "well/IM-7", "well/other"):
        save(f"{name}.png")
    data = Folder(path=str(tmp_path), group=r"(person\d+|IM-\d+)")
    assert [example.group for example in data.examples()] == ["person1", "person1", "person2", "IM-7", None]
    assert data.facts()["groups"] == 3
    assert "matches 1 file names not" in data.facts()["warnings"][0]


@pytest.mark.parametrize(
    ("rule", "message"), [("person(", "is no regular expression"), (r"person\d+", "has no group in parentheses")]
)
def test_a_rule_for_groups_that_cannot_work_is_refused_at_once(rule: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Folder(path="x", group=rule)


def test_a_rule_for_groups_that_matches_nothing_is_an_error(pets: Path) -> None:
    with pytest.raises(DataError, match=r"matches no file's name; the first is '1\.png'"):
        Folder(path=str(pets), group="patient(.)").examples()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_metadata_file_takes_the_place_of_class_folders(save: Save, tmp_path: Path, form: str) -> None:
    rows = [("one.png", "up"), ("sub/two.png", "down")]
    for split in ("train", "test"):
        for name, _ in rows:
            save(f"{split}/{name}")
        lines = [json.dumps({"file_name": name, "label": label}) for name, label in rows]
        text = "\n".join(["file_name,label", *map(",".join, rows)] if form == "csv" else lines)
        (tmp_path / split / f"metadata.{form}").write_text(text)
    data = Folder(path=str(tmp_path))
    assert {example.id: example.target for example in data.examples()} == {
        "test/one.png": "up", "test/sub/two.png": "down", "train/one.png": "up", "train/sub/two.png": "down",
    }  # fmt: skip
    assert splits_of(data) == {"train": 2, "test": 2}
    assert "metadata" in data.facts()["layout"]


def test_metadata_without_a_label_column_names_what_there_is(save: Save, tmp_path: Path) -> None:
    save("a.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,a dog\n")
    with pytest.raises(DataError, match=r"no column looks like a label.*columns: file_name, caption"):
        Folder(path=str(tmp_path)).examples()
    assert Folder(path=str(tmp_path), label="caption").target.labels == ("a dog",)


def test_broken_files_are_left_out_by_name_within_the_budget(pets: Path) -> None:
    (pets / "dog/2.png").write_bytes(b"not a picture")
    data = Folder(path=str(pets), max_bad=0.2)
    assert "dog/2.png" not in [example.id for example in data.examples()]
    assert len(data.examples()) == data.facts()["used"] == 5
    assert list(data.facts()["quarantined"]) == ["dog/2.png"]
    lines = check_data(recipe(pets, SplitPlan(), max_bad=0.2)).lines()
    assert any(
        re.search(r"warning: 1 picture cannot be read and is left out: .*dog/2\.png: is no picture", line) for line in lines
    )


def test_broken_files_over_the_budget_stop_with_their_names(pets: Path) -> None:
    (pets / "dog/2.png").write_bytes(b"not a picture")
    with pytest.raises(
        DataError, match=r"1 of 6 pictures cannot be read, over the budget of 0\.01 \(data\.max_bad\): .*dog/2\.png"
    ):
        Folder(path=str(pets)).examples()


@pytest.mark.parametrize("option", [{"max_bad": 2.0}, {"max_bad": -0.1}, {"max_pixels": 0}])
def test_budgets_that_mean_nothing_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        Folder(path="x", **option)


def test_a_subset_keeps_the_shares_of_the_classes_and_is_the_same_each_time(pets: Path) -> None:
    ids = [[example.id for example in Folder(path=str(pets), rows=3, seed=1).examples()] for _ in range(2)]
    assert ids[0] == ids[1]
    assert sum(id.startswith("cat") for id in ids[0]) == 2


def test_only_the_named_suffixes_count(pets: Path, save: Save) -> None:
    save("cat/x.jpg")
    save("dog/x.JPG")
    assert len(Folder(path=str(pets), extensions=["jpg"]).examples()) == 2


def test_a_folder_that_is_no_tree_says_what_is_expected(save: Save, tmp_path: Path) -> None:
    save("a.png")
    with pytest.raises(DataError, match=r"found: a\.png; expected CLASS/picture\.jpg or train/CLASS/picture\.jpg"):
        Folder(path=str(tmp_path)).examples()
    with pytest.raises(DataError, match="there is no such folder"):
        Folder(path=str(tmp_path / "none")).examples()


def test_new_pictures_come_alone_in_a_heap_or_in_class_folders(pets: Path) -> None:
    data = Folder(path="/not/there/any/more", names={"cat": "Cat"})
    assert [example.target for example in data.open(pets / "cat/1.png")] == [None]
    assert [(e.id, e.target) for e in data.open(pets / "cat/in")] == [("deep.png", None)]
    assert Counter(example.target for example in data.open(pets)) == {"Cat": 4, "dog": 2}
    assert data.read(pets / "dog/1.png").load().size == (24, 16)
    with pytest.raises(DataError, match="there is no such file"):
        data.read("no.png")


def test_a_report_shows_names_never_where_the_data_are(pets: Path) -> None:
    data = Folder(path=str(pets))
    assert data.excerpt(data.examples()[0].input) == "cat/1.png"
    assert data.excerpt(data.examples()[0].input.load()) is None


def test_check_tells_sizes_of_pictures_and_no_words(pets: Path) -> None:
    report = check_data(recipe(pets, SplitPlan(val=0, test=0.4)))
    assert "All pictures have 24x16 pixels." in report.lines()
    assert "No group and no identical example stands in two splits." in report.lines()
    assert "words" not in report.figures


def test_a_copy_in_two_splits_is_a_leak(save: Save, tmp_path: Path) -> None:
    first = save("train/a/1.png")
    save("train/b/1.png")
    (tmp_path / "test/a").mkdir(parents=True)
    (tmp_path / "test/a/copy.png").write_bytes(first.read_bytes())
    data = Folder(path=str(tmp_path))
    (split,) = make_splits(data.examples(), SplitPlan(val=0), data.target)
    (leak,) = audit(data.examples(), split).found
    assert (leak.kind, leak.ids) == ("identical", ("test/a/copy.png", "train/a/1.png"))


def test_the_audit_finds_the_brain_slices_that_stand_in_training_and_testing(shared_data: Callable[[str], Path]) -> None:
    data = Folder(path=str(shared_data("brain-mri")))
    examples = data.examples()
    (split,) = make_splits(examples, SplitPlan(val=0), data.target)
    found = audit(examples, split)
    assert (len(split.train), len(split.test)) == (2870, 394)
    assert found.counts() == {"group": 0, "identical": 213, "near": 0}
    assert all(any(id.startswith("Training/") for id in leak.ids) for leak in found.found)
    settled, counts = settle(examples, split, found, "drop")
    assert (len(settled.test), counts["moved"]) == (394, 0)
    assert audit(examples, settled).found == ()


def test_pictures_are_cheap_to_hold(pets: Path) -> None:
    examples = Folder(path=str(pets)).examples()
    assert all(isinstance(example.input, Picture) and not hasattr(example.input, "__dict__") for example in examples)
