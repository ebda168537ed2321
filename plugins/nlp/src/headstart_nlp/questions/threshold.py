"""The threshold for "no answer": chosen on validation, as SQuAD 2.0's official script finds its best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.head import Prediction
from headstart_nlp.questions.official import question_scores

MARGIN = 1.0  # log-odds beside the outermost ones, where all or none are answered


@dataclass(frozen=True)
class Threshold:
    """Above these log-odds of no answer, no answer is given; `why` says where the value comes from."""

    value: float
    why: str


def choose_threshold(predictions: Sequence[Prediction], targets: Sequence[Any]) -> Threshold:
    """The threshold with the highest F1 over these questions; of equally good ones the nearest to 0.

    Args:
        predictions: With the details of the head `nlp/span`.
        targets: Right answers of each question; empty = it has none.
    """
    rows = [(p.details.get("no_answer"), p.details.get("answer", ""), t) for p, t in zip(predictions, targets, strict=True)]
    rows = [row for row in rows if row[0] is not None]
    if not rows:
        return Threshold(0.0, "the head's own: nothing to choose it on")
    kinds = {bool(target) for _, _, target in rows}
    if len(kinds) < 2:
        only = "has an answer" if True in kinds else "has none"
        return Threshold(0.0, f"the head's own: every validation question (n = {len(rows)}) {only}")
    odds = np.array([row[0] for row in rows], dtype=float)
    order = np.argsort(odds, kind="stable")
    golds = [[str(answer) for answer in target] for _, _, target in rows]
    answered = np.array([question_scores(rows[i][1], golds[i], has_none=True)[1] for i in order])
    silent = np.array([question_scores("", golds[i], has_none=True)[1] for i in order])
    # with the first k answered, in the order of their odds: [N + 1]
    totals = np.concatenate([[0.0], np.cumsum(answered)]) + np.concatenate([np.cumsum(silent[::-1])[::-1], [0.0]])
    ends = np.concatenate([[odds[order[0]] - 2 * MARGIN], odds[order], [odds[order[-1]] + 2 * MARGIN]])
    between = (ends[1:] + ends[:-1]) / 2
    is_gap = ends[1:] > ends[:-1]  # equal odds cannot be told apart
    best = totals[is_gap].max()
    value = min((float(place) for place in between[is_gap & (totals >= best - 1e-9)]), key=abs)
    return Threshold(value, f"highest F1 on validation ({best / len(rows):.3f}, n = {len(rows)})")
