"""Intervals cover what they claim, respect groups and are quick."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.errors import UsageError
from headstart.example import Example
from headstart.intervals import LEVEL, wilson
from headstart.metrics import classification_scores, paired_difference, score_intervals
from headstart.predictions import SavedOutcome, SavedPrediction

LABELS = ("no", "yes")


def score(predictions, targets, weights=None):
    return classification_scores(LABELS, targets, predictions, weights)


def outcome(right, *, groups=None, probability=None, seed=0, ids=None):
    """An outcome whose i-th prediction is right where `right[i]`."""
    rng = np.random.default_rng(seed)
    n = len(right)
    truth = rng.random(n) < 0.5
    examples = [
        Example(ids[i] if ids else f"e{i}", None, LABELS[int(truth[i])], groups[i] if groups else None) for i in range(n)
    ]
    predictions = []
    for i in range(n):
        says = int(truth[i]) if right[i] else 1 - int(truth[i])
        p = 0.5 + (0.5 if says else -0.5) * (probability[i] if probability is not None else 0.8)
        predictions.append(SavedPrediction(LABELS[says], {"no": 1 - p, "yes": p}))
    return SavedOutcome("run", "test", -1, examples, predictions)


def test_accuracy_without_groups_has_wilsons_interval():
    found = score_intervals(score, outcome([True] * 45 + [False] * 5), resamples=50)["accuracy"]
    assert found.method == "Wilson"
    assert (found.value, found.n) == (0.9, 50)
    assert (found.low, found.high) == pytest.approx((0.7864, 0.9565), abs=1e-4)  # Wilson 1927, 45 of 50


def test_wilsons_interval_is_scipys_to_the_bit_and_needs_no_import_of_its_statistics():
    for n in (1, 2, 7, 50, 153, 10_007):
        for right in sorted({0, 1, n // 3, n - 1, n}):
            theirs = binomtest(right, n).proportion_ci(confidence_level=LEVEL, method="wilson")
            assert (wilson(right, n).low, wilson(right, n).high) == (theirs.low, theirs.high), (right, n)
    code = "import sys; from headstart.intervals import wilson; wilson(3, 4); print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_groups_widen_the_interval_of_dependent_examples():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(30) < 0.7, 20).tolist()  # a patient is right throughout or wrong throughout
    groups = [f"patient {i}" for i in range(30) for _ in range(20)]
    alone = score_intervals(score, outcome(right), resamples=300)["accuracy"]
    grouped = score_intervals(score, outcome(right, groups=groups), resamples=300)["accuracy"]
    assert grouped.method == "percentile bootstrap of 30 groups"
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)


def test_groups_of_one_are_no_groups():
    right = [True, False] * 10
    grouped = outcome(right, groups=[f"g{i}" for i in range(20)])
    assert score_intervals(score, grouped, resamples=20)["accuracy"].method == "Wilson"


def test_bootstrap_agrees_with_the_known_spread_of_a_mean():
    rng = np.random.default_rng(1)
    sure = rng.random(400)
    found = score_intervals(score, outcome([True] * 400, probability=sure))["brier"]
    each = ((1 - sure) / 2) ** 2  # squared gap to the truth
    half = 1.96 * each.std() / np.sqrt(400)
    assert found.value == pytest.approx(each.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_nine_in_ten_intervals_or_more_hold_the_true_value():
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(60):
        case = outcome((rng.random(200) < 0.8).tolist(), seed=100 + seed)
        found = score_intervals(score, case, seed=seed, resamples=300)["balanced_accuracy"]
        hits += found.low <= 0.8 <= found.high
    assert hits >= 52  # 95 % of 60 = 57; 52 is three standard deviations under


def test_same_seed_same_interval():
    case = outcome([True, True, False] * 20)
    assert score_intervals(score, case, resamples=50) == score_intervals(score, case, resamples=50)
    assert score_intervals(score, case, seed=1, resamples=50) != score_intervals(score, case, resamples=50)


def test_examples_without_a_target_are_left_out():
    case = outcome([True] * 8 + [False] * 2)
    unlabelled = SavedOutcome(
        "run", "test", -1, [*case.examples, Example("x", None)], [*case.predictions, SavedPrediction("no", {"no": 1.0})]
    )
    assert score_intervals(score, unlabelled, resamples=20)["accuracy"].n == 10
    assert score_intervals(score, SavedOutcome("run", "test", -1, [], []), resamples=20) == {}


def test_a_score_that_most_resamples_do_not_define_gets_no_interval():
    examples = [Example(f"e{i}", None, "yes" if i == 0 else "no") for i in range(30)]  # 36 % of resamples lack the "yes"
    predictions = [SavedPrediction("no", {"no": 0.9, "yes": 0.1 + i / 100}) for i in range(30)]
    found = score_intervals(score, SavedOutcome("run", "test", -1, examples, predictions), resamples=200)
    assert "auroc" not in found
    assert found["accuracy"].value == pytest.approx(29 / 30)


def test_a_score_of_a_foreign_head_gets_its_interval_too():
    def share_of_yes(predictions, targets, weights=None):
        says = np.array([prediction.value == "yes" for prediction in predictions], dtype=float)
        return {"share": float(np.average(says, weights=weights))}

    found = score_intervals(share_of_yes, outcome([True] * 60), resamples=200)["share"]
    assert found.low < found.value < found.high


def test_paired_difference_is_narrower_than_two_separate_intervals():
    rng = np.random.default_rng(3)
    base = rng.random(500) < 0.7
    better = base | (rng.random(500) < 0.2)
    a, b = outcome(better.tolist()), outcome(base.tolist())
    paired = paired_difference(score, a, b, resamples=300)["accuracy"]
    single = score_intervals(score, a, resamples=50)["accuracy"]
    assert paired.value == pytest.approx(better.mean() - base.mean())
    assert paired.low > 0
    assert paired.high - paired.low < single.high - single.low
    assert paired.method == "paired bootstrap"


def test_paired_difference_matches_examples_by_id_not_by_position():
    right = [True, True, False, True, False, True, True, False]
    a = outcome(right)
    order = list(reversed(range(8)))
    b = SavedOutcome("tfidf", "test", -1, [a.examples[i] for i in order], [a.predictions[i] for i in order])
    assert paired_difference(score, a, b, resamples=50)["accuracy"].high == 0.0


def test_paired_difference_refuses_other_examples():
    a, b = outcome([True] * 6), outcome([True] * 6, ids=[f"other {i}" for i in range(6)])
    with pytest.raises(UsageError, match="0 of 6 and 6 are shared"):
        paired_difference(score, a, b, resamples=10)


def test_a_thousand_resamples_of_three_thousand_examples_take_under_three_seconds():
    rng = np.random.default_rng(4)
    case = outcome((rng.random(3000) < 0.8).tolist(), probability=rng.random(3000))
    started = time.process_time()
    found = score_intervals(score, case)
    assert time.process_time() - started < 3
    assert len(found) == 9
