"""The head `protein/residues`: a label for each residue by one linear layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from headstart import Features, Head, Prediction, Target, errors
from torch import Tensor, nn

from headstart_protein.targets import UNLABELLED

IGNORED = -100  # torch's own word for a place that does not count
INITIAL_STD = 0.02  # Devlin et al. 2019


class Residues(Head):
    """A label for each residue from its vector by one linear layer, trained by cross-entropy.

    The loss is the mean over the labelled residues of a protein, then over proteins, so that micro-batches add up to the batch
    and a long protein weighs as much as a short one. Residues with the label "-" count nowhere.

    Args:
        class_weights: "balanced" weighs each label by n / (labels x its count) in the training residues; "none" counts each
            residue once.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("residues",)
    needs: ClassVar[tuple[str, ...]] = ("tokens", "mask")
    class_weight: Tensor

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        class_weights: Literal["none", "balanced"] = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(ports, target)
        if not 0 <= dropout < 1:
            raise errors.UsageError(f"the head's option dropout is {dropout}; it must be at least 0 and less than 1")
        if len(target.labels) < 2:
            raise errors.DataError(f"residues have {len(target.labels)} labels; there is nothing to tell apart")
        self.class_weights = class_weights
        self.positions = {label: at for at, label in enumerate(target.labels)}
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(self.ports["tokens"], len(target.labels))
        nn.init.normal_(self.out.weight, std=INITIAL_STD)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("class_weight", torch.ones(len(target.labels)))

    def settle(self, targets: Sequence[Any]) -> None:
        """Weigh the labels by their counts, where asked for; one that never occurs keeps the weight 1."""
        if self.class_weights == "balanced":
            seen = [at for target in targets for at in self._positions(target) if at != IGNORED]
            count = torch.bincount(torch.tensor(seen, dtype=torch.long), minlength=len(self.positions))
            self.class_weight.copy_(torch.where(count > 0, len(seen) / (len(count) * count.clamp(min=1)), 1.0))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy; a protein without a labelled residue adds nothing."""
        logits = self._logits(features)  # [B, residues, labels]
        truth = self._truth(targets, logits.shape[1]).to(logits.device)  # [B, residues]
        losses = F.cross_entropy(
            logits.transpose(1, 2), truth, self.class_weight.float(), ignore_index=IGNORED, reduction="none"
        )
        labelled = (truth != IGNORED).sum(dim=1)
        return {"cross_entropy": (losses.sum(dim=1) / labelled.clamp(min=1)).mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """A tuple of labels, one for each residue that was read; `details`: "sure", the probability of each."""
        shares = self._logits(features).double().softmax(dim=-1).cpu()
        lengths = features["mask"].sum(dim=1).tolist()
        found = []
        for row, length in zip(shares, lengths, strict=True):
            sure, places = row[:length].max(dim=-1)
            labels = tuple(self.target.labels[at] for at in places.tolist())
            found.append(Prediction(labels, details={"sure": [round(value, 4) for value in sure.tolist()]}))
        return found

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Share of labelled residues that are right (`accuracy_residues`) first, then F1, the mean over labels that occur.

        Residues behind the place where a long protein was cut have no prediction and count as wrong.
        """
        counts = np.ones(len(targets)) if weights is None else np.asarray(weights, dtype=float)
        return residue_scores(np.tensordot(counts, self._tables(predictions, targets), axes=1))

    _counted: tuple[Any, Any, np.ndarray] | None = None

    def _tables(self, predictions: Sequence[Prediction], targets: Sequence[Any]) -> np.ndarray:
        """Residues of each protein by true and predicted label, [N, labels, labels + 1]; the last column is "not predicted".

        Kept for the lists that were asked for last: intervals ask a thousand times for the same ones with other weights.
        """
        if self._counted is None or self._counted[0] is not predictions or self._counted[1] is not targets:
            rows = [self._table(prediction.value, target) for prediction, target in zip(predictions, targets, strict=True)]
            self._counted = (predictions, targets, np.array(rows, dtype=float))
        return self._counted[2]

    def _table(self, said: Sequence[str], target: Sequence[str]) -> np.ndarray:
        size = len(self.positions)
        table = np.zeros((size, size + 1))
        guesses = [*said, *[None] * max(0, len(target) - len(said))]
        for guess, label in zip(guesses, target, strict=False):
            if label in self.positions:
                table[self.positions[label], self.positions.get(guess or "", size)] += 1
        return table

    def _truth(self, targets: Sequence[Any], width: int) -> Tensor:
        truth = torch.full((len(targets), width), IGNORED, dtype=torch.long)
        for row, target in zip(truth, targets, strict=True):
            positions = self._positions(target)[:width]
            row[: len(positions)] = torch.tensor(positions, dtype=torch.long)
        return truth

    def _positions(self, target: Sequence[str] | None) -> list[int]:
        """Places of a protein's labels; none where nobody knows them."""
        target = target or ()
        unknown = next((label for label in target if label != UNLABELLED and label not in self.positions), None)
        if unknown is not None:
            raise errors.DataError(
                f"the label '{unknown}' does not occur in the training data; known: {', '.join(self.positions)}"
            )
        return [self.positions.get(label, IGNORED) for label in target]

    def _logits(self, features: Features) -> Tensor:
        logits: Tensor = self.out(self.dropout(features["tokens"].to(self.out.weight.dtype)))
        return logits.float()


def residue_scores(table: np.ndarray) -> dict[str, float]:
    """Scores from counts of residues by true and predicted label [labels, labels + 1]; {} where there is none."""
    if not table.sum():
        return {}
    right = np.diagonal(table)
    true, said = table.sum(axis=1), table.sum(axis=0)[:-1]
    occurs = (true + said) > 0
    f1 = 2 * right[occurs] / (true + said)[occurs]
    return {"accuracy_residues": float(right.sum() / table.sum()), "macro_f1": float(f1.mean())}
