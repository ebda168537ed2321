"""Scores of many answers, quick enough for a thousand resamples: the official figures, as shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headstart.scores import Predicted, Remembered
from headstart_nlp.questions.official import question_scores

Scorer = Callable[[np.ndarray], dict[str, float]]


def answer_scores(
    predictions: Sequence[Predicted],
    targets: Sequence[Any],
    weights: np.ndarray | None = None,
    *,
    has_none: bool | None = None,
) -> dict[str, float]:
    """F1 and exact match over all questions and, where some have no answer, over both kinds apart; all in [0, 1].

    Args:
        predictions: Their `value` is the answer's text, "" = no answer.
        targets: Right answers of each question; empty = it has none.
        weights: Count of each question; None = once each.
        has_none: Count as SQuAD 2.0 does, or as 1.1; None = as 2.0 where some question has no answer.
    """
    decided = any(not target for target in targets) if has_none is None else has_none
    counts = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    if not isinstance(predictions, Remembered):
        return _scorer(predictions, targets, has_none=decided)(counts)
    known = predictions.scorers.get(("span", decided))
    if known is None or known[0] is not targets:
        known = predictions.scorers["span", decided] = (targets, _scorer(predictions, targets, has_none=decided))
    return known[1](counts)


def each_question(predictions: Sequence[Predicted], targets: Sequence[Any], *, has_none: bool) -> np.ndarray:
    """Exact match and F1 of each question, [N, 2]."""
    golds = [[str(answer) for answer in target] for target in targets]
    pairs = [question_scores(p.value or "", gold, has_none=has_none) for p, gold in zip(predictions, golds, strict=True)]
    return np.array(pairs, dtype=float).reshape(-1, 2)


def _scorer(predictions: Sequence[Predicted], targets: Sequence[Any], *, has_none: bool) -> Scorer:
    table = each_question(predictions, targets, has_none=has_none)
    answerable = np.array([bool(target) for target in targets], dtype=float)

    def scores(counts: np.ndarray) -> dict[str, float]:
        found = _means(table, counts, "")
        if has_none:
            found |= _means(table, counts * answerable, "has_answer_")
            found |= _means(table[:, :1], counts * (1 - answerable), "no_answer_")
        return found

    return scores


def _means(table: np.ndarray, counts: np.ndarray, prefix: str) -> dict[str, float]:
    """Weighted means; of questions without an answer exact match and F1 are one figure, the share that is right."""
    total = counts.sum()
    if total <= 0:
        return {}
    means = counts @ table / total
    if len(means) == 1:
        return {f"{prefix}accuracy": float(means[0])}
    return {f"{prefix}f1": float(means[1]), f"{prefix}exact_match": float(means[0])}
