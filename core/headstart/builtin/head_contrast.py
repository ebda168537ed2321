"""A head that teaches the backbone which examples are alike, and reads their labels off what it learnt: for few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.builtin.heads_neural import Linear
from headstart.example import Target
from headstart.features import Features


class Contrast(Linear):
    """Contrastive tuning from labels (SetFit: Tunstall et al. 2022, section 3) beside a linear layer with softmax.

    Where something of the backbone trains, every two examples of a batch are a pair: the cosine of their features is drawn to
    1 where they have the same label, to 0 where they have not, by the squared difference (the paper's cosine similarity
    loss). Pairs of one kind weigh as much as those of the other, however many there are. The linear layer learns by
    cross-entropy, and the backbone hears nothing of that. Micro-batches make fewer pairs. Train it with `strategy: setfit`.

    Args:
        class_weights: "balanced" weighs each class by n / (classes x its count) in the linear layer's loss; "none" counts
            each example once.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    adds_up: ClassVar[bool] = False

    def __init__(
        self, ports: Mapping[str, int], target: Target, *, class_weights: Literal["none", "balanced"] = "none"
    ) -> None:
        super().__init__(ports, target, class_weights=class_weights)

    def outputs(self, features: Features) -> Tensor:
        """Logits [B, K] of the features' directions, at a length of the root of their width."""
        pooled = features["pooled"].float()  # [B, C]
        return super().outputs({"pooled": F.normalize(pooled, dim=1) * pooled.shape[1] ** 0.5})

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The linear layer's cross-entropy and, where the features carry a gradient, the pairs' loss."""
        found = super().loss({"pooled": features["pooled"].detach()}, targets)
        if not (torch.is_grad_enabled() and features["pooled"].requires_grad):
            return found
        positions = torch.tensor(self.index.positions(targets), device=features["pooled"].device)
        return {"contrast": pair_loss(features["pooled"], positions), **found}


def pair_loss(pooled: Tensor, positions: Tensor) -> Tensor:
    """Squared difference of the cosine of two examples to 1 (same label) or 0, the mean of both kinds' means; 0 without pairs.

    Args:
        pooled: Features, [B, C].
        positions: Of the labels, [B].
    """
    directions = F.normalize(pooled.float(), dim=1)
    is_same = positions[:, None] == positions[None]  # [B, B]
    is_pair = torch.ones_like(is_same).triu(diagonal=1)
    errors = (directions @ directions.T - is_same.float()).square()
    kinds = [errors[is_pair & chosen].mean() for chosen in (is_same, ~is_same) if (is_pair & chosen).any()]
    return torch.stack(kinds).mean() if kinds else errors.sum() * 0
