"""Entity scores: an entity is right where its type and both its ends are; over all entities, quick to resample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.scores import Predicted, Remembered
from headstart_nlp.tagging.scheme import entities

Scorer = Callable[[np.ndarray], dict[str, float]]


def tag_scores(
    predictions: Sequence[Predicted], targets: Sequence[Sequence[str]], weights: np.ndarray | None = None
) -> dict[str, float]:
    """Entity F1 first, then precision, recall (all over all entities together) and the share of right tags.

    Args:
        predictions: Their `value` is a sequence of tags, one for each word.
        targets: The true tags.
        weights: Count of each text; None = once each.
    """
    counts = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
    if not isinstance(predictions, Remembered):
        return _scorer(predictions, targets)(counts)
    known = predictions.scorers.get("tags")
    if known is None or known[0] is not targets:
        known = predictions.scorers["tags"] = (targets, _scorer(predictions, targets))
    return known[1](counts)


def by_type(predictions: Sequence[Predicted], targets: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of true entities of each type, in alphabetical order."""
    true = {(at, *entity) for at, tags in enumerate(targets) for entity in entities(tags)}
    said = {(at, *entity) for at, p in enumerate(predictions) for entity in entities(p.value)}
    found = {}
    for kind in sorted({entity[1] for entity in true | said}):
        a, b = ({entity for entity in some if entity[1] == kind} for some in (true, said))
        right = len(a & b)
        found[kind] = {
            "precision": right / len(b) if b else 0.0,
            "recall": right / len(a) if a else 0.0,
            "f1": 2 * right / (len(a) + len(b)),
            "n": float(len(a)),
        }
    return found


def _scorer(predictions: Sequence[Predicted], targets: Sequence[Sequence[str]]) -> Scorer:
    rows = []
    for prediction, tags in zip(predictions, targets, strict=True):
        said, true = set(entities(prediction.value)), set(entities(tags))
        same = sum(a == b for a, b in zip(prediction.value, tags, strict=True))
        rows.append((len(said & true), len(said), len(true), same, len(tags)))
    table = np.array(rows, dtype=float).reshape(-1, 5)

    def scores(counts: np.ndarray) -> dict[str, float]:
        right, said, true, same, words = counts @ table
        found: dict[str, float] = {}
        if said + true > 0:
            found["entity_f1"] = float(2 * right / (said + true))
            found["entity_precision"] = float(right / said) if said else 0.0
            found["entity_recall"] = float(right / true) if true else 0.0
        if words > 0:
            found["tag_accuracy"] = float(same / words)
        return found

    return scores
