"""Clinical figures against brute force, scikit-learn and numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from headstart.errors import DataError, UsageError
from headstart_healthcare.clinical.calibration import Platt, curve, fit_platt, fit_temperature, quality, with_temperature
from headstart_healthcare.clinical.delong import area, difference
from headstart_healthcare.clinical.net_benefit import net_benefit
from headstart_healthcare.clinical.operating_point import Table, choose, sensitivity_at


def _case(seed: int, n: int = 60, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    truth[:2] = (0, 1)
    first, second = truth + rng.normal(0, 1, n), truth + rng.normal(0, 2, n)
    return (truth, first.round(), second.round()) if ties else (truth, first, second)


def _brute(truth: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Every pair of a positive and a negative, by the definition in DeLong et al. 1988."""
    wins = (score[truth == 1][:, None] > score[truth == 0]) + 0.5 * (score[truth == 1][:, None] == score[truth == 0])
    return float(wins.mean()), wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_area_and_its_variance_equal_the_definition_over_all_pairs(seed: int, ties: bool) -> None:
    truth, score, _ = _case(seed, ties=ties)
    value, rows, columns = _brute(truth, score)
    found = area(truth, score)
    assert found is not None
    assert found.value == pytest.approx(value, abs=1e-12) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert found.variance == pytest.approx(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns), abs=1e-12)
    assert 0 <= found.low < found.value < found.high <= 1


@pytest.mark.parametrize("ties", [False, True])
def test_paired_difference_equals_the_covariance_form(ties: bool) -> None:
    truth, first, second = _case(3, ties=ties)
    (a, rows_a, columns_a), (b, rows_b, columns_b) = _brute(truth, first), _brute(truth, second)
    covariance = np.cov(rows_a, rows_b) / len(rows_a) + np.cov(columns_a, columns_b) / len(columns_a)
    deviation = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = difference(truth, first, second)
    assert found is not None
    assert found.value == pytest.approx(a - b)
    assert found.p == pytest.approx(2 * norm.sf(abs(a - b) / deviation))


def test_equal_scores_differ_by_nothing() -> None:
    truth, score, _ = _case(1)
    found = difference(truth, score, score)
    assert found is not None and (found.value, found.p) == (0.0, 1.0)


