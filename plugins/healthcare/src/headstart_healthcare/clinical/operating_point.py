"""The operating point: one threshold, chosen on validation and never again, and what it means for patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headstart.errors import UsageError
from headstart.intervals import Interval, wilson

Rule = Literal["youden", "sensitivity", "specificity", "ppv", "cost"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and how it came about.

    Attributes:
        threshold: An example is called positive at or above it.
        rule: By which it was chosen.
        reason: In words for people.
        is_met: Whether the demand of the rule could be met on validation.
    """

    threshold: float
    rule: Rule
    reason: str
    is_met: bool = True


@dataclass(frozen=True)
class Table:
    """Counts at a threshold: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def at(cls, threshold: float, is_positive: np.ndarray, probability: np.ndarray) -> Table:
        """Count [N] examples; one is called positive at or above the threshold."""
        truth, called = is_positive.astype(bool), probability >= threshold
        return cls(
            int((truth & called).sum()),
            int((~truth & called).sum()),
            int((truth & ~called).sum()),
            int((~truth & ~called).sum()),
        )

    def shares(self) -> dict[str, Interval | None]:
        """Sensitivity, specificity, PPV and NPV with Wilson's intervals; None where there is nothing to divide by."""
        pairs = {
            "sensitivity": (self.tp, self.tp + self.fn),
            "specificity": (self.tn, self.tn + self.fp),
            "ppv": (self.tp, self.tp + self.fp),
            "npv": (self.tn, self.tn + self.fn),
        }
        return {name: wilson(right, n) if n else None for name, (right, n) in pairs.items()}


def choose(
    is_positive: np.ndarray, probability: np.ndarray, *, rule: Rule = "youden", at_least: float = 0.9, cost_ratio: float = 1.0
) -> OperatingPoint:
    """Choose a threshold on the validation examples.

    Args:
        is_positive: Truth [N].
        probability: Of the positive class [N], in [0, 1].
        rule: "youden" = largest sensitivity + specificity - 1 (Youden 1950); "sensitivity", "specificity", "ppv" = at least
            `at_least` of it and then the most of its counterpart (specificity, sensitivity, sensitivity); "cost" = least
            `cost_ratio` x missed + falsely called.
        at_least: Demanded share, in (0, 1].
        cost_ratio: Harm of one missed positive in falsely called negatives, > 0.

    Raises:
        UsageError: Only one class occurs, so nothing can be chosen.
    """
    truth = is_positive.astype(bool)
    if truth.all() or not truth.any():
        raise UsageError("an operating point needs both classes in the validation part; validation has only one class")
    thresholds, sensitivity, specificity, ppv = _curve(truth, probability)
    wanted = {"sensitivity": sensitivity, "specificity": specificity, "ppv": ppv}
    if rule in wanted:
        other = specificity if rule == "sensitivity" else sensitivity
        return _demanded(thresholds, wanted[rule], other, rule, at_least)
    share = float(truth.mean())
    gain = (
        sensitivity + specificity
        if rule == "youden"
        else -(cost_ratio * share * (1 - sensitivity) + (1 - share) * (1 - specificity))
    )
    threshold = _middle(thresholds, int(np.argmax(gain)))
    words = (
        "the largest sensitivity + specificity"
        if rule == "youden"
        else f"the least cost, one miss as {cost_ratio:g} false alarms"
    )
    return OperatingPoint(threshold, rule, f"{words} on validation (n = {len(truth)})")


def sensitivity_at(is_positive: np.ndarray, probability: np.ndarray, specificity: float) -> Interval | None:
    """Largest sensitivity where the specificity is at least as given, with Wilson's interval; None without both classes."""
    truth = is_positive.astype(bool)
    if truth.all() or not truth.any():
        return None
    _, sensitivities, specificities, _ = _curve(truth, probability)
    best = float(sensitivities[specificities >= specificity - 1e-12].max(initial=0.0))
    return wilson(round(best * int(truth.sum())), int(truth.sum()))


def _curve(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each distinct threshold, highest first, with sensitivity, specificity and PPV when calling at or above it.

    The first one is above every probability: nothing is called.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true, called = np.cumsum(truth[order])[ends], ends + 1
    thresholds = np.concatenate(([np.nextafter(ranked[0], np.inf)], ranked[ends]))
    true, called = np.concatenate(([0], true)), np.concatenate(([0], called))
    ppv = np.divide(true, called, out=np.zeros(len(true)), where=called > 0)
    negatives = int((~truth).sum())
    return thresholds, true / int(truth.sum()), 1 - (called - true) / negatives, ppv


def _demanded(thresholds: np.ndarray, demanded: np.ndarray, other: np.ndarray, rule: Rule, at_least: float) -> OperatingPoint:
    is_met = demanded >= at_least - 1e-12
    counterpart = "specificity" if rule == "sensitivity" else "sensitivity"
    if not is_met.any():
        at = int(np.argmax(demanded))
        reason = f"no threshold reaches {rule} {at_least:g} on validation; the most is {demanded[at]:.3f}"
        return OperatingPoint(float(thresholds[at]), rule, reason, is_met=False)
    at = int(np.argmax(np.where(is_met, other, -1.0)))
    reason = f"{rule} of at least {at_least:g} with the most {counterpart} on validation"
    return OperatingPoint(_middle(thresholds, at), rule, reason)


def _middle(thresholds: np.ndarray, at: int) -> float:
    """Halfway to the next lower probability, so that a rounding error of a probability changes no decision."""
    return float((thresholds[at] + thresholds[at + 1]) / 2) if at + 1 < len(thresholds) else float(thresholds[at])
