"""The clinical evaluation: fitted on validation, measured without fitting, and what is unknown is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headstart.errors import DataError, UsageError
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart_healthcare.clinical.evaluation import Clinical
from headstart_healthcare.clinical.subgroups import cells_of
from headstart_healthcare.clinical.subgroups import shown as shown_cells

TWO = Target("class", ("normal", "pneumonia"), positive="pneumonia")
GRADES = Target("class", ("0", "1", "2", "3"))
FINDINGS = Target("labels", ("edema", "effusion"))


def _two(split: str, n: int, seed: int, *, patients: int | None = None, sex: bool = False) -> Outcome:
    """Overconfident scores: the true probability is sigmoid(x), the head says sigmoid(3 x + 1)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, n)
    sick = rng.random(n) < 1 / (1 + np.exp(-x))
    said = 1 / (1 + np.exp(-(3 * x + 1)))
    meta = [{"subgroups": {"sex": "F" if i % 2 else "M"}} if sex else {} for i in range(n)]
    examples = [
        Example(f"{split}{i}", None, "pneumonia" if sick[i] else "normal", f"p{i % patients}" if patients else None, meta[i])
        for i in range(n)
    ]
    return Outcome("run", split, examples, [_yes_no(float(p)) for p in said])


def _yes_no(probability: float) -> Prediction:
    value = "pneumonia" if probability >= 0.5 else "normal"
    return Prediction(value, {"normal": 1 - probability, "pneumonia": probability})


def test_probabilities_come_out_calibrated_and_answers_by_the_threshold_of_validation() -> None:
    clinical = Clinical(rule="sensitivity", at_least=0.95)
    settled = clinical.settle(_two("val", 2000, 0), TWO)
    test = _two("test", 2000, 1)
    found = clinical.measure(test, TWO, settled)["questions"]["pneumonia"]
    assert found["calibration"]["before"]["slope"] == pytest.approx(1 / 3, abs=0.06)
    assert found["calibration"]["after"]["slope"] == pytest.approx(1, abs=0.15)
    assert found["at_threshold"]["sensitivity"]["value"] == pytest.approx(0.95, abs=0.02)
    assert found["at_threshold"]["threshold"] == settled["questions"]["pneumonia"]["threshold"]
    decided = clinical.decide(test.predictions, TWO, settled)
    called = [prediction.value == "pneumonia" for prediction in decided]
    assert sum(called) == found["at_threshold"]["tp"] + found["at_threshold"]["fp"]
    assert json.loads(json.dumps(settled)) == settled


def test_nothing_can_be_settled_on_the_test_part() -> None:
    with pytest.raises(DataError, match="come from validation only"):
        Clinical().settle(_two("test", 50, 0), TWO)


def test_patients_with_several_pictures_are_resampled_whole_and_widen_the_interval() -> None:
    clinical = Clinical()
    one = clinical.measure(_two("test", 400, 2), TWO, clinical.settle(_two("val", 400, 3), TWO))
    several = clinical.measure(_two("test", 400, 2, patients=40), TWO, clinical.settle(_two("val", 400, 3), TWO))
    assert one["questions"]["pneumonia"]["auroc"]["method"] == "DeLong"
    assert several["questions"]["pneumonia"]["auroc"]["method"] == "bootstrap of 40 patients"
    assert several["questions"]["pneumonia"]["patients"] == 40


def test_one_class_only_is_said_and_never_a_number() -> None:
    clinical = Clinical()
    settled = clinical.settle(_two("val", 100, 0), TWO)
    sick = [Example(str(i), None, "pneumonia") for i in range(5)]
    found = clinical.measure(Outcome("run", "test", sick, [_yes_no(0.9)] * 5), TWO, settled)["questions"]["pneumonia"]
    assert found["undefined"] == "n/a (only one class)"
    assert "auroc" not in found


def test_without_validation_the_threshold_is_one_half_and_says_why() -> None:
    settled = Clinical().settle(Outcome("run", "val", [], []), TWO)
    question = settled["questions"]["pneumonia"]
    assert question["threshold"] == 0.5 and not question["is_met"] and "n = 0" in question["reason"]