def test_the_margin_of_equivalence_is_where_both_one_sided_tests_reject():
    """By hand from the standard error; and among pairs as far apart as a margin, 5 in 100 are called equivalent in it."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 2, 300)
    first, second = (truth * strength + rng.normal(size=300) for strength in (1.5, 1.4))
    found = difference(truth, first, second)
    error = (found.high - found.low) / (2 * norm.ppf(0.975))
    for margin, is_equal in ((found.within + 1e-6, True), (found.within - 1e-6, False)):
        lower, upper = norm.sf((found.value + margin) / error), norm.cdf((found.value - margin) / error)
        assert (max(lower, upper) < 0.05) == is_equal
    assert found.within > abs(found.value)
    called = []
    for _ in range(400):
        base = rng.normal(size=200)
        truth = np.repeat([0, 1], 100)
        one, other = (truth * strength + 0.8 * base + 0.6 * rng.normal(size=200) for strength in (1.5, 1.0))
        called.append(difference(truth, one, other).within < norm.cdf(1.5 / 2**0.5) - norm.cdf(1 / 2**0.5))
    assert 0.02 < np.mean(called) < 0.09


def test_one_class_only_has_no_area_and_scores_that_are_not_finite_are_refused() -> None:
    assert area(np.ones(4), np.arange(4.0)) is None
    with pytest.raises(DataError, match="1 scores are not finite"):
        area(np.array([0, 1]), np.array([0.2, np.nan]))


def test_the_interval_covers_the_true_area_in_about_95_of_100_samples() -> None:
    rng, true = np.random.default_rng(0), float(norm.cdf(1 / np.sqrt(2)))
    covered = 0
    for _ in range(400):
        truth = np.repeat([0, 1], 50)
        found = area(truth, truth + rng.normal(0, 1, 100))
        assert found is not None
        covered += found.low <= true <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_youdens_threshold_is_the_best_of_scikit_learns_roc_curve() -> None:
    truth, score, _ = _case(2)
    probability = 1 / (1 + np.exp(-score))
    table = Table.at(choose(truth, probability).threshold, truth, probability)
    false, true, _ = roc_curve(truth, probability)
    shares = table.shares()
    assert shares["sensitivity"] is not None and shares["specificity"] is not None
    assert shares["sensitivity"].value + shares["specificity"].value - 1 == pytest.approx((true - false).max())


def test_a_demanded_sensitivity_is_kept_with_the_most_specificity() -> None:
    truth, probability = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([0.1, 0.3, 0.6, 0.2, 0.5, 0.7, 0.8, 0.9])
    point = choose(truth, probability, rule="sensitivity", at_least=0.8)
    assert Table.at(point.threshold, truth, probability) == Table(tp=4, fp=1, fn=1, tn=2)
    assert point.is_met and "sensitivity of at least 0.8" in point.reason


def test_a_demand_that_cannot_be_met_says_so() -> None:
    point = choose(np.array([1, 0]), np.array([0.2, 0.9]), rule="ppv", at_least=0.9)
    assert not point.is_met and "the most is 0.500" in point.reason


def test_a_high_cost_of_misses_lowers_the_threshold() -> None:
    truth, score, _ = _case(4, 200)
    probability = 1 / (1 + np.exp(-score))
    cheap, dear = (choose(truth, probability, rule="cost", cost_ratio=ratio).threshold for ratio in (0.2, 20))
    assert dear < cheap


def test_a_threshold_needs_both_classes() -> None:
    with pytest.raises(UsageError, match="both classes"):
        choose(np.ones(3), np.full(3, 0.5))


def test_sensitivity_at_a_specificity_reads_the_curve() -> None:
    truth, probability = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.8, 0.5, 0.9])
    strict, lax = sensitivity_at(truth, probability, 1.0), sensitivity_at(truth, probability, 0.75)
    assert strict is not None and strict.value == 0.5
    assert lax is not None and lax.value == 1.0


def test_nothing_to_divide_by_is_none_never_nan() -> None:
    assert Table(tp=0, fp=0, fn=0, tn=5).shares()["sensitivity"] is None


def test_platt_mends_probabilities_that_are_too_extreme() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, 4000)
    truth = (rng.random(4000) < 1 / (1 + np.exp(-logits))).astype(int)
    extreme = 1 / (1 + np.exp(-(3 * logits + 1)))
    before, after = quality(truth, extreme), quality(truth, fit_platt(truth, extreme).apply(extreme))
    assert before.slope == pytest.approx(1 / 3, abs=0.05)
    assert after.slope == pytest.approx(1, abs=0.02)
    assert after.intercept == pytest.approx(0, abs=0.02)
    assert after.ece < before.ece / 4 and after.brier < before.brier
    assert before.brier == pytest.approx(brier_score_loss(truth, extreme))


def test_too_few_examples_of_a_class_leave_probabilities_as_they_are() -> None:
    assert fit_platt(np.array([1, 0, 0, 0, 0, 0]), np.linspace(0.1, 0.9, 6)) == Platt()


def test_temperature_finds_the_factor_that_was_put_in() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (5000, 3))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in share])
    sharp = with_temperature(share, 0.5)
    assert fit_temperature(truth, sharp) == pytest.approx(2, rel=0.1)
    assert np.array_equal(with_temperature(sharp, 2).argmax(axis=1), share.argmax(axis=1))


def test_the_calibration_curve_counts_every_example_once() -> None:
    truth, score, _ = _case(5, 103, ties=True)
    assert sum(point["n"] for point in curve(truth, 1 / (1 + np.exp(-score)))) == 103


def test_net_benefit_by_hand() -> None:
    truth, probability = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    (point,) = net_benefit(truth, probability, [0.5])
    assert point == {"threshold": 0.5, "model": 0.25 - 0.25, "all": 0.5 - 0.5}
