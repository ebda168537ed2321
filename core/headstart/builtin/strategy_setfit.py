"""SetFit's two steps: the backbone first learns which examples are alike, then the head alone learns what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.builtin.strategies import check_options, stage_groups, trainable_stages
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy


class SetFit(Strategy):
    """Tuning for a handful of labels (Tunstall et al. 2022): everything trains, then the head alone on what came of it.

    Made for `head: contrast`, whose first phase compares examples with each other; with another head the first phase is what
    `full` does. Of few labels none should be spared for validation: `split: {val: 0}`.

    Args:
        epochs: Passes in which the backbone trains, >= 1. 16 examples in one batch make 120 pairs in each; the paper sees 640
            pairs in all. More examples want fewer passes.
        head_epochs: Passes of the head alone, on features that are computed once, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0; 2e-5 for the base models of the paper.
        head_lr: Peak learning rate of the head, > 0.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1].
        weight_decay: Decoupled weight decay, >= 0.
        warmup: Share of the steps of the first phase in which rates rise, in [0, 1); 0.1 in the paper.
        patience: Epochs without a better validation score before a phase ends; None = run all epochs.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        head_epochs: int = 60,
        lr: float = 1e-4,
        head_lr: float = 5e-3,
        layer_decay: float = 1.0,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        patience: int | None = None,
    ) -> None:
        check_options(epochs=epochs, head_epochs=head_epochs, lr=lr, head_lr=head_lr, layer_decay=layer_decay)
        check_options(weight_decay=weight_decay, warmup=warmup, patience=patience)
        self._epochs, self._head_epochs, self._lr, self._head_lr, self._decay = epochs, head_epochs, lr, head_lr, layer_decay
        self._weight_decay, self._warmup, self._patience = weight_decay, warmup, patience

    def phases(self, model: Model) -> Sequence[Phase]:
        """Everything, then the head."""
        head = Group((HEAD,), self._head_lr, self._weight_decay)
        stages = stage_groups(trainable_stages(model), self._lr, self._decay, self._weight_decay)
        return (
            Phase("compare", self._epochs, (head, *stages), "linear", self._warmup, self._patience),
            Phase(HEAD, self._head_epochs, (head,), "cosine", patience=self._patience),
        )
