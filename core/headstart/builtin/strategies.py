"""The three classic ways of transfer: probe a frozen backbone, tune all of it, or thaw it stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from headstart.errors import UsageError
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy


class Probe(Strategy):
    """Feature extraction: the backbone stays frozen, its features are computed once, only the head trains.

    Args:
        epochs: Largest number of passes over the stored features (they cost next to nothing), >= 1.
        lr: Peak learning rate of the head, > 0.
        weight_decay: Decoupled weight decay of the head, >= 0.
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        epochs: int = 60,
        lr: float = 5e-3,
        weight_decay: float = 0.01,
        patience: int | None = 15,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(epochs=epochs, lr=lr, weight_decay=weight_decay, patience=patience)
        self._phase = Phase(HEAD, epochs, (Group((HEAD,), lr, weight_decay),), schedule, patience=patience)

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase; a head that learns in one go has no group."""
        if model.head.by_gradient:
            return (self._phase,)
        return (Phase(HEAD, 1, ()),)


class Full(Strategy):
    """Fine-tuning of everything at once, with rates that may fall with depth.

    Args:
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0. Large encoders want 2e-5 to 5e-5 (Devlin et al. 2019), small
            ones more: the recipes for film reviews use 2e-4 for MiniLM-L6.
        head_lr: Peak learning rate of the head, > 0.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1]; 1 = one rate for all. Clark et al.
            2020 (ELECTRA) use 0.8 to 0.9 for base models.
        weight_decay: Decoupled weight decay, >= 0.
        warmup: Share of the steps in which rates rise, in [0, 1).
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        epochs: int = 4,
        lr: float = 5e-5,
        head_lr: float = 1e-3,
        layer_decay: float = 0.9,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        patience: int | None = None,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "linear",
    ) -> None:
        check_options(epochs=epochs, lr=lr, head_lr=head_lr, layer_decay=layer_decay, patience=patience)
        check_options(weight_decay=weight_decay, warmup=warmup)
        self._epochs, self._lr, self._head_lr, self._decay = epochs, lr, head_lr, layer_decay
        self._weight_decay, self._warmup, self._patience, self._schedule = weight_decay, warmup, patience, schedule

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase with a group for the head and one for each stage that has parameters."""
        groups = (
            Group((HEAD,), self._head_lr, self._weight_decay),
            *stage_groups(trainable_stages(model), self._lr, self._decay, self._weight_decay),
        )
        return (Phase("full", self._epochs, groups, self._schedule, self._warmup, self._patience),)


class Gradual(Strategy):
    """Head first on the frozen backbone, then stage by stage from the top, with rates that fall with depth.

    Howard and Ruder 2018 (ULMFiT, section 3.3): gradual unfreezing protects what the lower stages know.

    Args:
        head_epochs: Largest number of passes for the head alone, on features that are computed once, >= 1.
        head_lr: Peak learning rate of the head in its own phase, > 0; a tenth of it once stages train.
        epochs: Passes in each phase that thaws stages, >= 1.
        last_epochs: Passes in the last phase, which trains the most; None = `epochs`.
        lr: Peak learning rate of the backbone's last stage, > 0. Large encoders want 2e-5 to 5e-5 (Devlin et al. 2019), small
            ones more: the recipes for film reviews use 2e-4 for MiniLM-L6.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1].
        step: Stages that thaw per phase, >= 1.
        depth: Stages that thaw in all, counted from the top; None = every stage.
        weight_decay: Decoupled weight decay, >= 0.
        patience: Epochs without a better validation score before a phase ends; None = run all epochs.
        schedule: Shape of the learning rate within each phase.
    """

    def __init__(
        self,
        *,
        head_epochs: int = 30,
        head_lr: float = 5e-3,
        epochs: int = 1,
        last_epochs: int | None = None,
        lr: float = 5e-5,
        layer_decay: float = 0.9,
        step: int = 2,
        depth: int | None = None,
        weight_decay: float = 0.01,
        patience: int | None = 10,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(head_epochs=head_epochs, epochs=epochs, last_epochs=last_epochs, step=step, depth=depth)
        check_options(head_lr=head_lr, lr=lr, layer_decay=layer_decay, weight_decay=weight_decay, patience=patience)
        self._head = Phase(HEAD, head_epochs, (Group((HEAD,), head_lr, weight_decay),), schedule, patience=patience)
        self._epochs, self._last_epochs = epochs, last_epochs or epochs
        self._lr, self._decay, self._step, self._depth = lr, layer_decay, step, depth
        self._weight_decay, self._patience, self._schedule = weight_decay, patience, schedule

    def phases(self, model: Model) -> Sequence[Phase]:
        """The head's phase, then one for each `step` stages, deepest last."""
        thawing = trainable_stages(model)[: self._depth]
        cuts = [*range(self._step, len(thawing), self._step), len(thawing)] if thawing else []
        return (self._head, *(self._thaw(thawing[:cut], is_last=cut == cuts[-1]) for cut in cuts))

    def _thaw(self, stages: Sequence[str], *, is_last: bool) -> Phase:
        head = Group((HEAD,), self._head.groups[0].lr / 10, self._weight_decay)
        groups = (head, *stage_groups(stages, self._lr, self._decay, self._weight_decay))
        epochs = self._last_epochs if is_last else self._epochs
        return Phase(f"thaw to {stages[-1]}", epochs, groups, self._schedule, patience=self._patience)


POSITIVE: tuple[Callable[[float], bool], str] = (lambda value: value > 0, "greater than 0")
COUNT: tuple[Callable[[float], bool], str] = (lambda value: value >= 1, "at least 1")
RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("epochs", "head_epochs", "last_epochs", "patience", "step", "depth", "stages", "steps", "rank"), COUNT),
    **dict.fromkeys(("lr", "head_lr"), POSITIVE),
    **dict.fromkeys(("layer_decay", "decay"), (lambda value: 0 < value <= 1, "greater than 0 and at most 1")),
    **dict.fromkeys(("weight_decay", "alpha", "beta"), (lambda value: value >= 0, "at least 0")),
    **dict.fromkeys(("warmup", "dropout"), (lambda value: 0 <= value < 1, "at least 0 and less than 1")),
}


def check_options(**options: float | None) -> None:
    """Refuse values out of range; None is an option's own "not at all".

    Raises:
        UsageError: The first option that is out of range, with its value and the range.
    """
    for name, value in options.items():
        is_right, words = RANGES[name]
        if value is not None and not is_right(value):
            raise UsageError(f"the strategy's option {name} is {value}; it must be {words}")


def trainable_stages(model: Model) -> tuple[str, ...]:
    """Names of the stages that hold parameters, from the output down to the input."""
    owning = {model.owner[name] for name in model.weights()}
    return tuple(name for name in reversed(model.stage_names) if name in owning)


def stage_groups(stages: Sequence[str], lr: float, decay: float, weight_decay: float) -> tuple[Group, ...]:
    """One group per stage, top first; the k-th below the top has the rate lr * decay**k."""
    return tuple(Group((stage,), lr * decay**depth, weight_decay) for depth, stage in enumerate(stages))
