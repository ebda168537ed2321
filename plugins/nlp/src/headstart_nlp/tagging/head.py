"""The head `nlp/tags`: a tag for each word by one linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction
from headstart_nlp.tagging.scheme import is_ended, repaired
from headstart_nlp.tagging.scores import tag_scores

INITIAL_STD = 0.02  # Devlin et al. 2019
IGNORED = -100  # torch's own word for a place that does not count


class Tags(Head):
    """A tag for each word from its vector (Devlin et al. 2019, section 5.3), trained by cross-entropy over all words.

    A predicted sequence that breaks the scheme of its tags is repaired, which changes none of its entities.

    Args:
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("tags",)
    needs: ClassVar[tuple[str, ...]] = ("tokens", "mask")

    def __init__(self, ports: Mapping[str, int], target: Target, *, dropout: float = 0.1) -> None:
        super().__init__(ports, target)
        if not 0 <= dropout < 1:
            raise UsageError(f"the head's option dropout is {dropout}; it must be at least 0 and less than 1")
        self.dropout = nn.Dropout(dropout)
        self.positions = {tag: at for at, tag in enumerate(target.labels)}
        self.ended = is_ended(target.labels)
        self.out = nn.Linear(self.ports["tokens"], len(target.labels))
        nn.init.normal_(self.out.weight, std=INITIAL_STD)
        nn.init.zeros_(self.out.bias)

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the words of each text and then over texts, so that micro-batches add up."""
        logits = self._logits(features)  # [B, W, K]
        truth = torch.full(logits.shape[:2], IGNORED, dtype=torch.long)
        for row, tags in zip(truth, targets, strict=True):
            if tags is None:
                raise DataError("a text has no tags; leave it out of the training examples")
            row[: len(tags)] = torch.tensor([self._position(tag) for tag in tags])
        truth = truth.to(logits.device)
        losses = F.cross_entropy(logits.transpose(1, 2), truth, ignore_index=IGNORED, reduction="none")  # [B, W]
        return {"cross_entropy": (losses.sum(dim=1) / (truth != IGNORED).sum(dim=1).clamp(min=1)).mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """A tuple of tags, one for each word; `details`: "sure", the probability of each, and "repaired", how many were."""
        shares = self._logits(features).double().softmax(dim=-1).cpu()
        lengths = features["mask"].sum(dim=1).tolist()
        found = []
        for row, length in zip(shares, lengths, strict=True):
            sure, places = row[:length].max(dim=-1)
            tags, changed = repaired([self.target.labels[at] for at in places.tolist()], ended=self.ended)
            details = {"sure": [round(value, 4) for value in sure.tolist()], "repaired": changed}
            found.append(Prediction(tuple(tags), details=details))
        return found

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Entity F1 first; see `tag_scores`."""
        return tag_scores(predictions, targets, weights)

    def _logits(self, features: Features) -> Tensor:
        logits: Tensor = self.out(self.dropout(features["tokens"].to(self.out.weight.dtype)))
        return logits.float()

    def _position(self, tag: str) -> int:
        if tag not in self.positions:
            raise DataError(f"the tag '{tag}' does not occur in the training data; known: {', '.join(self.positions)}")
        return self.positions[tag]