def test_small_subgroups_are_hidden_and_large_ones_measured() -> None:
    clinical = Clinical()
    settled = clinical.settle(_two("val", 400, 0), TWO)
    large = clinical.measure(_two("test", 400, 1, sex=True), TWO, settled)["questions"]["pneumonia"]["subgroups"]["sex"]
    small = clinical.measure(_two("test", 24, 1, sex=True), TWO, settled)["questions"]["pneumonia"]["subgroups"]["sex"]
    assert set(large) == {"F", "M"} and large["F"]["auroc"]["value"] > 0.7
    assert small["F"]["hidden"] and "auroc" not in small["F"] and not any(ch in small["F"]["n"] for ch in "789")


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ({"a": 200, "b": 100, "c": 12}, ["a"]),
        ({"a": 200, "b": 100, "c": 12, "d": 8}, ["a", "b"]),
        ({"a": 200, "b": 100}, ["a", "b"]),
        ({"a": 200, "b": 12}, []),
    ],
    ids=str,
)
def test_a_hidden_value_cannot_be_told_from_the_sum_over_its_column(counts: dict[str, int], shown: list[str]) -> None:
    values = [name for name, count in counts.items() for _ in range(count)]
    examples = [Example(str(i), None, "normal", meta={"subgroups": {"site": name}}) for i, name in enumerate(values)]
    assert shown_cells(cells_of(examples, pairs=False)["site"], np.arange(len(values)) % 2 == 0) == shown


def test_how_much_more_is_missed_in_one_subgroup_than_in_another_is_told_with_its_interval() -> None:
    """Women of whom each third sick one was made to look well: a third more of them is missed."""
    rng = np.random.default_rng(5)
    examples, predictions = [], []
    for i in range(600):
        is_sick, sex = bool(rng.random() < 0.5), "FM"[i % 2]
        seems_sick = is_sick and not (sex == "F" and rng.random() < 1 / 3)
        examples.append(Example(str(i), None, "pneumonia" if is_sick else "normal", meta={"subgroups": {"sex": sex}}))
        predictions.append(_yes_no(float(np.clip((0.8 if seems_sick else 0.2) + rng.normal(0, 0.02), 0, 1))))
    clinical = Clinical()
    settled = clinical.settle(_two("val", 400, 0), TWO)
    settled["questions"]["pneumonia"]["threshold"] = 0.3
    found = clinical.measure(Outcome("run", "test", examples, predictions), TWO, settled)["questions"]["pneumonia"]
    missed = found["gaps"]["sex"]["false_negative_rate"]
    assert (missed["worst"], missed["best"]) == ("F", "M")
    assert missed["low"] < 1 / 3 < missed["high"] and missed["value"] == pytest.approx(1 / 3, abs=0.1)
    at = found["at_threshold"]
    assert at["f1"]["value"] == pytest.approx(2 * at["tp"] / (2 * at["tp"] + at["fp"] + at["fn"]))
    assert at["f1"]["low"] < at["f1"]["value"] < at["f1"]["high"]
    small = clinical.measure(_two("test", 24, 1, sex=True), TWO, settled)["questions"]["pneumonia"]
    assert small["gaps"] == {}, "cells that are hidden are not compared either"


def _by_sex_and_age(split: str, counts: dict[tuple[str, str], int], seed: int) -> Outcome:
    """So many examples of each sex and age band, half of them sick; scores of women over 60 say nothing."""
    rng = np.random.default_rng(seed)
    examples, predictions = [], []
    for (sex, age), count in counts.items():
        for i in range(count):
            is_sick, is_blind = i % 2 == 1, (sex, age) == ("F", "60-79")
            score = rng.normal(0 if is_blind else 2 * is_sick - 1, 1)
            name, meta = f"{split}-{sex}-{age}-{i}", {"subgroups": {"sex": sex, "age": age}}
            examples.append(Example(name, None, "pneumonia" if is_sick else "normal", meta=meta))
            predictions.append(_yes_no(float(1 / (1 + np.exp(-2 * score)))))
    return Outcome("run", split, examples, predictions)


def test_a_group_that_only_two_subgroups_together_tell_is_measured() -> None:
    """Women and the old are both half well served; old women are not served at all."""
    counts = {(sex, age): 80 for sex in "FM" for age in ("40-59", "60-79")}
    clinical = Clinical()
    settled = clinical.settle(_by_sex_and_age("val", counts, 0), TWO)
    found = clinical.measure(_by_sex_and_age("test", counts, 1), TWO, settled)["questions"]["pneumonia"]
    both = found["subgroups"]["sex x age"]
    assert set(both) == {"F x 40-59", "F x 60-79", "M x 40-59", "M x 60-79"}
    assert both["F x 60-79"]["n"] == 80 and both["F x 60-79"]["auroc"]["high"] < 0.7 < both["M x 60-79"]["auroc"]["low"]
    assert found["subgroups"]["sex"]["F"]["auroc"]["value"] > 0.65, "women as a whole hide it"
    gap = found["gaps"]["sex x age"]["false_negative_rate"]
    assert gap["worst"] == "F x 60-79" or found["gaps"]["sex x age"]["false_positive_rate"]["worst"] == "F x 60-79"
    alone = Clinical(pairs=False).measure(_by_sex_and_age("test", counts, 1), TWO, settled)["questions"]["pneumonia"]
    assert set(alone["subgroups"]) == {"sex", "age"}


