"""Plain views: a data part of a domain of its own says what methods without a network look at."""

from __future__ import annotations

import numpy as np
import pytest

from headstart import Data, Example, Target
from headstart.baselines import baseline_names, predict_baseline
from headstart.errors import DataError
from headstart.plain_views import plainly_seen


class Waves(Data):
    """Ten numbers; a wave is "high" where their mean is."""

    modality = "wave"

    @property
    def target(self):
        return Target("class", ("low", "high"))

    def examples(self):
        generator = np.random.default_rng(0)
        labels = ["low", "high"] * 20
        return [Example(f"w{at}", generator.normal(label == "high", 0.3, 10), label) for at, label in enumerate(labels)]

    def read(self, source):
        return np.asarray(source)


class Numbered(Waves):
    def plain_view(self, input):
        return np.array([input.mean(), input.std()])


class Worded(Waves):
    def plain_view(self, input):
        return "up" if input.mean() > 0.5 else "down"


class Ragged(Waves):
    def plain_view(self, input):
        return input[: 2 + int(input[0] > 0)]


def parts(data):
    examples = data.examples()
    return {"train": examples[:20], "val": examples[20:28], "test": examples[28:]}


def test_without_views_examples_are_as_they_were():
    modality, seen = plainly_seen(Waves(), found := parts(Waves()))
    assert (modality, seen) == ("wave", found)
    assert baseline_names(modality, Waves().target) == ("majority",)


@pytest.mark.parametrize(("data", "names"), [(Numbered(), "numbers-logistic"), (Worded(), "tfidf-logistic")])
def test_a_baseline_learns_from_the_views(data, names):
    modality, seen = plainly_seen(data, parts(data))
    assert baseline_names(modality, data.target) == ("majority", names)
    found = predict_baseline(names, seen["train"], seen["val"], seen["test"], data.target, 0)
    right = [prediction.value == example.target for prediction, example in zip(found, seen["test"], strict=True)]
    assert np.mean(right) > 0.9
    assert [example.id for example in seen["test"]] == [example.id for example in parts(data)["test"]]


def test_views_of_different_length_are_refused_in_words():
    with pytest.raises(DataError, match=r"plain_view of Ragged gives values of the shapes .*as many finite numbers"):
        plainly_seen(Ragged(), parts(Ragged()))
