"""Baselines learn what plain methods can learn from raw examples, and fall back where there is nothing to learn."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headstart.baselines import baseline_names, predict_baseline
from headstart.errors import UsageError
from headstart.example import Example, Target

MOOD = Target("class", ("bad", "good"))
GOOD = ("a joy", "warm and funny", "what a joy , funny", "a warm film", "funny film", "such joy", "joy and wit", "warm wit")
BAD = ("a bore", "dull and cold", "what a bore , dull", "a cold film", "dull film", "such bore", "bore and cold", "cold dull")


def examples(texts: tuple[str, ...], target: object) -> list[Example]:
    return [Example(id=f"{target}-{i}", input=text, target=target) for i, text in enumerate(texts)]


def moods(start: int, stop: int) -> list[Example]:
    return [*examples(GOOD[start:stop], "good"), *examples(BAD[start:stop], "bad")]


def test_text_gets_a_plain_baseline_and_one_on_words() -> None:
    assert baseline_names("text", MOOD) == ("majority", "tfidf-logistic")
    assert baseline_names("text", Target("labels", ("a",))) == ("majority", "tfidf-logistic")
    assert baseline_names("text", Target("number")) == ("mean", "tfidf-ridge")


def test_pictures_get_a_plain_baseline_and_one_on_their_colours() -> None:
    assert baseline_names("image", MOOD) == ("majority", "histogram-logistic")
    assert baseline_names("image", Target("number")) == ("mean", "histogram-ridge")


def test_other_modalities_get_the_plain_one_and_unknown_kinds_none() -> None:
    assert baseline_names("volume", MOOD) == ("majority",)
    assert baseline_names("text", Target("span")) == ()


def test_majority_says_the_commonest_label_with_the_shares() -> None:
    train = [*examples(GOOD[:3], "good"), *examples(BAD[:1], "bad")]
    predictions = predict_baseline("majority", train, [], moods(6, 8), MOOD, 0)
    assert [prediction.value for prediction in predictions] == ["good"] * 4
    assert predictions[0].probabilities == {"bad": 0.25, "good": 0.75}


def test_majority_of_sets_keeps_labels_that_half_of_all_have() -> None:
    target = Target("labels", ("a", "b", "c"))
    train = [Example("1", "x", ("a", "b")), Example("2", "y", ("a",)), Example("3", "z", ("a", "b")), Example("4", "w", ("c",))]
    prediction = predict_baseline("majority", train, [], train[:1], target, 0)[0]
    assert prediction.value == ("a", "b")
    assert prediction.probabilities == {"a": 0.75, "b": 0.5, "c": 0.25}


def test_mean_says_the_mean() -> None:
    train = [Example("1", "x", 1.0), Example("2", "y", 4.0)]
    assert predict_baseline("mean", train, [], train, Target("number"), 0)[1].value == 2.5


@pytest.mark.parametrize("val", [moods(6, 7), []], ids=["chosen on val", "chosen by folds"])
def test_words_separate_what_words_can_separate(val: list[Example]) -> None:
    test = moods(7, 8)
    predictions = predict_baseline("tfidf-logistic", moods(0, 6), val, test, MOOD, 0)
    assert [prediction.value for prediction in predictions] == [example.target for example in test]
    for prediction in predictions:
        assert prediction.probabilities is not None
        assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
        assert max(prediction.probabilities, key=prediction.probabilities.__getitem__) == prediction.value


def test_case_does_not_matter_and_short_words_count() -> None:
    train = [*examples(("I",) * 4, "good"), *examples(("U",) * 4, "bad")]
    predictions = predict_baseline("tfidf-logistic", train, [], [Example("1", "i"), Example("2", "u")], MOOD, 0)
    assert [prediction.value for prediction in predictions] == ["good", "bad"]


def test_a_label_that_never_occurs_in_training_has_no_probability() -> None:
    target = Target("class", ("bad", "good", "odd"))
    prediction = predict_baseline("tfidf-logistic", moods(0, 6), [], moods(7, 8), target, 0)[0]
    assert prediction.value == "good"
    assert prediction.probabilities is not None
    assert prediction.probabilities["odd"] == 0.0


def test_one_label_or_no_words_fall_back_to_the_plain_answer() -> None:
    only = examples(GOOD, "good")
    wordless = [Example("1", "!!", "bad"), Example("2", "", "bad"), Example("3", "?", "good")]
    assert predict_baseline("tfidf-logistic", only, [], moods(0, 1), MOOD, 0)[1].value == "good"
    assert predict_baseline("tfidf-logistic", wordless, [], moods(0, 1), MOOD, 0)[0].value == "bad"


@pytest.mark.parametrize("labels", [("joyful", "film"), ("joyful", "film", "always"), ("joyful", "always")])
def test_sets_of_labels_are_learnt_one_by_one(labels: tuple[str, ...]) -> None:
    def tagged(first: str, second: str, i: int) -> Example:
        words = {"joyful": "joy", "film": "film", "always": ""}
        text = f"{first} {second} w{i}"
        return Example(text, text, tuple(label for label in labels if words[label] in text))

    pairs = [(first, second) for first in ("joy", "bore") for second in ("film", "book")]
    train = [tagged(*pair, i) for pair in pairs for i in range(8)]
    test = [tagged(*pair, 99) for pair in pairs]
    predictions = predict_baseline("tfidf-logistic", train, train, test, Target("labels", labels), 0)
    assert [prediction.value for prediction in predictions] == [example.target for example in test]


def test_ridge_beats_the_mean_where_words_carry_the_number() -> None:
    train = [Example(str(i), f"{'very ' * (i % 5)}good", float(i % 5)) for i in range(40)]
    test = [Example("low", "good"), Example("high", "very very very very good")]
    low, high = (prediction.value for prediction in predict_baseline("tfidf-ridge", train, [], test, Target("number"), 0))
    assert low < 1.0
    assert high > 2.5


def test_the_same_seed_gives_the_same_predictions() -> None:
    first, second = (predict_baseline("tfidf-logistic", moods(0, 6), [], moods(6, 8), MOOD, 3) for _ in range(2))
    assert first == second


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: majority, mean, tfidf-logistic"):
        predict_baseline("magic", moods(0, 2), [], [], MOOD, 0)


def test_scikit_learn_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, headstart.baselines; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
