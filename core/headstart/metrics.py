"""Metrics: scores of predictions and their 95 % intervals, in one place to import from."""

from __future__ import annotations

from headstart.intervals import Interval, paired_difference, score_intervals
from headstart.scores import (
    LOWER_IS_BETTER,
    classification_scores,
    expected_calibration_error,
    multilabel_scores,
    regression_scores,
    scores_for,
)

__all__ = [
    "LOWER_IS_BETTER",
    "Interval",
    "classification_scores",
    "expected_calibration_error",
    "multilabel_scores",
    "paired_difference",
    "regression_scores",
    "score_intervals",
    "scores_for",
]
