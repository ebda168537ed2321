"""Findings that may be unknown: one logistic output per finding, trained and scored where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.builtin.heads_neural import MultiLabel
from headstart.features import Features
from headstart.head import Prediction
from headstart_healthcare.heads.findings import unknown_of
from headstart_healthcare.heads.scoring import KnownFindings, remembered


class KnownMultiLabel(MultiLabel):
    """Any number of findings per example, some of which nobody knows: those count neither in the loss nor in the scores.

    The core's `multilabel` takes an unknown finding for one that is not there. What "uncertain" means for each finding is
    the data's `uncertain` (Irvin et al. 2019, section 4): by `ignore` it becomes unknown, by `zeros` and `ones` it is known.

    Args:
        threshold: A finding is predicted where its probability is at least this, in (0, 1).
        label_weights: "balanced" weighs the examples that have a finding by (those without it) / (those with it), among
            those of which it is known; "none" counts each once.
        loss: "focal" weighs the loss of each finding of each example by (1 - probability of what is true)^gamma (Lin et al.
            2017, equation 4).
        gamma: Exponent of the focal loss, >= 0; 0 = cross-entropy. Of no use to other losses.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("labels",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    known_share: Tensor

    def __init__(self, ports: Any, target: Any, **options: Any) -> None:
        super().__init__(ports, target, **options)
        # share of findings that are known in training: keeps the size of the loss, and micro-batches still add up
        self.register_buffer("known_share", torch.ones(()))

    def settle(self, targets: Sequence[Any]) -> None:
        """Count what is known; a finding that all or none of those have keeps the weight 1."""
        known, truth = self._known(targets), self._matrix(targets)
        self.known_share.fill_(max(float(known.mean()), torch.finfo(known.dtype).eps))
        if self.label_weights == "balanced":
            there, absent = (known * truth).sum(dim=0), (known * (1 - truth)).sum(dim=0)
            varies = (there > 0) & (absent > 0)
            self.positive_weight.copy_(torch.where(varies, absent / there.clamp(min=1), 1.0))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The loss of what is known, over the number of findings that are known of so many examples; 0 where none is."""
        logits = self.outputs(features)
        truth, known = (matrix.to(logits.device) for matrix in (self._matrix(targets), self._known(targets)))
        weight = self.positive_weight.float()
        losses = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight, reduction="none")
        if self.loss_name == "focal":
            losses = losses * torch.where(truth > 0, -logits, logits).sigmoid() ** self.gamma
        return {self.loss_name: (losses * known).mean() / self.known_share.float()}

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Mean AUROC over the findings first; then mean average precision and F1, all over what is known."""
        labels = self.index.labels
        scorer = remembered(("known", labels), predictions, targets, lambda: KnownFindings(labels, targets, predictions))
        return scorer(np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float))

    def _known(self, targets: Sequence[Any]) -> Tensor:
        return torch.tensor([[label not in unknown_of(target) for label in self.index.labels] for target in targets]).float()
