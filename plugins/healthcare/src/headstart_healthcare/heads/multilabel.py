"""Findings that may be unknown: one logistic output per finding, trained and scored where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.builtin.heads_neural import INITIAL_STD, MultiLabel
from headstart.errors import UsageError
from headstart.features import Features
from headstart.head import Prediction
from headstart_healthcare.heads.findings import soft_of, third_of, unknown_of
from headstart_healthcare.heads.scoring import KnownFindings, remembered


class KnownMultiLabel(MultiLabel):
    """Any number of findings per example, some of which nobody knows: those count neither in the loss nor in the scores.

    The core's `multilabel` takes an unknown finding for one that is not there. What "uncertain" means for each finding is
    the data's `uncertain` (Irvin et al. 2019, section 4): by `ignore` it becomes unknown, by `zeros` and `ones` it is known, by
    `smooth` and `teacher` training aims at a probability, by `multiclass` at a class of its own; no score counts those.

    Args:
        threshold: A finding is predicted where its probability is at least this, in (0, 1).
        label_weights: "balanced" weighs the examples that have a finding by (those without it) / (those with it), among
            those of which it is known; "none" counts each once.
        loss: "focal" weighs the loss of each finding of each example by (1 - probability of what is true)^gamma (Lin et al.
            2017, equation 4).
        gamma: Exponent of the focal loss, >= 0; 0 = cross-entropy. Of no use to other losses.
        dropout: Share of features set to zero at random in training, in [0, 1).
        uncertain: "class" learns for each finding whether it is there, not there or uncertain, by cross-entropy over the three
            (U-MultiClass); a prediction is the probability of "there" with "uncertain" left out, as in Irvin et al. 2019.
    """

    kinds: ClassVar[tuple[str, ...]] = ("labels",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    known_share: Tensor

    def __init__(self, ports: Any, target: Any, *, uncertain: Literal["none", "class"] = "none", **options: Any) -> None:
        super().__init__(ports, target, **options)
        if uncertain == "class" and self.loss_name == "focal":
            raise UsageError("the head's options uncertain: class and loss: focal exclude each other")
        # the logit of "uncertain" against "not there", which has 0; that of "there" is the output itself, so that the share of
        # "there" without "uncertain" is its sigmoid, as ever
        self.maybe = nn.Linear(self.out.in_features, self.out.out_features) if uncertain == "class" else None
        if self.maybe is not None:
            nn.init.normal_(self.maybe.weight, std=INITIAL_STD)
            nn.init.zeros_(self.maybe.bias)
        # share of findings that are known in training: keeps the size of the loss, and micro-batches still add up
        self.register_buffer("known_share", torch.ones(()))

    def settle(self, targets: Sequence[Any]) -> None:
        """Count what is known or aimed at; a finding that all or none of those have keeps the weight 1.

        Raises:
            UsageError: The data want "uncertain" to be a class, and the head was not told.
        """
        if self.maybe is None and any(third_of(target) for target in targets):
            raise UsageError("data.uncertain: multiclass wants head: {use: healthcare/multilabel, uncertain: class}")
        known, truth = self._known(targets), self._aims(targets)
        self.known_share.fill_(max(float(known.mean()), torch.finfo(known.dtype).eps))
        if self.label_weights == "balanced":
            there, absent = (known * truth).sum(dim=0), (known * (1 - truth)).sum(dim=0)
            varies = (there > 0) & (absent > 0)
            self.positive_weight.copy_(torch.where(varies, absent / there.clamp(min=1), 1.0))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The loss of what is known or aimed at, over their number among so many examples; 0 where there is none."""
        logits, doubts = self._logits(features)
        truth, known = (matrix.to(logits.device) for matrix in (self._aims(targets), self._known(targets)))
        weight = self.positive_weight.float()
        if doubts is not None:
            return {"cross_entropy": (self._three(logits, doubts, truth, targets) * known).mean() / self.known_share.float()}
        losses = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight, reduction="none")
        if self.loss_name == "focal":  # of a probability that is aimed at, its distance (Li et al. 2020, equation 6)
            hard = torch.where(truth > 0, -logits, logits).sigmoid()
            is_soft = (truth > 0) & (truth < 1)
            losses = losses * torch.where(is_soft, (truth - logits.sigmoid()).abs(), hard) ** self.gamma
        return {self.loss_name: (losses * known).mean() / self.known_share.float()}

    def _logits(self, features: Features) -> tuple[Tensor, Tensor | None]:
        """Of "there" [B, K], and of "uncertain" where that is a class."""
        if self.maybe is None:
            return self.outputs(features), None
        pooled = features["pooled"].to(self.out.weight.dtype)  # [B, C]
        hidden = self.hidden(self.dropout(pooled))
        return self.out(hidden).float(), self.maybe(hidden).float()

    def _three(self, logits: Tensor, doubts: Tensor, truth: Tensor, targets: Sequence[Any]) -> Tensor:
        """Cross-entropy over not there, there and uncertain [B, K]."""
        every = torch.stack([torch.zeros_like(logits), logits, doubts]).logsumexp(dim=0)
        third = self._mask(targets, third_of).to(logits.device)
        weight = 1 + (self.positive_weight.float() - 1) * truth
        return torch.where(third > 0, every - doubts, weight * (every - truth * logits))

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Mean AUROC over the findings first; then mean average precision and F1, all over what is known."""
        labels = self.index.labels
        scorer = remembered(("known", labels), predictions, targets, lambda: KnownFindings(labels, targets, predictions))
        return scorer(np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float))

    def _known(self, targets: Sequence[Any]) -> Tensor:
        """Which findings count in the loss [B, K]."""
        return 1 - self._mask(targets, lambda target: unknown_of(target) - set(soft_of(target)) - third_of(target))

    def _aims(self, targets: Sequence[Any]) -> Tensor:
        """The probability that is aimed at [B, K]: 1 of what is there, that of a soft finding, else 0."""
        aims = self._matrix(targets)
        for row, target in zip(aims, targets, strict=True):
            for label, share in soft_of(target).items():
                row[self.index.positions([label])] = float(share)
        return aims

    def _mask(self, targets: Sequence[Any], of: Callable[[Any], Collection[str]]) -> Tensor:
        return torch.tensor([[float(label in of(target)) for label in self.index.labels] for target in targets])
