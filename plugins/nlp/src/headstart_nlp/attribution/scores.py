"""Scores: one differentiable number for what is explained, whatever head gave the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import UsageError
from headstart.features import Features
from headstart.head import Head

STEP = 1e-2  # of the numeric gradient, in deviations of a feature over the vector
EDGE = 1e-12  # a probability that is called 0 or 1


def score_of(head: Head, features: Features, label: str) -> Tensor:
    """How much speaks for a label, [B], with a gradient to the features.

    Heads trained by gradient: the logit of the label against the others together (the log-odds of softmax), the logit itself
    where each label has its own, or the number. Others: the log-odds, along their numeric gradient at the vector.

    Raises:
        UsageError: The head reads something else than the vector of a text, or gives no probabilities.
    """
    if head.needs != ("pooled",):
        raise UsageError(f"a {type(head).__name__} head does not read the vector of a text, so words cannot be weighed for it")
    if not head.by_gradient or not hasattr(head, "outputs"):
        return _along_slopes(head, features["pooled"], label)
    layered: Any = head
    values: Tensor = layered.outputs(features)  # [B, K]
    if head.target.kind == "number":
        return values[:, 0]
    at = list(head.target.labels).index(label)
    if head.target.kind == "labels":
        return values[:, at]
    others = [other for other in range(values.shape[1]) if other != at]
    return values[:, at] - values[:, others].logsumexp(dim=1)


def _along_slopes(head: Head, pooled: Tensor, label: str) -> Tensor:
    slopes = torch.from_numpy(np.stack([_slopes(head, vector, label) for vector in pooled.detach().cpu().double()]))
    return (slopes.to(pooled) * pooled).sum(dim=1)


def _slopes(head: Head, vector: Tensor, label: str) -> np.ndarray:
    """Gradient of the log-odds at one vector [C], by central differences in one call of the head."""
    step = STEP * float(vector.std().clamp(min=1e-6))
    moved = torch.cat([vector + step * torch.eye(len(vector)), vector - step * torch.eye(len(vector))]).float()
    odds = np.array([_odds(prediction.probabilities or {}, label) for prediction in head.predict({"pooled": moved})])
    return np.asarray((odds[: len(vector)] - odds[len(vector) :]) / (2 * step))


def _odds(shares: Mapping[str, float], label: str) -> float:
    share = float(shares.get(label, math.nan))
    if math.isnan(share):
        raise UsageError("this head gives no probabilities, so words cannot be weighed for it")
    return math.log(max(share, EDGE)) - math.log(max(1 - share, EDGE))
