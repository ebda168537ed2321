"""ULMFiT's way of fine-tuning: thaw one stage an epoch, with rates that fall with depth and on a slanted triangle."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.builtin.strategies import check_options, stage_groups, trainable_stages
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy

# 1 / 2.6 from each layer to the one below it; Howard and Ruder 2018, section 3.2; a literal, so that it is read without import
FALL = 0.3846153846153846
CUT = 0.1  # share of the steps in which rates rise; the same, equation 3


class Ulmfit(Strategy):
    """ULMFiT (Howard and Ruder 2018, sections 3.2 and 3.3): gradual unfreezing, discriminative and slanted triangular rates.

    The head trains for an epoch on the frozen backbone; then in every phase one more stage thaws from the top and everything
    thawed trains for `epochs`, the last phase, which trains all, for `last_epochs`. The rate of each stage is that of the
    one above it over 2.6; within a phase rates rise for a tenth of the steps and fall to 1/32 of the peak. The
    paper's first step, adapting the language model to the texts, is not part of it. For an LSTM the paper takes a peak of
    0.01; transformers want far less.

    Args:
        epochs: Passes in every phase but the last, >= 1; the paper has 1.
        last_epochs: Passes in the last phase, "until convergence" in the paper, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0.
        head_lr: Peak learning rate of the head, > 0; None = that of the stage above the last, `lr` times 2.6.
        decay: Factor from each stage to the one below it, in (0, 1]; 1/2.6 in the paper.
        depth: Stages that thaw in all, counted from the top; None = every stage.
        weight_decay: Decoupled weight decay, >= 0.
        patience: Epochs without a better validation score before a phase ends; None = run all epochs.
    """

    def __init__(
        self,
        *,
        epochs: int = 1,
        last_epochs: int = 3,
        lr: float = 2e-4,
        head_lr: float | None = None,
        decay: float = FALL,
        depth: int | None = None,
        weight_decay: float = 0.01,
        patience: int | None = None,
    ) -> None:
        check_options(epochs=epochs, last_epochs=last_epochs, lr=lr, head_lr=head_lr, decay=decay, depth=depth)
        check_options(weight_decay=weight_decay, patience=patience)
        self._epochs, self._last_epochs, self._lr, self._decay = epochs, last_epochs, lr, decay
        self._head_lr = lr / FALL if head_lr is None else head_lr
        self._depth, self._weight_decay, self._patience = depth, weight_decay, patience

    def phases(self, model: Model) -> Sequence[Phase]:
        """The head alone, then a phase for each stage that has parameters, from the top down."""
        thawing = trainable_stages(model)[: self._depth]
        return tuple(self._phase(thawing[:count], is_last=count == len(thawing)) for count in range(len(thawing) + 1))

    def _phase(self, stages: Sequence[str], *, is_last: bool) -> Phase:
        head = Group((HEAD,), self._head_lr, self._weight_decay)
        groups = (head, *stage_groups(stages, self._lr, self._decay, self._weight_decay))
        name = f"thaw {stages[-1]}" if stages else HEAD
        epochs = self._last_epochs if is_last else self._epochs
        return Phase(name, epochs, groups, "slanted-triangular", CUT, self._patience)
