"""Calibration: whether a probability of 0.8 comes true in 8 of 10, measured anywhere, mended on validation only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax

LEAST = 1e-6  # probabilities are kept this far from 0 and 1 before their logit is taken
BINS = 10
LEAST_OF_EACH = 5  # examples of each class, below which a line through logits is noise


@dataclass(frozen=True)
class Platt:
    """Probability = sigmoid(slope x logit + intercept) (Platt 1999); slope 1 and intercept 0 change nothing."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [N] of the positive class; their order stays, as the slope is never negative."""
        calibrated: np.ndarray = expit(self.slope * _logit(probability) + self.intercept)
        return calibrated


@dataclass(frozen=True)
class Quality:
    """How well probabilities are calibrated.

    Attributes:
        brier: Mean squared error of the probability (Brier 1950); lower is better.
        skill: 1 - brier / brier of always saying the prevalence; above 0 is better than that.
        ece: Expected calibration error over bins of equal counts.
        slope: Of the logits in a logistic regression on the truth; below 1 = too extreme; None = cannot be told.
        intercept: Of that regression with the slope held at 1; above 0 = probabilities too low on the whole; None likewise.
    """

    brier: float
    skill: float | None
    ece: float
    slope: float | None
    intercept: float | None


def fit_platt(is_positive: np.ndarray, probability: np.ndarray) -> Platt:
    """Platt's line through the validation examples, his smoothed targets included; no change where a class is too rare.

    Args:
        is_positive: Truth [N].
        probability: Of the positive class [N].
    """
    positives = int(is_positive.sum())
    negatives = len(is_positive) - positives
    if min(positives, negatives) < LEAST_OF_EACH:
        return Platt()
    target = np.where(is_positive.astype(bool), (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _line(target, _logit(probability))
    return Platt(slope, intercept) if slope > 0 else Platt()


def fit_temperature(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that makes the validation examples likeliest (Guo et al. 2017, section 4.2).

    Args:
        truth: Number of the right class [N].
        probabilities: [N, K].

    Returns:
        A number > 0; logits are divided by it, 1 changes nothing.
    """
    logits = np.log(np.clip(probabilities, LEAST, None))

    def loss(at: np.ndarray) -> float:
        return float(-log_softmax(logits / np.exp(at[0]), axis=1)[np.arange(len(truth)), truth].mean())

    found = minimize(loss, np.zeros(1), method="Nelder-Mead", bounds=[(-3, 3)])
    return float(np.exp(found.x[0]))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [N, K] at another temperature; the likeliest class stays the same."""
    calibrated: np.ndarray = softmax(np.log(np.clip(probabilities, LEAST, None)) / temperature, axis=1)
    return calibrated


def quality(is_positive: np.ndarray, probability: np.ndarray) -> Quality:
    """Brier score, expected calibration error, calibration slope and intercept (Van Calster et al. 2019) of [N] examples."""
    truth = is_positive.astype(float)
    brier, share = float(np.mean((probability - truth) ** 2)), float(truth.mean())
    reference = share * (1 - share)
    slope = intercept = None
    if min(truth.sum(), len(truth) - truth.sum()) >= LEAST_OF_EACH:
        logits = _logit(probability)
        slope = _line(truth, logits)[0] if np.ptp(logits) > 0 else None
        intercept = _shift(truth, logits)
    return Quality(brier, 1 - brier / reference if reference else None, _ece(truth, probability), slope, intercept)


def curve(is_positive: np.ndarray, probability: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """Mean probability, observed share and count in bins of equal counts, lowest first; equal probabilities share a bin."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    where = np.searchsorted(edges, probability, side="right")
    return [
        {
            "expected": float(probability[where == at].mean()),
            "observed": float(is_positive[where == at].mean()),
            "n": int((where == at).sum()),
        }
        for at in np.unique(where)
    ]


def _ece(truth: np.ndarray, probability: np.ndarray) -> float:
    points = curve(truth, probability)
    return sum(point["n"] * abs(point["expected"] - point["observed"]) for point in points) / len(truth)


def _line(target: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression without penalty; targets may be soft."""

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        value = at[0] * logits + at[1]
        gap = expit(value) - target
        return float(np.mean(np.logaddexp(0, value) - target * value)), np.array([np.mean(gap * logits), np.mean(gap)])

    # separable classes have no finite slope: the bound stands for "as steep as can be"
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(-100, 100), (-100, 100)])
    return float(found.x[0]), float(found.x[1])


def _shift(truth: np.ndarray, logits: np.ndarray) -> float:
    """Intercept with the slope held at 1: calibration in the large."""

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        value = logits + at[0]
        return float(np.mean(np.logaddexp(0, value) - truth * value)), np.array([np.mean(expit(value) - truth)])

    return float(minimize(loss, np.zeros(1), jac=True, method="L-BFGS-B", bounds=[(-100, 100)]).x[0])


def _logit(probability: np.ndarray) -> np.ndarray:
    values: np.ndarray = logit(np.clip(probability, LEAST, 1 - LEAST))
    return values
