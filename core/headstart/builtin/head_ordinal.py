"""Ordinal: grades that have an order, by consistent rank logits (CORAL); Cao, Mirjalili & Raschka 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.builtin.heads_neural import INITIAL_STD
from headstart.builtin.labels import LabelIndex, as_labels
from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.grades import grade_scores
from headstart.head import Head, Prediction

LEAST_SHARE = 1e-3  # of examples above a threshold, for its first value: a grade that nobody has would begin at infinity


class Ordinal(Head):
    """Grades in their order: one direction in feature space, and a threshold between each two grades; CORAL.

    For K grades there are K - 1 questions "above grade k?" with one weight vector and a bias each (Cao et al. 2020, equations
    1 to 4). Being two grades off costs more than one. The grade that is predicted is the number of questions that are more
    likely true than not.

    Args:
        order: The grades, lowest first; null = the order of the target's labels.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        order: list[str] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(ports, target)
        if not 0 <= dropout < 1:
            raise UsageError(f"the head's option dropout is {dropout}; it must be at least 0 and less than 1")
        self.index = LabelIndex(_ordered(target.labels, order))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(self.ports["pooled"], 1, bias=False)
        nn.init.normal_(self.out.weight, std=INITIAL_STD)
        self.thresholds = nn.Parameter(torch.zeros(len(self.index.labels) - 1))

    @torch.no_grad()
    def settle(self, targets: Sequence[Any]) -> None:
        """Let the thresholds begin at the shares of the training examples, as if features said nothing."""
        above = torch.from_numpy(self._above(targets)).mean(dim=0).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
        self.thresholds.copy_(above.logit())

    def outputs(self, features: Features) -> Tensor:
        """Logit of "above grade k" for each k, [B, K - 1], in float32 also under autocast."""
        pooled = features["pooled"].to(self.out.weight.dtype)  # [B, C]
        found: Tensor = self.out(self.dropout(pooled)) + self.thresholds
        return found.float()

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The sum of the questions' binary cross-entropies, the mean over the batch."""
        logits = self.outputs(features)
        above = torch.from_numpy(self._above(targets)).float().to(logits.device)
        losses = F.binary_cross_entropy_with_logits(logits, above, reduction="none")
        return {"ordinal": losses.sum(dim=1).mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The grade, with the probabilities of all."""
        above = self.outputs(features).double().sigmoid().cpu().numpy()  # [B, K - 1]
        labels = self.index.labels
        return [
            Prediction(labels[int((row > 0.5).sum())], dict(zip(labels, shares.tolist(), strict=True)))
            for row, shares in zip(above, grade_probabilities(above), strict=True)
        ]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Quadratic kappa first and the mean gap in grades; then those of `headstart.metrics.classification_scores`."""
        from headstart.metrics import classification_scores

        labels = self.index.labels
        found = grade_scores(labels, targets, predictions, weights)
        return {**found, **classification_scores(labels, as_labels(targets), predictions, weights)}

    def _above(self, targets: Sequence[Any]) -> np.ndarray:
        """Whether each target is above each grade but the last, [N, K - 1]."""
        grades = np.array(self.index.positions(targets))
        return (grades[:, None] > np.arange(len(self.index.labels) - 1)).astype(np.float64)


def grade_probabilities(above: np.ndarray) -> np.ndarray:
    """Probability of each grade [N, K] from those of being above each [N, K - 1].

    Biases that training has not yet put in order would give negative shares: a later question counts at most as an earlier.
    """
    falling = np.minimum.accumulate(above, axis=1)
    ends = np.ones((len(above), 1)), np.zeros((len(above), 1))
    shares: np.ndarray = -np.diff(np.concatenate([ends[0], falling, ends[1]], axis=1), axis=1)
    return shares


def _ordered(labels: Sequence[str], order: Sequence[str] | None) -> tuple[str, ...]:
    if len(labels) < 2:
        raise UsageError(f"an ordinal head needs at least two grades; the target has {len(labels)}")
    if order is None:
        return tuple(labels)
    if sorted(map(str, order)) != sorted(labels):
        raise UsageError(f"the head's option order is {list(order)}; it must name each of the grades once: {', '.join(labels)}")
    return tuple(map(str, order))
