"""Two runs are compared on what they share, and only on that."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from headstart.cli.results import compare as compare_command
from headstart.compare import compare, mcnemar, recipe_changes
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.predictions import SavedOutcome, SavedPrediction, write_predictions

LABELS = ("no", "yes")
LOCK = "train: {seed: 0, batch_size: 16}\nstrategy: {use: probe, epochs: 3}\n"


def outcome(right, *, first=0):
    """Examples e{first}, e{first+1}, ...; the truth alternates, the i-th prediction is right where `right[i]`."""
    truth = [LABELS[(first + i) % 2] for i in range(len(right))]
    examples = [Example(f"e{first + i}", None, target) for i, target in enumerate(truth)]
    said = [t if ok else LABELS[1 - LABELS.index(t)] for t, ok in zip(truth, right, strict=True)]
    predictions = [SavedPrediction(v, {"no": 0.8 if v == "no" else 0.2, "yes": 0.2 if v == "no" else 0.8}) for v in said]
    return SavedOutcome("run", "test", -1, examples, predictions)


def make_run(folder, right, *, first=0, labels=LABELS, lock=LOCK, scores=("accuracy", "brier"), kind="class"):
    folder.mkdir()
    write_predictions([outcome(right, first=first)], folder / "predictions.parquet")
    metrics = {"target": {"kind": kind, "labels": list(labels), "positive": None}, "test": {name: {} for name in scores}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "recipe.lock.yaml").write_text(lock)
    return folder


def test_a_better_run_is_found_better_on_the_shared_examples(tmp_path):
    a = make_run(tmp_path / "a", [True] * 190 + [False] * 10)
    b = make_run(tmp_path / "b", [True, False] * 75, first=50)
    found = compare(a, b)
    assert (found.shared, found.only_first, found.only_second) == (150, 50, 0)
    accuracy, brier = found.scores
    assert (accuracy.first, accuracy.second) == (140 / 150, 0.5)
    assert accuracy.difference.value == pytest.approx(140 / 150 - 0.5)
    assert accuracy.verdict == "better"
    assert brier.difference.high < 0
    assert brier.verdict == "better"  # a lower Brier score is a better one


def test_equal_runs_are_not_shown_to_differ(tmp_path):
    a, b = make_run(tmp_path / "a", [True, False, True] * 20), make_run(tmp_path / "b", [True, True, False] * 20)
    found = compare(a, b)
    assert found.scores[0].verdict == "not shown to differ"
    assert found.mcnemar is not None
    assert found.mcnemar.p == 1.0


def test_mcnemar_is_the_exact_binomial_test_of_the_discordant_examples():
    found = mcnemar(outcome([True] * 8 + [False] * 1 + [True] * 5), outcome([False] * 8 + [True] * 1 + [True] * 5))
    assert (found.only_first, found.only_second) == (8, 1)
    assert found.p == pytest.approx(2 * (1 + 9) / 2**9)  # 8 or 9 heads of 9, both tails


def test_recipe_changes_name_the_dotted_keys():
    changes = recipe_changes(
        {"train": {"seed": 0, "clip": 1.0}, "name": "x"}, {"train": {"seed": 1, "clip": 1.0}, "head": "knn"}
    )
    assert [(c.key, c.first, c.second) for c in changes] == [("train.seed", 0, 1), ("name", "x", None), ("head", None, "knn")]


def test_only_scores_that_both_runs_report_are_compared(tmp_path):
    a = make_run(tmp_path / "a", [True] * 10)
    b = make_run(tmp_path / "b", [True] * 10, scores=("accuracy", "nmi"))
    assert [change.name for change in compare(a, b).scores] == ["accuracy"]
    with pytest.raises(UsageError, match="no score in common"):
        compare(a, make_run(tmp_path / "c", [True] * 10, scores=("nmi",)))


def test_runs_without_a_shared_example_are_refused(tmp_path):
    a, b = make_run(tmp_path / "a", [True] * 10), make_run(tmp_path / "b", [True] * 10, first=10)
    with pytest.raises(DataError, match="share no test example"):
        compare(a, b)


def test_another_truth_of_a_shared_example_is_refused(tmp_path):
    a, b = make_run(tmp_path / "a", [True] * 10), make_run(tmp_path / "b", [True] * 10)
    changed = outcome([True] * 10)
    examples = [Example(e.id, None, "yes") for e in changed.examples]
    write_predictions([SavedOutcome("run", "test", -1, examples, changed.predictions)], b / "predictions.parquet")
    with pytest.raises(DataError, match=r"5 shared test examples .* the first is 'e0'"):
        compare(a, b)


def test_runs_with_other_labels_are_refused(tmp_path):
    a, b = make_run(tmp_path / "a", [True] * 10), make_run(tmp_path / "b", [True] * 10, labels=("no", "yes", "perhaps"))
    with pytest.raises(UsageError, match="predict different things"):
        compare(a, b)


def test_a_folder_without_a_run_names_the_runs_that_are_there(tmp_path):
    make_run(tmp_path / "a", [True] * 4)
    (tmp_path / "a" / "recipe.yaml").write_text(LOCK)
    with pytest.raises(UsageError, match=r"no run at .*runs in .*: a"):
        compare(tmp_path / "typo", tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no run"):
        compare(tmp_path / "empty", tmp_path / "a")


def test_the_command_prints_lines_or_one_json_document(tmp_path):
    a = make_run(tmp_path / "a", [True] * 30 + [False] * 10)
    b = make_run(tmp_path / "b", [True] * 20 + [False] * 20, lock=LOCK.replace("epochs: 3", "epochs: 5"))
    text = CliRunner().invoke(compare_command, [str(a), str(b)]).output
    assert "a (first) against b (second): 40 shared test examples\n" in text
    assert re.search(r"accuracy +0\.7500  0\.5000  \+0\.2500 .* first is better", text)
    assert "strategy.epochs: 3 | 5" in text
    assert "10 right only in the first, 0 only in the second" in text
    document = json.loads(CliRunner().invoke(compare_command, [str(a), str(b), "--json"]).output)
    assert document["scores"]["accuracy"]["difference"]["value"] == 0.25
    assert document["recipe"] == {"strategy.epochs": [3, 5]}


def test_a_run_that_did_not_finish_is_named_as_one(tmp_path):
    a, b = make_run(tmp_path / "a", [True] * 4), make_run(tmp_path / "b", [True] * 4)
    (b / "metrics.json").unlink()
    with pytest.raises(UsageError, match=r"/b': this run did not finish \(no metrics\.json\)"):
        compare(a, b)
