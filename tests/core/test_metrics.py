"""Scores equal scikit-learn's on the same examples, weighted or repeated, and are absent where they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from headstart.metrics import (
    classification_scores,
    expected_calibration_error,
    multilabel_scores,
    regression_scores,
    scores_for,
)
from headstart.predictions import SavedPrediction

LABELS = ("bad", "fine", "good")


def class_case(labels, *, n=200, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    targets = [labels[i] for i in rng.integers(0, len(labels), n)]
    logits = rng.normal(size=(n, len(labels))) + 1.2 * np.array([[t == label for label in labels] for t in targets])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities, 1) + 0.01
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    predictions = [
        SavedPrediction(labels[int(row.argmax())], dict(zip(labels, row.tolist(), strict=True))) for row in probabilities
    ]
    return targets, predictions, probabilities


def sklearn_scores(targets, predictions, probabilities, labels):
    values = [prediction.value for prediction in predictions]
    found = {
        "accuracy": sk.accuracy_score(targets, values),
        "macro_f1": sk.f1_score(targets, values, average="macro"),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, values),
        "mcc": sk.matthews_corrcoef(targets, values),
        "log_loss": sk.log_loss(targets, probabilities, labels=list(labels)),
    }
    if len(labels) == 2:
        truth = np.array([target == labels[1] for target in targets])
        found["auroc"] = sk.roc_auc_score(truth, probabilities[:, 1])
        found["average_precision"] = sk.average_precision_score(truth, probabilities[:, 1])
        found["brier"] = sk.brier_score_loss(truth, probabilities[:, 1])
    else:
        found["auroc"] = sk.roc_auc_score(targets, probabilities, multi_class="ovr", labels=list(labels))
        found["brier"] = sk.brier_score_loss(targets, probabilities, labels=list(labels))
    return found


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
@pytest.mark.parametrize("ties", [False, True])
def test_class_scores_equal_those_of_scikit_learn(labels, ties):
    targets, predictions, probabilities = class_case(labels, ties=ties)
    scores = classification_scores(labels, targets, predictions)
    expected = sklearn_scores(targets, predictions, probabilities, labels)
    assert set(scores) - {"ece"} == set(expected)
    for name, value in expected.items():
        assert scores[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
def test_weights_count_like_repeated_examples(labels):
    targets, predictions, probabilities = class_case(labels, n=60, seed=4, ties=True)
    weights = np.random.default_rng(1).integers(0, 4, 60)
    again = np.repeat(np.arange(60), weights)
    repeated = [targets[i] for i in again], [predictions[i] for i in again]
    expected = sklearn_scores(*repeated, probabilities[again], labels)
    scores = classification_scores(labels, targets, predictions, weights)
    assert scores == pytest.approx(classification_scores(labels, *repeated))
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_the_first_score_selects_the_model():
    targets, predictions, _ = class_case(LABELS)
    assert next(iter(classification_scores(LABELS, targets, predictions))) == "accuracy"
    numbers = [SavedPrediction(1.0), SavedPrediction(2.5), SavedPrediction(2.0)]
    assert next(iter(regression_scores([1.0, 2.0, 3.0], numbers))) == "r2"
    assert next(iter(multilabel_scores(("a", "b"), [("a",), ()], [SavedPrediction(("a",)), SavedPrediction(())]))) == "micro_f1"


def test_average_precision_follows_the_positive_label():
    targets, predictions, probabilities = class_case(("sick", "well"))
    scores = classification_scores(("sick", "well"), targets, predictions, positive="sick")
    truth = [target == "sick" for target in targets]
    assert scores["average_precision"] == pytest.approx(sk.average_precision_score(truth, probabilities[:, 0]))


def test_one_class_only_leaves_out_what_is_undefined():
    predictions = [SavedPrediction(value, {"no": 0.4, "yes": 0.6}) for value in ("yes", "yes", "no")]
    scores = classification_scores(("no", "yes"), ["yes"] * 3, predictions)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert not {"auroc", "average_precision", "mcc", "balanced_accuracy"} & set(scores)
    assert all(np.isfinite(value) for value in scores.values())


def test_a_constant_prediction_has_no_mcc():
    scores = classification_scores(("no", "yes"), ["yes", "no"], [SavedPrediction("yes")] * 2)
    assert "mcc" not in scores
    assert scores["balanced_accuracy"] == 0.5


def test_without_probabilities_there_are_only_scores_of_decisions():
    targets, predictions, _ = class_case(LABELS)
    bare = [SavedPrediction(prediction.value) for prediction in predictions]
    assert set(classification_scores(LABELS, targets, bare)) == {"accuracy", "macro_f1", "balanced_accuracy", "mcc"}


def test_a_label_that_was_never_seen_counts_as_an_error_of_probability_zero():
    predictions = [SavedPrediction("yes", {"no": 0.1, "yes": 0.9})] * 2
    scores = classification_scores(("no", "yes"), ["yes", "perhaps"], predictions)
    assert scores["accuracy"] == 0.5
    assert scores["log_loss"] > 15


def test_no_examples_give_no_scores():
    assert classification_scores(("no", "yes"), [], []) == {}
    assert regression_scores([], []) == {}
    assert multilabel_scores(("a",), [], []) == {}


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    is_right = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    expected = 4 / 6 * abs(0.75 - 0.95) + 2 / 6 * abs(0.5 - 0.55)
    assert expected_calibration_error(confidence, is_right) == pytest.approx(expected)


def test_regression_scores_equal_those_of_scikit_learn_and_scipy():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(3)
    truth = np.round(rng.normal(size=80), 1)  # rounded: ties
    guess = np.round(truth + rng.normal(scale=0.5, size=80), 1)
    weights = rng.integers(0, 3, 80)
    again = np.repeat(np.arange(80), weights)
    scores = regression_scores(truth.tolist(), [SavedPrediction(float(value)) for value in guess], weights)
    t, g = truth[again], guess[again]
    assert scores["r2"] == pytest.approx(sk.r2_score(t, g))
    assert scores["mae"] == pytest.approx(sk.mean_absolute_error(t, g))
    assert scores["rmse"] == pytest.approx(sk.root_mean_squared_error(t, g))
    assert scores["spearman"] == pytest.approx(spearmanr(t, g).statistic)


@pytest.mark.parametrize("value", [3.0, 0.1, 1e6])
def test_a_constant_truth_has_no_r2_and_no_rank_correlation(value):
    scores = regression_scores([value] * 4, [SavedPrediction(float(i)) for i in range(4)])
    assert set(scores) == {"mae", "rmse"}


def test_a_truth_far_from_zero_keeps_its_r2():
    truth = [1e6 + i for i in range(10)]
    scores = regression_scores(truth, [SavedPrediction(value + 0.5) for value in truth])
    assert scores["r2"] == pytest.approx(sk.r2_score(truth, [value + 0.5 for value in truth]))


def test_multilabel_scores_equal_those_of_scikit_learn():
    labels = ("a", "b", "c", "never")
    rng = np.random.default_rng(5)
    truth = rng.random((90, 3)) < 0.4
    probabilities = np.clip(truth * 0.4 + rng.random((90, 3)) * 0.7, 0, 1)
    called = probabilities > 0.5
    names = np.array(labels[:3])
    targets = [tuple(names[row]) for row in truth]
    predictions = [
        SavedPrediction(tuple(names[row]), {**dict(zip(labels, p.tolist(), strict=False)), "never": 0.0})
        for row, p in zip(called, probabilities, strict=True)
    ]
    scores = multilabel_scores(labels, targets, predictions)
    assert scores["micro_f1"] == pytest.approx(sk.f1_score(truth, called, average="micro"))
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(truth, called, average="macro"))
    assert scores["subset_accuracy"] == pytest.approx(sk.accuracy_score(truth, called))
    assert scores["hamming_loss"] * 4 / 3 == pytest.approx(sk.hamming_loss(truth, called))  # over 4 labels, one never set
    expected = sk.average_precision_score(truth, probabilities, average="macro")
    assert scores["mean_average_precision"] == pytest.approx(expected)


def test_no_label_anywhere_leaves_f1_undefined():
    scores = multilabel_scores(("a",), [(), ()], [SavedPrediction(()), SavedPrediction(())])
    assert scores == {"subset_accuracy": 1.0, "hamming_loss": 0.0}


def test_scores_are_found_by_kind_of_target():
    targets, predictions, _ = class_case(LABELS)
    score = scores_for("class", LABELS)
    assert score is not None
    assert score(predictions, targets, None) == classification_scores(LABELS, targets, predictions)
    assert scores_for("span") is None
