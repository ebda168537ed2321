"""Exact match and F1 are those of the official scripts, on cases where normalisation and empty answers matter."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.head import Prediction
from headstart.scores import Remembered
from headstart_nlp.questions.answers import Answer, Gold
from headstart_nlp.questions.official import normalised, question_scores
from headstart_nlp.questions.scores import answer_scores

official = SimpleNamespace(**run_path(str(Path(__file__).with_name("official_squad.py"))))

CASES = [
    ("Denver Broncos", ["Denver Broncos"]),
    ("the Denver Broncos", ["Denver Broncos"]),
    ("The  Denver   Broncos.", ["denver broncos"]),
    ("Broncos", ["Denver Broncos", "The Broncos"]),
    ("Denver", ["Denver Broncos"]),
    ("Denver Broncos Denver", ["Denver Broncos"]),
    ("Denver Denver", ["Denver Broncos Denver Denver"]),
    ("", ["Denver"]),
    ("", []),
    ("Denver", []),
    ("the", ["a"]),
    ("the", ["Denver"]),
    ("the", []),
    ("...", []),
    ("...", ["!!!"]),
    ("Denver", ["the"]),
    ("Denver", ["the", "Denver"]),
    ("", ["the"]),
    ("a an the", ["an"]),
    ("theatre", ["atre"]),
    ("an-other", ["another"]),
    ("U.S.", ["US"]),
    ("U. S.", ["US"]),
    ("$1,000.50", ["1000.50"]),
    ("1 000", ["1000"]),
    ("25%", ["25"]),
    ("5½ sacks", ["5½"]),
    ("“Gold”", ["Gold"]),
    ("'Gold'", ["Gold"]),
    ("Beyoncé", ["BEYONCÉ"]),
    ("Beyonce", ["Beyoncé"]),
    ("İstanbul", ["istanbul"]),
    ("STRASSE", ["Straße"]),
    ("line\nbreak", ["line break"]),
    ("non\u00a0breaking", ["non breaking"]),
    ("東京", ["東京"]),
    ("well–known", ["well known"]),
    ("a cat and a dog", ["the cat and the dog"]),
    ("A", ["vitamin A"]),
    ("one two three", ["three two one"]),
    (" padded ", ["padded"]),
    ("x", ["y", "x y", "x"]),
]


def golds_of(texts):
    return Gold(Answer(text, 0) for text in texts)


def test_there_are_at_least_thirty_cases():
    assert len({(answer, tuple(golds)) for answer, golds in CASES}) >= 30


@pytest.mark.parametrize(("answer", "golds"), CASES)
def test_a_question_counts_as_squad_2_counts_it(answer, golds):
    data = [{"paragraphs": [{"qas": [{"id": "q", "answers": [{"text": gold} for gold in golds]}]}]}]
    exact, f1 = official.get_raw_scores(data, {"q": answer})
    assert question_scores(answer, golds, has_none=True) == (exact["q"], f1["q"])


@pytest.mark.parametrize(("answer", "golds"), [case for case in CASES if case[1]])
def test_a_question_counts_as_squad_1_counts_it(answer, golds):
    best = official.metric_max_over_ground_truths
    expected = (best(official.exact_match_score, answer, golds), best(official.f1_score, answer, golds))
    assert question_scores(answer, golds, has_none=False) == expected


@pytest.mark.parametrize("text", [text for answer, golds in CASES for text in (answer, *golds)])
def test_texts_are_normalised_alike(text):
    assert normalised(text) == official.normalize_answer(text)


def test_the_two_rules_differ_where_nothing_is_left_of_both_texts():
    assert question_scores("the", ["a"], has_none=False) == (1.0, 0.0)
    assert question_scores("the", ["a"], has_none=True) == (1.0, 1.0)


def test_the_figures_of_all_questions_are_the_official_ones_for_answerable_and_other_questions_apart():
    data = [
        {
            "paragraphs": [
                {"qas": [{"id": str(i), "answers": [{"text": g} for g in golds]} for i, (_, golds) in enumerate(CASES)]}
            ]
        }
    ]
    exact, f1 = official.get_raw_scores(data, {str(i): answer for i, (answer, _) in enumerate(CASES)})
    whole = official.make_eval_dict(exact, f1)
    some = official.make_eval_dict(exact, f1, [str(i) for i, (_, golds) in enumerate(CASES) if golds])
    none = official.make_eval_dict(exact, f1, [str(i) for i, (_, golds) in enumerate(CASES) if not golds])
    found = answer_scores([Prediction(answer) for answer, _ in CASES], [golds_of(golds) for _, golds in CASES])
    assert {name: 100 * value for name, value in found.items()} == pytest.approx(
        {
            "f1": whole["f1"],
            "exact_match": whole["exact"],
            "has_answer_f1": some["f1"],
            "has_answer_exact_match": some["exact"],
            "no_answer_accuracy": none["exact"],
        }
    )
    assert none["exact"] == none["f1"]


def test_counts_of_a_bootstrap_weigh_questions_as_if_they_stood_there_several_times():
    predictions = Remembered([Prediction(answer) for answer, _ in CASES])
    targets = [golds_of(golds) for _, golds in CASES]
    counts = np.arange(len(CASES)) % 3
    rows = np.repeat(np.arange(len(CASES)), counts)
    expected = answer_scores([predictions[i] for i in rows], [targets[i] for i in rows])
    assert answer_scores(predictions, targets, counts) == pytest.approx(expected)
    assert answer_scores(predictions, targets, counts) == pytest.approx(expected), "remembered"


def test_targets_read_back_from_a_table_count_the_same():
    targets = [golds_of(golds) for _, golds in CASES]
    predictions = [Prediction(answer) for answer, _ in CASES]
    saved = [tuple(map(str, target)) for target in targets]
    assert answer_scores(predictions, saved) == answer_scores(predictions, targets)
