"""Scores: one differentiable number per example for the label that is explained, whatever head gave the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.builtin.closed import ClosedClassifier, pooled_array
from headstart.builtin.head_joined import Joined
from headstart.builtin.head_ordinal import Ordinal
from headstart.errors import UsageError
from headstart.features import Features
from headstart.head import Head

STEP = 1e-2  # of the numeric gradient, in deviations of a feature over the vector
EDGE = 1e-300  # the logarithm of nothing is not finite


def score_of(head: Head, features: Features, label: str, *, against_others: bool = False) -> Tensor:
    """How much speaks for a label, [B], with a gradient to the features: the logit before softmax or sigmoid.

    Args:
        head: Trained by gradient, or in one go on the port "pooled"; one around another head has that as `main`.
        features: What it reads.
        label: One of the target's; of no use where a number is predicted.
        against_others: Of labels that exclude each other: the log-odds of softmax, the logit less those of the others together.

    Raises:
        UsageError: The head gives neither logits nor probabilities of the label.
    """
    if isinstance(head, Joined):
        return score_of(head.main, head.vector(features), label, against_others=against_others)
    outer: Any = head
    inner: Any = getattr(head, "main", head)
    if not hasattr(inner, "outputs"):
        return _closed_score(head, features, label)
    values: Tensor = outer.outputs(features)  # [B, K]
    if isinstance(inner, Ordinal):
        place = inner.index.position(label)
        return values[:, place - 1] if place else -values[:, 0]  # that the grade is reached; of the lowest, that no other is
    if not hasattr(inner, "index"):
        return values[:, 0]
    at = inner.index.position(label)
    if not against_others or inner.target.kind != "class" or values.shape[1] < 2:
        return values[:, at]
    others = [other for other in range(values.shape[1]) if other != at]
    return values[:, at] - values[:, others].logsumexp(dim=1)


def log_odds_of(head: Head, features: Features, label: str) -> np.ndarray:
    """Log odds of the label, [B], as the head says it; the predicted number where it gives no probabilities.

    Raises:
        UsageError: It gives neither.
    """
    if isinstance(head, Joined):
        return log_odds_of(head.main, head.vector(features), label)
    if isinstance(head, ClosedClassifier) and hasattr(head.estimator, "decision_function"):
        return _decision(head, features, label)  # its probabilities are 0 and 1 exactly where it is very sure
    predictions = head.predict(features)
    if all(prediction.probabilities for prediction in predictions):
        return np.array([_odds(prediction.probabilities or {}, label) for prediction in predictions])
    try:
        return np.array([float(prediction.value) for prediction in predictions])
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"a {type(head).__name__} head gives neither probabilities nor numbers, so nothing can be explained"
        ) from error


def _decision(head: ClosedClassifier, features: Features, label: str) -> np.ndarray:
    """Log odds [B] of a label from scikit-learn's decision values: those of two classes are such odds, others logits."""
    values = np.asarray(head.estimator.decision_function(pooled_array(features, head.precision)), dtype=np.float64)
    classes = [int(position) for position in head.estimator.classes_]
    position = head.index.position(label)
    if position not in classes:  # no training example had it
        return np.full(len(values), math.log(EDGE))
    at = classes.index(position)
    if values.ndim == 1:
        return values if at == 1 else -values
    others = np.delete(values, at, axis=1)
    return np.asarray(values[:, at] - np.logaddexp.reduce(others, axis=1))


def _odds(shares: Mapping[str, float], label: str) -> float:
    """Log odds of one of several labels; those of the others are added up, as 1 - p knows nothing below 1e-16."""
    share = float(shares.get(label, 0.0))
    exclude_each_other = abs(sum(shares.values()) - 1) < 1e-6 and len(shares) > 1
    rest = sum(float(value) for name, value in shares.items() if name != label) if exclude_each_other else 1 - share
    return math.log(max(share, EDGE)) - math.log(max(rest, EDGE))


def _closed_score(head: Head, features: Features, label: str) -> Tensor:
    """The log odds of a head without gradient, along their numeric gradient; exact for linear ones."""
    if head.needs != ("pooled",):
        raise UsageError(f"a {type(head).__name__} head has no gradient; explain it by occlusion: --method occlusion")
    pooled = features["pooled"]  # [B, C]
    slopes = torch.from_numpy(np.stack([_slopes(head, vector, label) for vector in pooled.detach().cpu().double()]))
    return (slopes.to(pooled) * pooled).sum(dim=1)


def _slopes(head: Head, vector: Tensor, label: str) -> np.ndarray:
    """Gradient of the log odds at one vector [C], by central differences in one call of the head."""
    step = STEP * float(vector.std().clamp(min=1e-6))
    moved = torch.cat([vector + step * torch.eye(len(vector)), vector - step * torch.eye(len(vector))]).float()
    odds = log_odds_of(head, {"pooled": moved}, label)
    return np.asarray((odds[: len(vector)] - odds[len(vector) :]) / (2 * step))
