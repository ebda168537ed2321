"""Bag: one answer for many slices or patches, by attention over them; Ilse, Tomczak & Welling 2018."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from headstart.build import part_class
from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction

SHOWN = 5  # instances that a prediction names, of those with the most attention


class Bag(Head):
    """Gated attention over the instances of a bag, and another head on their weighted mean; Ilse et al. 2018, equation 9.

    For volumes that do not fit: the backbone `healthcare/slices` or `healthcare/patches` gives one vector for each instance,
    computed once while it is frozen. A prediction says which instances counted most.

    Args:
        main: Name of the head on the mean, which reads the port pooled: "linear", "mlp", "multilabel", "ordinal".
        options: That head's options.
        hidden: Width of the attention, >= 1.
        dropout: Share of the instances' features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("class", "labels", "number")
    needs: ClassVar[tuple[str, ...]] = ("tokens", "mask")
    wraps: ClassVar[str] = "head"

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        main: str = "linear",
        options: dict[str, Any] | None = None,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(ports, target)
        if hidden < 1 or not 0 <= dropout < 1:
            raise UsageError(f"the head's options are hidden: {hidden}, dropout: {dropout}; hidden >= 1, dropout in [0, 1)")
        width = self.ports["tokens"]
        self.main = _inner(main, target)({"pooled": width}, target, **(options or {}))
        self.dropout = nn.Dropout(dropout)
        self.content, self.gate = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.score_of = nn.Linear(hidden, 1, bias=False)

    def settle(self, targets: Sequence[Any]) -> None:
        """The inner head's."""
        self.main.settle(targets)

    def attention(self, features: Features) -> Tensor:
        """Share of each instance, [B, L]; they sum to 1 over those that are there."""
        tokens = features["tokens"].to(self.content.weight.dtype)  # [B, L, C]
        scores: Tensor = self.score_of(torch.tanh(self.content(tokens)) * torch.sigmoid(self.gate(tokens))).squeeze(2).float()
        return scores.masked_fill(features["mask"] == 0, -torch.inf).softmax(dim=1)

    def pooled(self, features: Features) -> dict[str, Tensor]:
        """The port pooled [B, C] that the inner head reads."""
        tokens = self.dropout(features["tokens"].float())
        return {"pooled": torch.einsum("bl,blc->bc", self.attention({**features, "tokens": tokens}), tokens)}

    def outputs(self, features: Features) -> Tensor:
        """The inner head's values, where it has such: logits [B, K]."""
        found: Tensor = cast(Any, self.main).outputs(self.pooled(features))
        return found

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The inner head's losses on the mean."""
        return self.main.loss(self.pooled(features), targets)

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The inner head's predictions, with the instances that had the most attention, by their place in the bag."""
        shares = self.attention(features).cpu().numpy()
        predictions = self.main.predict(self.pooled(features))
        return [replace(p, details={**p.details, "attention": _most(row)}) for p, row in zip(predictions, shares, strict=True)]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """The inner head's."""
        return self.main.score(predictions, targets, weights)

    def facts(self) -> Mapping[str, Any]:
        """The inner head's."""
        return self.main.facts()


def _inner(main: str, target: Target) -> type[Head]:
    """The class of the head on the mean.

    Raises:
        UsageError: There is none of that name, or it reads something else or learns other targets.
    """
    kind = cast("type[Head]", part_class("head", main))
    if kind.needs != ("pooled",) or not kind.by_gradient or getattr(kind, "wraps", None):
        raise UsageError(
            f"the head's option main is '{main}'; a bag needs one that reads the port pooled alone and is trained by "
            "gradient: linear, mlp, multilabel, regression, ordinal, healthcare/multilabel"
        )
    if target.kind not in kind.kinds:
        raise UsageError(f"the head's option main is '{main}', which learns {' or '.join(kind.kinds)}, not {target.kind}")
    return kind


def _most(shares: np.ndarray) -> dict[str, float]:
    order = np.argsort(-shares, kind="stable")[:SHOWN]
    return {str(int(at)): round(float(shares[at]), 4) for at in order if shares[at] > 0}
