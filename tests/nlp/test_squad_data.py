"""Questions are read from every form, their answers verified to the letter, and unsound ones left out by name."""

from __future__ import annotations

import json
import pickle

import pytest

from headstart.errors import DataError
from headstart_nlp.questions.answers import Answer, Gold, verified
from headstart_nlp.questions.squad import Squad

TEXT = "Denver beat Carolina. Denver is in Colorado, and 10 fans cheered: “¡olé!”"


def article(title, *questions, text=TEXT):
    return {"title": title, "paragraphs": [{"context": text, "qas": list(questions)}]}


def asked(id, *answers, **more):
    return {"id": id, "question": f"Question {id}?", "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}


@pytest.fixture
def write(tmp_path):
    def written(*articles, name="squad.json", **more):
        path = tmp_path / name
        path.write_text(json.dumps({"version": "v2.0", "data": list(articles)}), encoding="utf-8")
        return Squad(path=str(path), **more)

    return written


def test_squad_json_gives_questions_with_their_text_verified_answers_and_article(write):
    data = write(article("Bowl", asked("q1", ("Carolina", 12), ("beat Carolina", 7)), asked("q2", is_impossible=True)))
    first, second = data.examples()
    assert first.input == ("Question q1?", TEXT)
    assert first.group == "Bowl"
    assert [(str(a), TEXT[a.start : a.end]) for a in first.target] == [("Carolina",) * 2, ("beat Carolina",) * 2]
    assert second.target == Gold()
    assert second.target is not None
    assert data.facts()["no_answer"] == 1


def test_plausible_answers_are_no_answers(write):
    question = asked("q", is_impossible=True, plausible_answers=[{"text": "Denver", "answer_start": 0}])
    assert write(article("Bowl", question)).examples()[0].target == Gold()


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("Carolina", 12, (Answer("Carolina", 12), False)),
        (" Carolina ", 11, (Answer("Carolina", 12), False)),
        ("Carolina", None, (Answer("Carolina", 12), False)),
        ("Carolina", 3, (Answer("Carolina", 12), True)),
        ("Carolina", -62, (Answer("Carolina", 12), True)),
        ("Carolina", 9999, (Answer("Carolina", 12), True)),
        ("“¡olé!”", 66, (Answer("“¡olé!”", 66), False)),
    ],
)
def test_an_answer_is_verified_and_repaired_where_it_stands_only_once(text, start, expected):
    found = verified(TEXT, text, start)
    assert (found.answer, found.repaired) == expected
    assert TEXT[found.answer.start : found.answer.end] == found.answer.text


@pytest.mark.parametrize(
    ("text", "start", "reason"),
    [
        ("Denver", 3, "stands 2 times in the context, and not at 3"),
        ("Denver", None, "stands 2 times in the context"),
        ("Seattle", 0, "does not stand in the context, and not at 0"),
        ("denver", 0, "does not stand in the context"),
        ("  ", 0, "blank"),
    ],
)
def test_an_answer_that_cannot_be_placed_is_refused_with_the_reason(text, start, reason):
    found = verified(TEXT, text, start)
    assert found.answer is None
    assert reason in found.reason


def test_unsound_questions_are_left_out_by_name_and_sound_answers_kept(write):
    data = write(
        article(
            "Bowl", asked("good", ("Carolina", 12), ("Seattle", 0)), asked("bad", ("Seattle", 0)), asked("moved", ("10", 1))
        ),
        max_bad=0.5,
    )
    assert [example.id for example in data.examples()] == ["good", "moved"]
    facts = data.facts()
    assert list(facts["quarantined"]) == ["bad"]
    assert "article 'Bowl', question 'bad': the answer does not stand in the context" in facts["quarantined"]["bad"]
    assert (facts["repaired"], facts["dropped_answers"]) == (1, 1)
    assert len(facts["warnings"]) == 3


def test_too_many_unsound_questions_stop(write):
    with pytest.raises(DataError, match=r"1 of 2 questions are unsound, over the budget of 0.05 \(data.max_bad\)"):
        write(article("Bowl", asked("bad", ("Seattle", 0)), asked("good", ("10", 49)))).examples()


def test_a_second_file_is_the_test(write, tmp_path):
    write(article("B", asked("t", ("10", 49))), name="test.json")
    data = write(article("A", asked("q", ("10", 49))), test_path=str(tmp_path / "test.json"))
    assert [(e.id, e.meta["split"]) for e in data.examples()] == [("q", "train"), ("t", "test")]


def test_one_id_twice_is_an_error(write):
    with pytest.raises(DataError, match="the first is 'q'; ids are unique"):
        write(article("A", asked("q", ("10", 49)), asked("q", ("10", 49)))).examples()


def test_questions_without_an_answer_can_be_left_out(write):
    data = write(article("A", asked("q", ("10", 49)), asked("none", is_impossible=True)), unanswerable="drop")
    assert [e.id for e in data.examples()] == ["q"]


@pytest.mark.parametrize(("group", "groups"), [("article", 1), ("context", 2), ("none", 0)])
def test_questions_are_grouped_as_asked(write, group, groups):
    data = write(article("A", asked("1", ("10", 49))), article("A", asked("2", ("x", 0)), text="x y"), group=group)
    assert len({e.group for e in data.examples()} - {None}) == groups


def test_a_csv_without_offsets_finds_answers_that_stand_once(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text(f'question,context,answer\nWho?,"{TEXT}",Carolina\nWhat?,"{TEXT}",\nWhere?,"{TEXT}",Denver\n', "utf-8")
    data = Squad(path=str(path), max_bad=0.5)
    first, second = data.examples()
    assert first.target == Gold([Answer("Carolina", 12)])
    assert second.target == Gold()
    assert first.group == second.group
    assert "q.csv, line 4: the answer stands 2 times in the context" in next(iter(data.facts()["quarantined"].values()))


def test_jsonl_may_give_several_answers_with_offsets(tmp_path):
    path = tmp_path / "q.jsonl"
    row = {
        "question": "Who?",
        "context": TEXT,
        "answer": ["Denver", "Carolina"],
        "offset": ["22", "12"],
        "id": "x",
        "title": "Bowl",
    }
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": "y"}) + "\n", "utf-8")
    example = Squad(path=str(path)).examples()[0]
    assert (example.id, example.group) == ("x", "Bowl")
    assert example.target == Gold([Answer("Denver", 22), Answer("Carolina", 12)])


def test_questions_without_an_answer_column_are_not_labelled(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text(f'question,context\nWho?,"{TEXT}"\n', "utf-8")
    assert Squad(path="unused").open(path)[0].target is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2]", "is no SQuAD file"),
        ('{"data": []}', "holds no question"),
        ('{"data": [', "is no JSON"),
        ('{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "q"}]}]}]}', "needs id, question and answers"),
    ],
)
def test_a_file_of_another_form_is_refused_with_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "x.json"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=words):
        Squad(path=str(path)).examples()


def test_a_new_question_comes_as_a_pair_or_a_mapping():
    data = Squad(path="unused")
    assert data.read((" Who? ", TEXT)) == data.read({"question": "Who?", "context": TEXT}) == ("Who?", TEXT)
    with pytest.raises(DataError, match="blank"):
        data.read(("Who?", " "))
    with pytest.raises(DataError, match="pair"):
        data.read("Who?")


def test_gold_answers_are_counted_by_whether_there_are_any_and_survive_pickling():
    gold = Gold([Answer("10", 49)])
    assert (str(gold), str(Gold())) == ("answerable", "no answer")
    assert pickle.loads(pickle.dumps(gold)) == gold
