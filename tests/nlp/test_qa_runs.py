"""Whole runs on generated questions: the recipes learn, say when there is no answer, replay, load again and answer anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from headstart.cli.main import cli, execute
from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.run import load

pytestmark = pytest.mark.slow  # MiniLM is trained in earnest, for half a minute in all

ROOT = Path(__file__).resolve().parents[2]
THINGS = {
    "town": ("It was near {}.", ("Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Boston", "Madrid")),
    "animal": ("We saw a {}.", ("horse", "dog", "cat", "lion", "bear", "tiger", "rabbit", "mouse")),
    "month": ("That was in {}.", ("January", "March", "April", "June", "July", "August", "October", "November")),
    "colour": ("The house was {}.", ("red", "blue", "green", "yellow", "black", "white", "brown", "orange")),
}
ANSWERS = {answer for _, answers in THINGS.values() for answer in answers}
TEXT = "It was near Paris. We saw a dog. That was in June."
LATE = "The weather was quiet and nobody said much about it that day. "


def squad(articles, *, per=4, unanswerable=False, seed=0, tail=0):
    """Texts that tell three of four things, with a question for each, and one for the fourth that has no answer."""
    rng = np.random.default_rng(seed)
    data = []
    for number in range(articles):
        paragraphs = []
        for at in range(per):
            kinds = [str(kind) for kind in rng.permutation(list(THINGS))]
            answers = {kind: str(rng.choice(THINGS[kind][1])) for kind in kinds[:3]}
            text = LATE * tail + " ".join(THINGS[kind][0].format(answer) for kind, answer in answers.items())
            qas = [
                {
                    "id": f"{seed}-{number}-{at}-{kind}",
                    "question": f"Which {kind} was it?",
                    "answers": [{"text": answers[kind], "answer_start": text.index(answers[kind])}] if kind in answers else [],
                }
                for kind in kinds[: 4 if unanswerable else 3]
            ]
            paragraphs.append({"context": text, "qas": qas})
        data.append({"title": f"Article {seed} {number}", "paragraphs": paragraphs})
    return {"version": "v2.0", "data": data}


def written(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def run_recipe(name, folder, train, test, *overrides):
    given = (f"data.path={train}", f"data.test_path={test}", *overrides)
    return fit(Recipe.load(ROOT / "recipes" / "nlp" / name, given), folder, quiet=True)


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A finished run of recipes/nlp/qa-squad2.yaml on generated questions."""
    folder = tmp_path_factory.mktemp("qa")
    train = written(folder / "train.json", squad(11, unanswerable=True))
    test = written(folder / "test.json", squad(4, unanswerable=True, seed=1))
    return run_recipe("qa-squad2.yaml", folder / "runs", train, test, "split.val=0.15", "strategy.epochs=2")


def ask(run, *options, text=TEXT):
    runner = CliRunner()
    return runner.invoke(cli, ["ask", str(run.folder), "-c", "-", *options], input=text)


def test_the_recipe_learns_to_answer_and_beats_plain_ways_with_intervals(answered):
    found = answered.metrics["evaluations"]["nlp/squad"]["test"]
    assert found["rules"] == "SQuAD 2.0"
    assert found["scores"]["f1"]["value"] > 0.5
    for plain in found["plain"].values():
        assert plain["run_minus_it"]["f1"]["low"] > 0
    assert answered.metrics["selected_by"] == "f1"
    assert answered.metrics["test"]["f1"]["value"] == pytest.approx(found["scores"]["f1"]["value"]), "the decided answers"
    assert "validation" in found["threshold"]["why"]
    assert answered.metrics["head"] == {"knows_no_answer": True}


def test_saved_predictions_hold_answers_right_ones_and_where_they_stand(answered):
    rows = pq.read_table(answered.folder / "predictions.parquet").to_pylist()
    row = next(row for row in rows if row["prediction"] and row["split"] == "test")
    assert isinstance(row["target"], list)
    assert {answer for row in rows for answer in row["target"]} <= ANSWERS
    assert row["excerpt"].startswith("Which ")
    assert json.loads(row["details"])["end"] > json.loads(row["details"])["start"]


