"""Scores of guessed tokens: over all hidden tokens together, quick to resample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.scores import Predicted, Remembered

Scorer = Callable[[np.ndarray], dict[str, float]]


def masked_scores(
    predictions: Sequence[Predicted], targets: Sequence[Any], weights: np.ndarray | None = None
) -> dict[str, float]:
    """Masked accuracy, then perplexity: e to the mean of minus the log-probabilities of the hidden tokens.

    Args:
        predictions: With "hidden", "right" and "loss" (a sum, in nats) among their details.
        targets: Not read; as many.
        weights: Count of each text; None = once each.
    """
    counts = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    if not isinstance(predictions, Remembered):
        return _scorer(predictions)(counts)
    known = predictions.scorers.get("masked")
    if known is None or known[0] is not targets:
        known = predictions.scorers["masked"] = (targets, _scorer(predictions))
    return known[1](counts)


def _scorer(predictions: Sequence[Any]) -> Scorer:
    rows = [[p.details["right"], p.details["hidden"], p.details["loss"]] for p in predictions]
    table = np.array(rows, dtype=float).reshape(-1, 3)

    def scores(counts: np.ndarray) -> dict[str, float]:
        right, hidden, loss = counts @ table
        return {"masked_accuracy": float(right / hidden), "perplexity": float(np.exp(loss / hidden))} if hidden > 0 else {}

    return scores
