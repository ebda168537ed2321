"""Prototypes: each label is the mean of its examples; what is nearest wins. For a handful of examples a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.builtin.labels import LabelIndex, as_labels, class_predictions
from headstart.errors import DataError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction

SHARPNESS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
USUAL = 20.0  # where a label has a single example and nothing can be left out: sentence-transformers' scale of a cosine


class Prototype(Head):
    """Prototypical classification (Snell et al. 2017, equations 1 and 2) on the pooled features of a frozen backbone.

    Probabilities are a softmax over minus the distances times a sharpness. The paper trains the network until the sharpness is
    right; here the network is frozen, and the sharpness is the one of ten that gives each training example the likeliest
    label when its prototype is made without it.

    Args:
        metric: "cosine" compares directions of centred features; "euclidean" squared distances, in units of their mean.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = False
    prototypes: Tensor
    middle: Tensor
    unit: Tensor
    known: Tensor
    sharpness: Tensor

    def __init__(self, ports: Mapping[str, int], target: Target, *, metric: Literal["cosine", "euclidean"] = "cosine") -> None:
        super().__init__(ports, target)
        self.index, self.metric = LabelIndex(target.labels), metric
        count, width = len(self.index.labels), self.ports["pooled"]
        self.register_buffer("prototypes", torch.zeros(count, width))
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("known", torch.zeros(count))  # 1 = some training example has the label
        self.register_buffer("sharpness", torch.tensor(USUAL))

    @torch.no_grad()
    def fit(self, features: Features, targets: Sequence[Any]) -> None:
        """Average the examples of each label, and choose the sharpness.

        Raises:
            DataError: A label is unknown, or there is no example.
        """
        pooled = features["pooled"].detach().float().to(self.middle.device)  # [N, C]
        if not len(pooled):
            raise DataError("there is no training example to learn from")
        positions = torch.tensor(self.index.positions(targets), device=pooled.device)
        self.middle.copy_(pooled.mean(dim=0))
        placed = self._placed(pooled)
        members = F.one_hot(positions, len(self.index.labels)).float()  # [N, K]
        counts = members.sum(dim=0)
        self.known.copy_((counts > 0).float())
        self.prototypes.copy_(members.T @ placed / counts.clamp(min=1).unsqueeze(1))
        self.unit.fill_(1.0)
        if self.metric == "euclidean":
            self.unit.copy_(self._distances(placed, self.prototypes)[:, counts > 0].mean().clamp(min=1e-12))
        self.sharpness.fill_(self._chosen(placed, positions, counts))

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The nearest label, with the probabilities of all; a label without a training example has none."""
        placed = self._placed(features["pooled"].detach().float().to(self.middle.device))
        logits = -self._distances(placed, self.prototypes) * self.sharpness
        logits = logits.masked_fill(self.known == 0, -torch.inf)
        return class_predictions(self.index.labels, logits.double().softmax(dim=1).cpu().numpy())

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Accuracy first; see `headstart.metrics.classification_scores`."""
        from headstart.metrics import classification_scores

        return classification_scores(self.index.labels, as_labels(targets), predictions, weights, positive=self.target.positive)

    def facts(self) -> dict[str, Any]:
        """The sharpness that was chosen."""
        return {"sharpness": float(self.sharpness)}

    def _placed(self, pooled: Tensor) -> Tensor:
        centred = pooled - self.middle
        return F.normalize(centred, dim=1) if self.metric == "cosine" else centred

    def _distances(self, placed: Tensor, prototypes: Tensor) -> Tensor:
        """From each example [N, C] to each prototype [K, C], or to those of its own [N, K, C]: [N, K]."""
        if self.metric == "cosine":
            directions = F.normalize(prototypes, dim=-1)
            return 1 - (placed.unsqueeze(-2) * directions).sum(dim=-1)
        return (placed.unsqueeze(-2) - prototypes).square().sum(dim=-1) / self.unit

    def _chosen(self, placed: Tensor, positions: Tensor, counts: Tensor) -> float:
        """The sharpness with the largest likelihood when each example is left out of its own prototype."""
        if int(counts[counts > 0].min()) < 2:
            return USUAL
        rows = torch.arange(len(placed), device=placed.device)
        distances = self._distances(placed, self.prototypes)  # [N, K]
        own = counts[positions].unsqueeze(1)
        without = (self.prototypes[positions] * own - placed) / (own - 1)  # [N, C]
        distances[rows, positions] = self._distances(placed, without.unsqueeze(1))[:, 0]
        distances = distances.masked_fill(counts == 0, torch.inf)
        losses = [float(F.cross_entropy(-distances * sharpness, positions)) for sharpness in SHARPNESS]
        return float(SHARPNESS[int(np.argmin(losses))])
