"""Strategies that train the whole backbone in one phase: with a rate that decays by stage, and from random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headstart.builtin.strategies import check_options, stage_groups, trainable_stages
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.scratch import forget
from headstart.strategy import Strategy


class LayerDecay(Strategy):
    """Fine-tuning of everything, the rate of each stage a constant factor below that of what follows it.

    As in ELECTRA (Clark et al. 2020, appendix B) and BEiT (Bao et al. 2022, appendix H): the head has the full rate, the
    top stage `decay` times that, the one below it `decay` squared, and so on down to the input, where what was learnt
    before is the most general. `full` differs in a rate of its own for the head.

    Args:
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the head, > 0; every stage has less.
        decay: Factor from each stage to the one below it, in (0, 1]. ELECTRA uses 0.8 and 0.9, BEiT 0.65 for base models
            of 12 layers; the fewer the stages, the smaller.
        weight_decay: Decoupled weight decay, >= 0.
        warmup: Share of the steps in which rates rise, in [0, 1).
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        epochs: int = 5,
        lr: float = 5e-4,
        decay: float = 0.75,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        patience: int | None = None,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(epochs=epochs, lr=lr, decay=decay, weight_decay=weight_decay, warmup=warmup, patience=patience)
        self._epochs, self._lr, self._decay, self._weight_decay = epochs, lr, decay, weight_decay
        self._warmup, self._patience, self._schedule = warmup, patience, schedule

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase with a group for the head and one for each stage that has parameters."""
        stages = stage_groups(trainable_stages(model), self._lr * self._decay, self._decay, self._weight_decay)
        groups = (Group((HEAD,), self._lr, self._weight_decay), *stages)
        return (Phase("layer-decay", self._epochs, groups, self._schedule, self._warmup, self._patience),)


class Scratch(Strategy):
    """No transfer: the backbone's weights are made random again, and everything trains from there.

    What it scores, against any other strategy on the same division, is what the pretrained weights are worth. The card of
    the saved model says that it was trained from scratch.

    Args:
        epochs: Largest number of passes over the training examples, >= 1; random weights need many.
        lr: Peak learning rate of everything, > 0.
        weight_decay: Decoupled weight decay, >= 0.
        warmup: Share of the steps in which the rate rises, in [0, 1).
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        epochs: int = 30,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        patience: int | None = None,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(epochs=epochs, lr=lr, weight_decay=weight_decay, warmup=warmup, patience=patience)
        self._epochs, self._lr, self._weight_decay = epochs, lr, weight_decay
        self._warmup, self._patience, self._schedule = warmup, patience, schedule

    def prepare(self, model: Model) -> None:
        """Forget the pretrained weights; the recipe's seed decides the new ones."""
        forget(model.backbone)

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase with one rate for everything."""
        owners = (HEAD, *trainable_stages(model))
        groups = tuple(Group((owner,), self._lr, self._weight_decay) for owner in owners)
        return (Phase("scratch", self._epochs, groups, self._schedule, self._warmup, self._patience),)
