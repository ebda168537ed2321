"""Sets and sureness: the true label is in the set as often as promised, for each class; surer answers are less often wrong."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import UsageError
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart_healthcare.clinical.evaluation import Clinical
from headstart_healthcare.clinical.sets import least_probability
from headstart_healthcare.clinical.sureness import risk_coverage
from headstart_healthcare.heads.findings import Findings

TWO = Target("class", ("well", "sick"), positive="sick")
FOUR = Target("class", ("0", "1", "2", "3"))


@pytest.mark.parametrize("count", [9, 25, 60])
def test_a_further_example_is_ruled_out_as_rarely_as_promised(count):
    """Over 4,000 draws of a validation part: at least 90 %, and by theory less than 1 / (n + 1) more."""
    rng = np.random.default_rng(count)
    draws = rng.beta(2, 3, (4000, count + 1))
    inside = np.mean([row[-1] >= least_probability(row[:-1], 0.1) for row in draws])
    assert 0.9 - 0.015 < inside < 0.9 + 1 / (count + 1) + 0.015


def test_too_few_examples_to_promise_anything_rule_nothing_out():
    assert least_probability(np.array([0.9] * 8), 0.1) == 0.0
    assert least_probability(np.array([0.9] * 9), 0.1) == 0.9


def rare(split: str, n: int, seed: int, strength: float = 1.5) -> Outcome:
    """One in ten is sick; a head that knows little of it and gives everybody a low probability."""
    rng = np.random.default_rng(seed)
    sick = np.arange(n) % 10 == 0
    share = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + strength * sick - 2)))
    examples = [Example(f"{split}{i}", None, "sick" if one else "well") for i, one in enumerate(sick)]
    return Outcome("run", split, examples, [Prediction("well", {"well": 1 - float(p), "sick": float(p)}) for p in share])


def test_the_few_sick_are_covered_as_well_as_the_many_well():
    clinical = Clinical(miss=0.1)
    settled = clinical.settle(rare("val", 1500, 0), TWO)
    test = rare("test", 1500, 1)
    found = clinical.measure(test, TWO, settled)["sets"]
    for label, n in (("sick", 150), ("well", 1350)):
        assert found["covered"][label]["n"] == n
        assert found["covered"][label]["low"] < 0.92 and found["covered"][label]["high"] > 0.88
        assert found["covered"][label]["value"] == pytest.approx(0.9, abs=0.06)
    assert found["sizes"]["1"] > 0 and sum(found["sizes"].values()) == 1500
    decided = clinical.decide(test.predictions, TWO, settled)
    inside = [one.details["set"] for one in decided]
    assert sum(len(labels) == 2 for labels in inside) == found["sizes"]["2"]
    right = [
        example.target in labels for example, labels in zip(test.examples, inside, strict=True) if example.target == "sick"
    ]
    assert np.mean(right) == pytest.approx(found["covered"]["sick"]["value"])


def test_sets_are_wide_where_the_head_knows_nothing_and_narrow_where_it_knows_all():
    def mean(strength: float) -> float:
        clinical = Clinical()
        settled = clinical.settle(rare("val", 600, 0, strength), TWO)
        sizes = clinical.measure(rare("test", 600, 1, strength), TWO, settled)["sets"]["sizes"]
        return sum(int(size) * n for size, n in sizes.items()) / 600

    assert mean(0.0) > 1.7 and mean(9.0) < 1.05


def test_classes_and_findings_have_sets_and_none_come_where_none_are_asked_for():
    rng = np.random.default_rng(0)

    def four(split: str) -> Outcome:
        truth = rng.integers(0, 4, 400)
        logits = rng.normal(size=(400, 4)) + 2 * np.eye(4)[truth]
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        said = [Prediction(str(row.argmax()), {str(k): float(row[k]) for k in range(4)}) for row in shares]
        return Outcome("run", split, [Example(str(i), None, str(t)) for i, t in enumerate(truth)], said)

    clinical = Clinical(miss=0.05)
    settled = clinical.settle(four("val"), FOUR)
    covered = clinical.measure(four("test"), FOUR, settled)["sets"]["covered"]
    assert set(covered) == set(FOUR.labels) and min(one["value"] for one in covered.values()) > 0.85

    target = Target("labels", ("edema", "effusion"))
    examples = [Example(str(i), None, Findings(("edema",) * (i % 2), ("effusion",))) for i in range(100)]
    said = [Prediction(("edema",) * (i % 2), {"edema": 0.8 if i % 2 else 0.2, "effusion": 0.5}) for i in range(100)]
    examples = [Example(e.id, None, e.target, meta={"unknown": ("effusion",)}) for e in examples]
    settled = clinical.settle(Outcome("run", "val", examples, said), target)
    found = clinical.measure(Outcome("run", "test", examples, said), target, settled)["sets"]
    assert found["covered"]["effusion"] is None, "nobody is known to have it"
    decided = clinical.decide(said, target, settled)
    assert decided[1].details["set"] == ["edema", "effusion"] and decided[0].details["set"] == ["effusion"]

    without = Clinical(miss=0.0)
    settled = without.settle(rare("val", 100, 0), TWO)
    assert "sets" not in settled and "set" not in without.decide(rare("test", 5, 1).predictions, TWO, settled)[0].details
    with pytest.raises(UsageError, match="miss is 1"):
        Clinical(miss=1.0)


def test_the_surer_answers_are_counted_first():
    """By hand: the threshold is 0.4, so 0.7 is half of the way to 1 and 0.2 half of the way to 0."""
    probability = np.array([1.0] * 8 + [0.0] * 8 + [0.45] * 4)
    truth = np.array([1] * 8 + [0] * 8 + [0] * 4)
    found = risk_coverage(truth, probability, 0.4)
    assert [point["wrong"] for point in found["points"][:7]] == [0.0] * 7, "of the surest 80 % none is wrong"
    assert found["points"][-1] == {"coverage": 1.0, "wrong": 0.2}
    rng = np.random.default_rng(0)
    shares, truth = rng.random(200), rng.integers(0, 2, 200)
    sure = np.where(shares >= 0.4, (shares - 0.4) / 0.6, (0.4 - shares) / 0.4)
    order = sorted(range(200), key=lambda i: -sure[i])
    by_hand = [np.mean([(shares[i] >= 0.4) != truth[i] for i in order[: k + 1]]) for k in range(200)]
    assert risk_coverage(truth, shares, 0.4)["area"] == pytest.approx(np.mean(by_hand))
    assert risk_coverage(truth[:10], shares[:10], 0.4) is None
