"""Checking data: one plain sentence for everything that a run would meet, all at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.data_check import DataReport, check_data
from headstart.errors import MissingError
from headstart.recipe import Part, Recipe, SplitPlan

Check = Callable[..., DataReport]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check rows of (text, label) with a split plan and further options of `table`."""

    def run(rows: list[tuple[str, str]], plan: SplitPlan = SplitPlan(), **options: Any) -> DataReport:  # noqa: B008 - frozen
        path = tmp_path / "data.csv"
        path.write_text("text;label\n" + "".join(f'"{text}";{label}\n' for text, label in rows), encoding="cp1252")
        return check_data(Recipe(Part("table", {"path": str(path), **options}), Part("nlp/encoder"), split=plan))

    return run


def sound(n: int = 200) -> list[tuple[str, str]]:
    return [(f"text number {i}", "ab"[i % 2]) for i in range(n)]


def test_sound_data_are_described(check: Check) -> None:
    report = check([*sound(), ("größer", "a"), ("", "b")])
    text = "\n".join(report.lines())
    assert not report.has_errors
    assert "202 rows (cp1252, separated by semicolon)." in text
    assert "1 row has an empty text and is left out." in text
    assert "It takes the text from the column 'text' and the label from the column 'label': a guess" in text
    assert "There are 2 labels: a 101 (50.2%), b 100 (49.8%)." in text
    assert "Always saying 'a' would be right for 50.2%" in text
    assert "The texts have 1 to 3 words" in text
    assert "Split (stratified, seed 0): train 141 (a 71, b 70); val 20 (a 10, b 10); test 40 (a 20, b 20)." in text
    assert "No group and no identical or nearly identical example stands in two splits." in text


def test_every_line_is_a_sentence(check: Check) -> None:
    rows = [*sound(), *sound(20), ("", "a")]
    for line in check(rows, SplitPlan(leaks="move")).lines():
        assert line.endswith(".")


def test_figures_are_plain_json_with_counts_per_split(check: Check) -> None:
    figures = check(sound()).as_json()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["labels"] == {"a": 100, "b": 100}
    assert figures["splits"][0]["test"] == {"n": 40, "labels": {"a": 20, "b": 20}}
    assert figures["leaks"] == {"group": 0, "identical": 0, "near": 0}
    assert figures["words"]["median"] == 3


def test_copies_and_their_conflicts_are_counted(check: Check) -> None:
    lines = check([*sound(), ("Text number 0", "a"), ("text number 1", "a")], SplitPlan(leaks="move")).lines()
    assert "warning: 2 examples are copies of an earlier one." in lines
    assert "warning: 1 set of copies has different labels, so some of them are wrong." in lines


def test_leaks_are_an_error_until_the_recipe_settles_them(check: Check) -> None:
    rows = sound(100) * 2
    assert check(rows).has_errors
    moved = check(rows, SplitPlan(leaks="drop"))
    assert not moved.has_errors
    assert any("settled by `leaks: drop`" in line for line in moved.lines())
    assert moved.as_json()["leaks"]["identical"] > 10


def test_leaks_can_be_kept_and_the_check_warns(check: Check) -> None:
    lines = check(sound(100) * 2, SplitPlan(leaks="keep")).lines()
    assert any(line.startswith("warning: Leaks") and "kept by `leaks: keep`" in line for line in lines)


def test_an_unreadable_file_is_a_finding_and_not_a_crash(check: Check) -> None:
    report = check(sound(), label="lable")
    assert report.has_errors
    assert report.lines() == [line for line in report.lines() if line.startswith("error: ") and "did you mean 'label'" in line]


def test_a_split_that_cannot_be_made_is_told_beside_what_was_read(check: Check) -> None:
    report = check([*sound(), ("rare one", "c")])
    assert report.has_errors
    assert "error: label 'c' has 1 example; at least 3 are needed" in report.lines()[-1]
    assert any("There are 3 labels" in line for line in report.lines())


def test_imbalance_and_a_small_test_split_are_warned_of(check: Check) -> None:
    rows = [(f"text number {i}", "a" if i % 10 else "b") for i in range(200)]
    warnings = [line for line in check(rows).lines() if line.startswith("warning: ")]
    assert any("'a' is 9 times as frequent as 'b'; `head: {class_weights: balanced}`" in line for line in warnings)
    assert any("The test split is small: an accuracy on it is known to about ±15 points." in line for line in warnings)


def test_folds_are_described_one_by_one(check: Check) -> None:
    report = check(sound(), SplitPlan(folds=3))
    told = [line.split(",")[0] for line in report.lines() if line.startswith("Split (fold")]
    assert told == ["Split (fold 1 of 3", "Split (fold 2 of 3", "Split (fold 3 of 3"]
    assert len(report.as_json()["splits"]) == 3


def test_numbers_are_described_by_their_range(check: Check) -> None:
    lines = check([(f"text number {i}", str(i / 10)) for i in range(100)], kind="number").lines()
    assert "The labels are numbers from 0 to 9.9, half of them up to 4.95." in lines


def test_missing_packages_keep_their_exit_code() -> None:
    with pytest.raises(MissingError, match="pip install no-such-package"):
        check_data(Recipe(Part("table", {"path": "package:no-such-package/x.csv"}), Part("nlp/encoder")))


def test_tokens_that_the_backbone_cuts_are_counted_on_request(tmp_path: Path) -> None:
    plugin = tmp_path / "short_reader.py"
    plugin.write_text(
        "from headstart.components import Component\n"
        "from headstart.hookspecs import hookimpl\n"
        "class Short:\n"
        "    ports = {'pooled': 4}\n"
        "    def __init__(self, *, room: int = 2):\n"
        "        self.room = room\n"
        "    def lost_tokens(self, texts):\n"
        "        return [max(0, len(text.split()) - self.room) for text in texts]\n"
        "@hookimpl\n"
        "def headstart_backbones():\n"
        "    yield Component('short/reader', __name__ + ':Short', 'reads two words')\n"
    )
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"{'w ' * (1 + i % 4)}{i},{'ab'[i % 2]}\n" for i in range(40)))
    from headstart.plugins import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_PLUGIN_FILES", str(plugin))
        assert "short/reader" in registry().names("backbone")
        recipe = Recipe(Part("table", {"path": str(tmp_path / "data.csv")}), Part("short/reader", {"room": 2}))
        lines = check_data(recipe, tokens=True).lines()
        assert not any("lose tokens" in line for line in check_data(recipe).lines())
    assert any("30 texts (75.0%) lose tokens, half of them more than 2" in line for line in lines)


@pytest.mark.parametrize("missing", ["rows", "none"])
def test_an_absent_relative_file_is_told_with_every_folder_that_was_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "recipe.yaml"
    recipe.write_text(f"data: {{use: table, path: {missing}.csv}}\nbackbone: nlp/encoder\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    [line] = check_data(Recipe.load(recipe)).lines()
    assert f"looked from {tmp_path}); nor is it in the recipe's folder, {tmp_path / 'recipes'}" in line
    [line] = check_data(Recipe.load(recipe, [f"data.path={missing}.csv"])).lines()
    assert "recipe's folder" not in line  # what --set names starts from the working directory


def test_one_label_and_texts_of_one_length_are_told_in_grammatical_sentences(tmp_path: Path) -> None:
    from headstart.example import Example, Target
    from headstart.survey import survey

    lines = [str(found) for found in survey([Example(f"e{i}", f"one {i}", "a") for i in range(4)], Target("class", ("a",)))]
    assert "There is 1 label: a 4 (100.0%)." in lines
    assert "Each text has 2 words." in lines
