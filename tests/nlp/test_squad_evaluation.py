"""The evaluation of questions: the threshold is the official best one, of validation only; errors named by their place."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart_nlp.questions.answers import Answer, Gold
from headstart_nlp.questions.errors import BOUNDARY, FAR, INVENTED, NEAR, RIGHT, SILENT, kind_of, longer_than, question_word
from headstart_nlp.questions.evaluation import Squad
from headstart_nlp.questions.marking import as_html, in_sentence
from headstart_nlp.questions.plain import PLAIN, likest_sentence, random_span, sentences
from headstart_nlp.questions.threshold import choose_threshold

official = SimpleNamespace(**run_path(str(Path(__file__).with_name("official_squad.py"))))

TEXT = "Denver beat Carolina. It was in February, in the bay of San Francisco! Who cheered? The fans (10 of them) did."
TARGET = Target("span")


def said(text, odds=None, context=TEXT):
    start = context.find(text) if text else 0
    details = {"start": start, "end": start + len(text), "answer": text, "no_answer": odds, "n_best": []}
    return Prediction("" if odds is not None and odds > 0 else text, details=details)


def example(id, *answers, question="Who lost?", context=TEXT):
    return Example(id, (question, context), Gold(Answer(a, context.index(a)) for a in answers), group=f"g{id[-1]}")


def some(n=60, seed=0):
    """Questions with and without answers, right and wrong, whose log-odds tell something."""
    rng = np.random.default_rng(seed)
    examples, predictions = [], []
    for i in range(n):
        has = bool(rng.random() < 0.6)
        words = ["Carolina", "beat Carolina", "February", "San Francisco"]
        examples.append(example(f"q{i}", *(["Carolina"] if has else [])))
        predictions.append(said(words[int(rng.integers(4))], round(float(rng.normal(-2 if has else 2, 2.5)), 1)))
    return examples, predictions


@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_reaches_the_official_best_f1(seed):
    examples, predictions = some(seed=seed)
    ids = [e.id for e in examples]
    has = {e.id: bool(e.target) for e in examples}
    data = [{"paragraphs": [{"qas": [{"id": e.id, "answers": [{"text": str(a)} for a in e.target]} for e in examples]}]}]
    answers = {id: p.details["answer"] for id, p in zip(ids, predictions, strict=True)}
    odds = {id: p.details["no_answer"] for id, p in zip(ids, predictions, strict=True)}
    _, f1 = official.get_raw_scores(data, answers)
    best, _ = official.find_best_thresh(answers, f1, odds, has)
    found = choose_threshold(predictions, [e.target for e in examples])
    reached = official.make_eval_dict(f1, official.apply_no_ans_threshold(f1, odds, has, found.value))["f1"]
    # the official search steps through equal odds one by one, which no threshold can do
    places = sorted(set(odds.values()))
    tried = [official.apply_no_ans_threshold(f1, odds, has, place) for place in [places[0] - 1, *places]]
    assert reached == pytest.approx(max(official.make_eval_dict(scores, scores)["f1"] for scores in tried))
    assert reached <= best + 1e-9


def test_a_threshold_needs_both_kinds_of_questions():
    only = [example("q1", "Carolina")]
    assert choose_threshold([said("Carolina", 1.0)], [e.target for e in only]).value == 0
    assert "every validation question (n = 1) has an answer" in choose_threshold([said("x", 1.0)], [Gold([Answer("x", 0)])]).why
    assert "nothing to choose it on" in choose_threshold([], []).why
    assert "nothing to choose it on" in choose_threshold([said("x")], [Gold()]).why


def test_the_threshold_comes_from_validation_and_decides_everywhere():
    examples, predictions = some()
    part = Squad()
    with pytest.raises(DataError, match="from validation only; this is the split 'test'"):
        part.settle(Outcome("run", "test", examples, predictions), TARGET)
    settled = part.settle(Outcome("run", "val", examples, predictions), TARGET)
    limit = settled["threshold"]["value"]
    decided = part.decide(predictions, TARGET, settled)
    assert {bool(p.value) for p in decided} == {True, False}
    assert all(bool(p.value) == (p.details["no_answer"] <= limit) for p in decided)
    plain = [said("Carolina"), said("February")]
    assert part.decide(plain, TARGET, settled) == plain, "a head that never says no answer is left alone"


def test_measuring_gives_official_figures_by_kind_of_question_and_beside_plain_ways():
    examples, predictions = some()
    part = Squad()
    settled = part.settle(Outcome("run", "val", examples, predictions), TARGET)
    found = part.measure(Outcome("run", "test", examples, predictions), TARGET, settled)
    decided = part.decide(predictions, TARGET, settled)
    data = [{"paragraphs": [{"qas": [{"id": e.id, "answers": [{"text": str(a)} for a in e.target]} for e in examples]}]}]
    exact, f1 = official.get_raw_scores(data, {e.id: p.value for e, p in zip(examples, decided, strict=True)})
    whole = official.make_eval_dict(exact, f1)
    assert found["rules"] == "SQuAD 2.0"
    assert 100 * found["scores"]["f1"]["value"] == pytest.approx(whole["f1"])
    assert 100 * found["scores"]["exact_match"]["value"] == pytest.approx(whole["exact"])
    assert found["scores"]["f1"]["low"] < found["scores"]["f1"]["value"] < found["scores"]["f1"]["high"]
    assert sum(found["kinds"].values()) == found["n"] == 60
    assert set(found["plain"]) == set(PLAIN)
    silent = found["plain"]["always no answer"]
    assert silent["scores"]["f1"] == pytest.approx(found["no_answer"] / 60)
    assert silent["run_minus_it"]["f1"]["value"] == pytest.approx(found["scores"]["f1"]["value"] - silent["scores"]["f1"])
    assert {row["kind"] for row in found["examples"]} == set(found["kinds"])


def test_answerable_questions_alone_count_as_squad_1_and_have_no_threshold():
    part, examples = Squad(), [example("q1", "Carolina"), example("q2", "10")]
    outcome = Outcome("run", "val", examples, [said("Carolina"), said("10 of")])
    found = part.measure(outcome, TARGET, part.settle(outcome, TARGET))
    assert len(examples) == found["n"]
    assert (found["rules"], found["threshold"]) == ("SQuAD 1.1", None)
    assert "always no answer" not in found["plain"]
    assert set(found["scores"]) == {"f1", "exact_match"}


@pytest.mark.parametrize(
    ("golds", "answer", "kind"),
    [
        (["Carolina"], "beat Carolina", BOUNDARY),
        (["Carolina"], "Denver", NEAR),
        (["Carolina"], "February", FAR),
        (["Carolina", "San Francisco"], "February", NEAR),
        (["Carolina"], "", SILENT),
        ([], "February", INVENTED),
        (["10"], "10 of them", BOUNDARY),
    ],
)
def test_an_error_is_named_by_where_the_answer_stands(golds, answer, kind):
    assert kind_of(example("q", *golds), said(answer), is_exact=False) == kind
    assert kind_of(example("q", *golds), said(answer), is_exact=True) == RIGHT


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Who lost?", "who"),
        ("In which year did it end?", "which"),
        ("How many fans?", "how many"),
        ("How did they?", "how"),
        ("Whose is it?", "whose"),
        ("Name the bay.", "other"),
        ("The show, what is it?", "what"),
    ],
)
def test_questions_are_sorted_by_their_question_word(question, word):
    assert question_word(question) == word


def test_lengths_are_sorted_into_ranges():
    assert [longer_than("w " * n) for n in (1, 50, 51, 500, 501)] == [
        "1 to 50",
        "1 to 50",
        "51 to 100",
        "301 to 500",
        "over 500",
    ]


def test_sentences_cover_the_text_and_plain_ways_answer_from_it():
    spans = sentences(TEXT)
    assert next(TEXT[a:b].strip() for a, b in spans) == "Denver beat Carolina."
    assert "".join(TEXT[a:b] for a, b in spans) == TEXT
    asked = example("q", "San Francisco", question="In which bay of February?")
    assert likest_sentence(asked) == "It was in February, in the bay of San Francisco!"
    assert random_span(asked) in TEXT
    assert random_span(asked) == random_span(asked)
    assert len({random_span(example(f"q{i}", "10")) for i in range(20)}) > 5


def test_an_answer_is_marked_in_its_sentence_and_in_the_page_without_letting_markup_through():
    start = TEXT.index("San Francisco")
    assert in_sentence(TEXT, start, start + 13) == "It was in February, in the bay of «San Francisco»!"
    html = str(as_html("<b>?", "a <script> b c", [[2, 10]], [5, 12]))
    assert "<script>" not in html
    assert "<u>&lt;sc</u><mark><u>ript&gt;</u></mark><mark> b</mark> c" in html
    assert html.startswith("<b>&lt;b&gt;?</b>")
