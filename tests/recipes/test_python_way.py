"""The Python way of the README: recipe, run, predictions, and a scikit-learn estimator, on few examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headstart

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("split.train=40", "split.val=20", "split.test=40", "strategy.epochs=5")
PRAISE = ("a warm and funny film", "one of the best of the year", "moving, clever and beautifully acted", "a joy to watch")
BLAME = ("dull from end to end", "a waste of two hours", "clumsy, boring and badly acted", "an ugly mess of a film")


@pytest.fixture(scope="module")
def run(demo_packages, tmp_path_factory):
    recipe = headstart.Recipe.load(ROOT / "recipes/nlp/sentiment-probe.yaml", overrides=SMALL)
    return recipe.run(out=tmp_path_factory.mktemp("runs"))


def test_a_recipe_runs_from_python(run):
    assert run.metrics["n"]["test"] == 40
    assert 0 <= run.metrics["test"]["accuracy"]["value"] <= 1
    assert (run.folder / "report.html").is_file()


def test_a_loaded_run_predicts_texts_as_they_are(run):
    answers = headstart.load(run.folder).predict([*PRAISE, *BLAME])
    assert [set(answer.probabilities) for answer in answers] == [{"negative", "positive"}] * 8
    for_praise = np.mean([answer.probabilities["positive"] for answer in answers[:4]])
    for_blame = np.mean([answer.probabilities["positive"] for answer in answers[4:]])
    assert for_praise > for_blame
    assert all(answer.value == max(answer.probabilities, key=answer.probabilities.get) for answer in answers)


def test_a_loaded_run_evaluates_a_labelled_file(run, tmp_path):
    file = tmp_path / "more.csv"
    rows = [*(f'"{text}",positive' for text in PRAISE), *(f'"{text}",negative' for text in BLAME)]
    file.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    found = headstart.load(run.folder).evaluate(file)
    assert found["n"] == 8
    assert found["test"]["accuracy"]["low"] <= found["test"]["accuracy"]["value"] <= found["test"]["accuracy"]["high"]


def test_the_estimator_learns_from_texts(demo_packages):
    model = headstart.HeadstartClassifier(head="logistic")
    model.fit([*PRAISE[:3], *BLAME[:3]], ["good"] * 3 + ["bad"] * 3)
    assert list(model.classes_) == ["bad", "good"]
    assert list(model.predict([PRAISE[3], BLAME[3]])) == ["good", "bad"]
    assert model.predict_proba([PRAISE[3]]).sum() == pytest.approx(1)
