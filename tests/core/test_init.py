"""`headstart init`: what it sees, and a recipe that loads and checks as it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from headstart.cli.main import cli, execute
from headstart.data_check import check_data
from headstart.errors import DataError, MissingError, UsageError
from headstart.recipe import Recipe

HARD = [(f"Der {i}. Film ist schön; wirklich großartig und nie müde", ("gut", "schlecht", "NA")[i % 3]) for i in range(60)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*args: str) -> Result:
    """Run the command; errors are raised as in the program's own entry."""
    return CliRunner().invoke(cli, ["init", *args], standalone_mode=False, catch_exceptions=False)


def rows(path: Path, header: str, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
    return path


def loaded(path: str = "recipe.yaml") -> Recipe:
    """The recipe, with data that a run would accept."""
    recipe = Recipe.load(path)
    report = check_data(recipe)
    assert not report.has_errors, report.lines()
    return recipe


def options(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.data.options.items() if name != "path"}


def test_a_difficult_csv_gives_a_recipe_that_is_accepted_unchanged(folder: Path) -> None:
    lines = [f'"{text}";{label}' for text, label in [*HARD, HARD[0], HARD[1], ("", "gut")]]
    rows(folder / "Kritiken.csv", "Kommentar;Review;Sentiment", [f"x;{line}" for line in lines], "cp1252")
    result = init("Kritiken.csv")
    assert result.stdout == "recipe.yaml\n"
    for seen in (
        "63 rows (cp1252, separated by semicolon).",
        "1 row has an empty text and is left out.",
        "the text is 'Review', the label is 'Sentiment'",
        "There are 3 labels: NA 20",
        "2 examples are copies",
        "Each text has 10 words.",
    ):
        assert seen in result.stderr
    recipe = loaded()
    assert options(recipe) == {"text": "Review", "label": "Sentiment"}
    assert recipe.split.leaks == "move"
    assert "# 2 copies" in (folder / "recipe.yaml").read_text(encoding="utf-8")


def test_the_path_is_relative_to_the_recipe(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "recipes").mkdir()
    rows(folder / "data/a b.csv", "text,label", [f"text {i},{'ab'[i % 2]}" for i in range(20)])
    init("data/a b.csv", "-o", "recipes/mine.yaml")
    assert 'path: "../data/a b.csv"' in (folder / "recipes/mine.yaml").read_text()
    assert loaded("recipes/mine.yaml").name == "a b"


def test_names_that_yaml_could_misread_come_back_as_they_were(folder: Path) -> None:
    rows(folder / "x.csv", "no,yes: #1,null", [f"some words {i},{('on', '1e3')[i % 2]},{i}" for i in range(30)])
    init("x.csv", "--text", "no", "--label", "yes: #1")
    assert options(loaded()) == {"text": "no", "label": "yes: #1"}


def test_an_existing_file_is_only_written_over_by_force(folder: Path) -> None:
    rows(folder / "x.csv", "text,label", [f"text {i},{'ab'[i % 2]}" for i in range(20)])
    (folder / "recipe.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"recipe\.yaml exists; name another file with -o, or write over it with --force"):
        init("x.csv")
    assert (folder / "recipe.yaml").read_text() == "mine"
    init("x.csv", "--force")
    loaded()


@pytest.mark.parametrize(
    ("labels", "head", "kind"),
    [
        (["x", "y"], "linear", "class"),
        (["0", "1"], "linear", "class"),
        ([str(star) for star in range(1, 6)], "linear", "class"),
        ([f"{i / 7:.3f}" for i in range(60)], "regression", "number"),
        (["x|y", "y", "x|z", "z"], "multilabel", "labels"),
        (["x; y", "y", "x; z", "z"], "multilabel", "labels"),
        (["a, b and c of d", "plain"], "linear", "class"),
    ],
)
def test_the_head_follows_the_label(folder: Path, labels: list[str], head: str, kind: str) -> None:
    rows(folder / "x.csv", "text,label", [f'some text number {i},"{labels[i % len(labels)]}"' for i in range(60)])
    init("x.csv")
    recipe = loaded()
    assert recipe.head.use == head
    assert recipe.data.options.get("kind", "class") == kind


def test_lists_of_jsonl_are_several_labels(folder: Path) -> None:
    lines = [json.dumps({"text": f"text number {i}", "tags": ["x", "y"][: 1 + i % 2]}) for i in range(30)]
    (folder / "x.jsonl").write_text("\n".join(lines))
    init("x.jsonl", "--label", "tags")
    assert loaded().head.use == "multilabel"


@pytest.mark.parametrize(("count", "strategy"), [(60, "probe"), (160, "gradual")])
def test_few_examples_leave_the_backbone_frozen(folder: Path, count: int, strategy: str) -> None:
    rows(folder / "x.csv", "text,label", [f"text number {i},{'ab'[i % 2]}" for i in range(count)])
    init("x.csv")
    assert loaded().strategy.use == strategy


def test_rare_labels_get_weight_and_those_too_rare_to_learn_are_left_out(folder: Path) -> None:
    labels = ["a"] * 70 + ["b"] * 7 + ["once"]
    rows(folder / "x.csv", "text,label", [f"text number {i},{label}" for i, label in enumerate(labels)])
    init("x.csv")
    recipe = loaded()
    assert dict(recipe.head.options) == {"class_weights": "balanced"}
    assert recipe.data.options["where"] == {"label": ["a", "b"]}
    assert "# without once: fewer than 3 examples" in (folder / "recipe.yaml").read_text()


def test_groups_splits_and_sibling_files_are_noticed(folder: Path) -> None:
    lines = [f"text number {i},{'ab'[i % 2]},p{i // 3},{'train' if i < 40 else 'test'}" for i in range(60)]
    rows(folder / "x.csv", "text,label,patient_id,part", lines)
    init("x.csv")
    assert options(loaded())["group"] == "patient_id"
    rows(folder / "y.csv", "text,label,patient_id,split", [line for i, line in enumerate(lines) if i not in (39, 40, 41)])
    init("y.csv", "--force")
    assert (loaded().data.options["split"], loaded().split.by) == ("split", "given")
    for name, start in (("train", 0), ("dev", 100), ("test", 200)):
        rows(folder / f"{name}.tsv", "text\tlabel", [f"text number {start + i}\t{'ab'[i % 2]}" for i in range(20)])
    result = init("train.tsv", "--force")
    assert "Beside it: dev.tsv as val, test.tsv as test." in result.stderr
    assert (Path(str(loaded().data.options["val"])).name, loaded().split.by) == ("dev.tsv", "given")


def test_columns_may_be_named_and_wrong_names_are_answered(folder: Path) -> None:
    rows(folder / "x.csv", "one,two,three", [f"words {i},long words number {i},{'ab'[i % 2]}" for i in range(30)])
    init("x.csv", "--text", "one", "--label", "three")
    assert options(loaded()) == {"text": "one", "label": "three"}
    with pytest.raises(DataError, match=r"no column 'thre' \(data\.label\); did you mean 'three'"):
        init("x.csv", "--label", "thre", "-o", "other.yaml")
    assert not (folder / "other.yaml").exists()


def test_a_file_without_anything_to_learn_is_refused(folder: Path) -> None:
    rows(folder / "x.csv", "text,label", [f"text {i},same" for i in range(30)])
    with pytest.raises(DataError, match="all 30 examples have the label 'same'"):
        init("x.csv")
    rows(folder / "y.csv", "text,other", [f"text {i},{i}" for i in range(30)])
    with pytest.raises(DataError, match="no column looks like a label; name it with --label COLUMN"):
        init("y.csv")


def test_a_schema_for_editors_is_written_on_request(folder: Path) -> None:
    rows(folder / "x.csv", "text,label", [f"text number {i},{'ab'[i % 2]}" for i in range(20)])
    init("x.csv", "--schema")
    assert (folder / "recipe.yaml").read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert json.loads((folder / "recipe.schema.json").read_text())
    loaded()


def test_a_tree_of_pictures_is_described_and_the_missing_plugin_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_NO_PLUGINS", "1")
    for split, name in (("train", "ants"), ("train", "bees"), ("val", "ants")):
        (folder / "tree" / split / name).mkdir(parents=True)
        (folder / "tree" / split / name / "1.jpg").write_bytes(b"")
    with pytest.raises(MissingError, match="pip install headstart-vision") as caught:
        init("tree")
    assert caught.value.exit_code == 4
    with pytest.raises(DataError, match=r"is no tree of class folders; found: val; expected CLASS/picture\.jpg"):
        (folder / "else" / "val").mkdir(parents=True)
        init("else")


def test_a_tree_of_pictures_becomes_a_recipe_where_a_plugin_reads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "tree" / "cats").mkdir(parents=True)
    (folder / "tree" / "cats" / "1.PNG").write_bytes(b"")
    (folder / "pictures.py").write_text(
        "from headstart.components import Component\n"
        "from headstart.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def headstart_data():\n"
        "    yield Component('vision/folder', 'nowhere:Folder', 'a tree of class folders')\n"
        "@hookimpl\n"
        "def headstart_backbones():\n"
        "    yield Component('vision/resnet18', 'nowhere:ResNet18', 'ResNet-18')\n"
    )
    monkeypatch.setenv("HEADSTART_NO_PLUGINS", "1")  # none that is installed, so the file's alone
    monkeypatch.setenv("HEADSTART_PLUGIN_FILES", str(folder / "pictures.py"))
    result = init("tree")
    assert "1 pictures in 1 classes: cats 1." in result.stderr
    text = (folder / "recipe.yaml").read_text()
    assert "use: vision/folder\n  path: tree\n" in text
    assert "backbone: vision/resnet18" in text


def test_a_column_whose_labels_are_all_rare_is_refused_with_the_number_that_is_needed(folder: Path) -> None:
    rows(folder / "x.csv", "text,label", [f"text number {i},{i // 2}" for i in range(8)])
    with pytest.raises(DataError, match=r"the 4 labels in the column 'label' .* a label needs at least 3 examples"):
        init("x.csv")
    assert not (folder / "recipe.yaml").exists()


def test_an_output_that_cannot_be_written_is_one_sentence_and_exit_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows(folder / "x.csv", "text,label", [f"text {i},{'ab'[i % 2]}" for i in range(20)])
    (folder / "file").write_text("")
    assert execute(["init", "x.csv", "-o", "file/x.yaml"]) == 2
    err = capsys.readouterr().err
    assert "cannot write 'file/x.yaml': " in err
    assert "fault of headstart" not in err