def test_a_loaded_run_predicts_and_evaluates_as_it_did(answered, tmp_path):
    again = load(answered.folder)
    test = written(tmp_path / "again.json", squad(4, unanswerable=True, seed=1))
    found = again.evaluate(test)
    assert found["test"]["f1"]["value"] == pytest.approx(answered.metrics["test"]["f1"]["value"])
    figures = found["evaluations"]["nlp/squad"]["scores"]["exact_match"]["value"]
    assert figures == pytest.approx(found["test"]["exact_match"]["value"])


def test_one_question_about_one_text_is_answered_with_its_sentence(answered):
    result = ask(answered, "-q", "Which animal was it?")
    assert result.exit_code == 0, result.output
    said = json.loads(ask(answered, "-q", "Which animal was it?", "--json").stdout)
    lines = result.stdout.splitlines()
    assert TEXT[said["start"] : said["end"]] == said["n_best"][0]["text"] or not said["answer"]
    assert lines[0] == (said["answer"] or "no answer in this text")
    if said["answer"]:
        assert f"«{said['answer']}»" in lines[1]


def test_asking_says_what_is_missing(answered, tmp_path):
    assert execute(["ask", str(answered.folder), "-q", "Who?", "-c", str(tmp_path / "none.txt")]) == 3
    assert execute(["ask", str(answered.folder), "-q", "Who?"]) == 2
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n")
    assert execute(["ask", str(answered.folder), "-q", "Who?", "-c", str(empty)]) == 3


def test_the_report_shows_answers_in_their_texts_and_kinds_of_error(answered):
    page = (answered.folder / "report.html").read_text(encoding="utf-8")
    for words in (
        "Questions and their answers",
        "Kinds of error",
        "Score by question word",
        "Answers in their texts",
        "<mark>",
    ):
        assert words in page
    assert "could not be drawn" not in page
    assert (answered.folder / "figures" / "kinds-of-error.csv").exists()


def test_unlabelled_questions_are_predicted_from_a_csv(answered, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text('id,question,context\nx,Which animal was it?,"We saw a dog. It was near Rome."\n', "utf-8")
    result = CliRunner().invoke(cli, ["predict", str(answered.folder), str(path)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == "x"


@pytest.mark.parametrize("strategy", ["probe", "gradual", "lora"])
def test_other_strategies_run_on_texts_of_several_windows_and_replay(tmp_path, strategy):
    train = written(tmp_path / "train.json", squad(6, per=2, tail=3))
    test = written(tmp_path / "test.json", squad(2, per=2, tail=3, seed=1))
    options = {"probe": "{use: probe, epochs: 2}", "gradual": "{use: gradual, depth: 2, last_epochs: 1}"}
    overrides = ("backbone.max_tokens=48", f"strategy={options.get(strategy, '{use: lora, epochs: 1}')}", "split.val=0.2")
    run = run_recipe("qa-squad.yaml", tmp_path / "runs", train, test, *overrides)
    assert 0 <= run.metrics["test"]["f1"]["value"] <= 1
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    stored = [event for event in events if event["event"] == "stored"]
    refused = [event for event in events if event["event"] == "live" and "not exact" in event["why"]]
    assert refused == []
    assert stored or strategy == "lora"
    again = load(run.folder).evaluate(test)
    assert again["test"]["f1"]["value"] == pytest.approx(run.metrics["test"]["f1"]["value"])


def test_the_verdict_holds_plain_ways_against_the_run(answered):
    baselines = answered.metrics["baselines"]
    assert set(baselines) == {"random span", "sentence with most shared words", "always no answer"}
    plain = answered.metrics["evaluations"]["nlp/squad"]["test"]["plain"]
    for name, scores in baselines.items():
        assert scores["f1"]["value"] == pytest.approx(plain[name]["scores"]["f1"])
        assert answered.metrics["differences"][name]["f1"]["low"] > 0
    page = (answered.folder / "report.html").read_text()
    assert "there is no baseline to hold it against" not in page
