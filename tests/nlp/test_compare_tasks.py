"""Runs that answer questions, tag words or guess tokens are compared by their heads' own scores, over whole examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from headstart.cli.results import compare as compare_command
from headstart.compare import compare
from headstart.errors import UsageError
from headstart.example import Example
from headstart.predictions import SavedOutcome, SavedPrediction, write_predictions
from headstart_nlp.questions.answers import Answer, Gold
from headstart_nlp.questions.scores import answer_scores
from headstart_nlp.tagging.scores import tag_scores

TAGS = ["B-PER", "I-PER", "O"]


def saved_run(
    folder: Path, kind: str, head: str, examples: list[Example], said: list[SavedPrediction], scores: tuple[str, ...]
) -> Path:
    folder.mkdir()
    write_predictions([SavedOutcome("run", "test", -1, examples, said)], folder / "predictions.parquet")
    labels = TAGS if kind == "tags" else []
    target = {"kind": kind, "labels": labels, "positive": None}
    metrics = {"target": target, "test": {name: {} for name in scores}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "recipe.lock.yaml").write_text(f"head: {{use: {head}}}\n", encoding="utf-8")
    return folder


def tagged(folder: Path, right: float) -> tuple[Path, list[Any], list[SavedPrediction]]:
    """Texts of three words; the share `right` of their names is found, in the others the end is missing."""
    truths = [("B-PER", "I-PER", "O") if at % 2 else ("O", "O", "B-PER") for at in range(80)]
    generator = np.random.default_rng(int(100 * right))
    said = [
        truth if generator.random() < right else tuple("O" if tag == "I-PER" else "B-PER" for tag in truth) for truth in truths
    ]
    examples = [Example(f"t{at}", None, truth, f"document {at // 4}") for at, truth in enumerate(truths)]
    predictions = [SavedPrediction(tags) for tags in said]
    names = ("entity_f1", "entity_precision", "entity_recall", "tag_accuracy")
    return saved_run(folder, "tags", "nlp/tags", examples, predictions, names), truths, predictions


def test_runs_that_tag_are_compared_by_entity_f1(tmp_path: Path) -> None:
    first, truths, ours = tagged(tmp_path / "a", 0.9)
    second, _, theirs = tagged(tmp_path / "b", 0.4)
    found = compare(first, second)
    change = next(score for score in found.scores if score.name == "entity_f1")
    expected = [tag_scores(list(predictions), truths)["entity_f1"] for predictions in (ours, theirs)]
    assert [change.first, change.second] == pytest.approx(expected)
    assert change.verdict == "better"
    assert change.difference.value == pytest.approx(expected[0] - expected[1])
    assert change.difference.low < change.difference.value < change.difference.high
    assert len(found.scores) == 4
    assert found.mcnemar is None


def answered(folder: Path, right: float) -> tuple[Path, list[Any], list[SavedPrediction]]:
    """Questions of articles, every fifth without an answer; some answers have a word too many."""
    golds = [Gold(() if at % 5 == 0 else [Answer("Ada Lovelace", 3)]) for at in range(100)]
    generator = np.random.default_rng(int(100 * right))
    said = [str(gold[0]) if gold else "" for gold in golds]
    said = [text if generator.random() < right else f"{text} wrote" for text in said]
    examples = [Example(f"q{at}", None, gold, f"article {at // 5}") for at, gold in enumerate(golds)]
    predictions = [SavedPrediction(text) for text in said]
    names = ("f1", "exact_match", "has_answer_f1", "has_answer_exact_match", "no_answer_accuracy")
    return saved_run(folder, "span", "nlp/span", examples, predictions, names), golds, predictions


def test_runs_that_answer_are_compared_by_the_official_figures(tmp_path: Path) -> None:
    first, golds, ours = answered(tmp_path / "a", 0.9)
    second, _, theirs = answered(tmp_path / "b", 0.5)
    found = compare(first, second)
    expected = [answer_scores(list(predictions), golds) for predictions in (ours, theirs)]
    assert {change.name: (change.first, change.second) for change in found.scores} == {
        name: pytest.approx((expected[0][name], expected[1][name])) for name in expected[0]
    }
    assert {change.name: change.verdict for change in found.scores}["exact_match"] == "better"
    shown = CliRunner().invoke(compare_command, [str(first), str(second)]).output
    assert "exact_match" in shown
    assert "not shown to differ" not in shown.splitlines()[2]


def test_kinds_that_nobody_can_score_are_refused(tmp_path: Path) -> None:
    examples, said = [Example("e1", None, "x")], [SavedPrediction("x")]
    runs = [saved_run(tmp_path / name, "drawing", "nobody/draws", examples, said, ("likeness",)) for name in "ab"]
    with pytest.raises(UsageError, match="no scores to compare for targets of kind 'drawing'"):
        compare(*runs)


def test_graded_runs_are_compared_by_kappa_as_well(tmp_path: Path) -> None:
    grades = ["1", "2", "3"]
    examples = [Example(f"e{at}", None, grades[at % 3]) for at in range(60)]
    shares = dict.fromkeys(grades, 1 / 3)
    near = [SavedPrediction(grades[min(2, at % 3 + (at % 4 == 0))], shares) for at in range(60)]
    far = [SavedPrediction(grades[2 - at % 3], shares) for at in range(60)]
    names = ("quadratic_kappa", "mae", "accuracy")
    runs = [saved_run(tmp_path / name, "class", "ordinal", examples, said, names) for name, said in (("a", near), ("b", far))]
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["target"]["labels"] = grades
        (run / "metrics.json").write_text(json.dumps(metrics))
    found = {change.name: change for change in compare(*runs).scores}
    assert set(found) == set(names)
    assert found["quadratic_kappa"].second < 0 < found["quadratic_kappa"].difference.low
    assert found["mae"].verdict == "better"