def test_a_small_crossed_cell_is_hidden_and_cannot_be_told_from_sums() -> None:
    counts = {("F", "40-59"): 60, ("F", "60-79"): 14, ("F", "80 and over"): 40, ("M", "40-59"): 60, ("M", "60-79"): 60,
              ("M", "80 and over"): 50}  # fmt: skip
    clinical = Clinical()
    settled = clinical.settle(_by_sex_and_age("val", counts, 0), TWO)
    outcome = _by_sex_and_age("test", counts, 1)
    found = clinical.measure(outcome, TWO, settled)["questions"]["pneumonia"]["subgroups"]["sex x age"]
    hidden = {value for value, cell in found.items() if cell.get("hidden")}
    assert "F x 60-79" in hidden, "seven of each class"
    for side in (0, 1):
        lines = [value.split(" x ")[side] for value in hidden]
        assert all(lines.count(line) != 1 for line in lines), "the only one of its row or column would be the sum's rest"
    assert hidden == {"F x 60-79", "F x 80 and over", "M x 60-79", "M x 80 and over"}
    assert all("auroc" not in found[value] for value in hidden)
    looser = Clinical(smallest=5).measure(outcome, TWO, settled)["questions"]["pneumonia"]["subgroups"]["sex x age"]
    assert not any(cell.get("hidden") for cell in looser.values())
    with pytest.raises(UsageError, match="may point at a person"):
        Clinical(smallest=3)


def test_a_score_that_is_not_finite_is_refused() -> None:
    outcome = Outcome("run", "val", [Example("a", None, "normal")], [_yes_no(float("nan"))])
    with pytest.raises(DataError, match="not finite"):
        Clinical().settle(outcome, TWO)


def test_findings_are_questions_of_their_own_and_unknown_ones_are_left_out() -> None:
    rng = np.random.default_rng(0)

    def outcome(split: str) -> Outcome:
        examples, predictions = [], []
        for i in range(200):
            truth = rng.random(2) < 0.4
            said = np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.15, 2), 0.01, 0.99)
            target = tuple(label for label, holds in zip(FINDINGS.labels, truth, strict=True) if holds)
            meta = {"unknown": ("edema",)} if i < 50 else {}
            examples.append(Example(f"{split}{i}", None, target, meta=meta))
            predictions.append(Prediction((), dict(zip(FINDINGS.labels, map(float, said), strict=True))))
        return Outcome("run", split, examples, predictions)

    clinical = Clinical()
    settled = clinical.settle(outcome("val"), FINDINGS)
    test = outcome("test")
    found = clinical.measure(test, FINDINGS, settled)["questions"]
    assert (found["edema"]["n"], found["effusion"]["n"]) == (150, 200)
    decided = clinical.decide(test.predictions, FINDINGS, settled)
    threshold = settled["questions"]["effusion"]["threshold"]
    assert all(("effusion" in p.value) == (p.probabilities["effusion"] >= threshold) for p in decided if p.probabilities)


def test_grades_keep_their_likeliest_class_and_get_a_weighted_kappa() -> None:
    rng = np.random.default_rng(1)

    def outcome(split: str) -> Outcome:
        logits = rng.normal(0, 1, (300, 4))
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        truth = [GRADES.labels[rng.choice(4, p=row)] for row in share]
        sharp = share**3 / (share**3).sum(axis=1, keepdims=True)
        predictions = [
            Prediction(GRADES.labels[int(row.argmax())], dict(zip(GRADES.labels, map(float, row), strict=True)))
            for row in sharp
        ]
        return Outcome("run", split, [Example(f"{split}{i}", None, t) for i, t in enumerate(truth)], predictions)

    clinical = Clinical()
    settled = clinical.settle(outcome("val"), GRADES)
    assert settled["temperature"] == pytest.approx(3, rel=0.3)
    test = outcome("test")
    assert -1 <= clinical.measure(test, GRADES, settled)["quadratic_kappa"] <= 1
    decided = clinical.decide(test.predictions, GRADES, settled)
    assert [p.value for p in decided] == [p.value for p in test.predictions]
