"""DeLong: the area under the ROC curve with its interval, and two of them compared on the same patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from headstart.errors import DataError

LEVEL = 0.95


@dataclass(frozen=True)
class Area:
    """An area under the ROC curve.

    Attributes:
        value: In [0, 1]; ties count half.
        low: Lower end of the 95 % interval, on the logit scale, so that it stays in [0, 1].
        high: Upper end.
        variance: DeLong's, of `value`.
    """

    value: float
    low: float
    high: float
    variance: float


@dataclass(frozen=True)
class Difference:
    """First minus second area on the same examples.

    Attributes:
        value: In [-1, 1].
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided p value of no difference; 1 where the two rank all pairs alike.
        within: The least margin in which the two are equivalent by two one-sided tests at 5 % (Schuirmann 1987): whoever wrote
            down a wider one beforehand may call them equal.
    """

    value: float
    low: float
    high: float
    p: float
    within: float


def area(is_positive: np.ndarray, score: np.ndarray) -> Area | None:
    """The area with DeLong's interval (DeLong et al. 1988, by mid-ranks as in Sun and Xu 2014).

    Args:
        is_positive: Truth [N].
        score: Higher = more likely positive [N].

    Returns:
        None where the examples are all of one class.

    Raises:
        DataError: A score is not finite.
    """
    found = _components(is_positive, score)
    if found is None:
        return None
    value, of_positives, of_negatives = found
    variance = _variance(of_positives) / len(of_positives) + _variance(of_negatives) / len(of_negatives)
    return Area(value, *_logit_interval(value, variance), variance)


def difference(is_positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> Difference | None:
    """Paired comparison of two areas (DeLong et al. 1988, equation 5); None where the examples are all of one class.

    Raises:
        DataError: A score is not finite.
    """
    ours, theirs = _components(is_positive, first), _components(is_positive, second)
    if ours is None or theirs is None:
        return None
    gap = ours[0] - theirs[0]
    parts = [a - b for a, b in zip(ours[1:], theirs[1:], strict=True)]
    deviation = float(np.sqrt(sum(_variance(part) / len(part) for part in parts)))
    if deviation == 0:
        return Difference(gap, gap, gap, 1.0 if gap == 0 else 0.0, abs(gap))
    within = abs(gap) + float(norm.ppf(LEVEL)) * deviation
    reach = float(norm.ppf((1 + LEVEL) / 2)) * deviation
    return Difference(gap, max(-1.0, gap - reach), min(1.0, gap + reach), float(2 * norm.sf(abs(gap) / deviation)), within)


def _components(is_positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
    """The area, and for each positive [P] and each negative [M] the share of the other class that it is placed right of."""
    if not np.isfinite(score).all():
        raise DataError(f"{int((~np.isfinite(score)).sum())} scores are not finite; an area under the curve has no meaning")
    truth = is_positive.astype(bool)
    positives, negatives = score[truth], score[~truth]
    if not len(positives) or not len(negatives):
        return None
    together = rankdata(np.concatenate((positives, negatives)))
    above = (together[: len(positives)] - rankdata(positives)) / len(negatives)
    below = 1 - (together[len(positives) :] - rankdata(negatives)) / len(positives)
    return float(above.mean()), above, below


def _variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _logit_interval(value: float, variance: float) -> tuple[float, float]:
    """On the logit scale (Pepe 2003, section 5.2.4); a value of 0 or 1 has no logit, and DeLong's interval no width there."""
    if value in {0.0, 1.0} or variance == 0:
        return value, value
    centre = np.log(value / (1 - value))
    reach = float(norm.ppf((1 + LEVEL) / 2)) * np.sqrt(variance) / (value * (1 - value))
    return float(1 / (1 + np.exp(reach - centre))), float(1 / (1 + np.exp(-reach - centre)))
