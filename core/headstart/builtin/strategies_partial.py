"""Strategies that train a part of the backbone, or hold it near where it started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from headstart.builtin.strategies import check_options, stage_groups, trainable_stages
from headstart.errors import UsageError
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm, nn.RMSNorm)


class ProbeThenFull(Strategy):
    """LP-FT: first the head on the frozen backbone, then everything from there.

    Kumar et al. 2022 (section 4): a head that fits already distorts the pretrained features less; out of distribution
    that was 10 points better than fine-tuning at once.

    Args:
        head_epochs: Largest number of passes for the head alone, on stored features, >= 1.
        head_lr: Peak learning rate of the head in its own phase, > 0; a tenth of it afterwards.
        epochs: Largest number of passes that train everything, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1].
        weight_decay: Decoupled weight decay, >= 0.
        patience: Epochs without a better validation score before a phase ends; None = run all epochs.
        schedule: Shape of the learning rate within each phase.
    """

    def __init__(
        self,
        *,
        head_epochs: int = 30,
        head_lr: float = 5e-3,
        epochs: int = 4,
        lr: float = 5e-5,
        layer_decay: float = 0.9,
        weight_decay: float = 0.01,
        patience: int | None = 10,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(head_epochs=head_epochs, head_lr=head_lr, epochs=epochs, lr=lr, layer_decay=layer_decay)
        check_options(weight_decay=weight_decay, patience=patience)
        self._head = Phase(HEAD, head_epochs, (Group((HEAD,), head_lr, weight_decay),), schedule, patience=patience)
        self._epochs, self._lr, self._decay, self._weight_decay = epochs, lr, layer_decay, weight_decay
        self._patience, self._schedule = patience, schedule

    def phases(self, model: Model) -> Sequence[Phase]:
        """The head's phase, then one for everything."""
        head = Group((HEAD,), self._head.groups[0].lr / 10, self._weight_decay)
        groups = (head, *stage_groups(trainable_stages(model), self._lr, self._decay, self._weight_decay))
        return (self._head, Phase("full", self._epochs, groups, self._schedule, patience=self._patience))


class LastStages(Strategy):
    """The head and the last stages train from the start; everything below them is frozen, computed once and replayed.

    Args:
        stages: Number of stages at the output that train, >= 1.
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0.
        head_lr: Peak learning rate of the head, > 0.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1].
        weight_decay: Decoupled weight decay, >= 0.
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        stages: int = 1,
        epochs: int = 5,
        lr: float = 1e-4,
        head_lr: float = 1e-3,
        layer_decay: float = 0.9,
        weight_decay: float = 0.01,
        patience: int | None = None,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "cosine",
    ) -> None:
        check_options(stages=stages, epochs=epochs, lr=lr, head_lr=head_lr, layer_decay=layer_decay)
        check_options(weight_decay=weight_decay, patience=patience)
        self._stages, self._epochs, self._lr, self._head_lr = stages, epochs, lr, head_lr
        self._decay, self._weight_decay, self._patience, self._schedule = layer_decay, weight_decay, patience, schedule

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase for the head and the last stages."""
        top = trainable_stages(model)[: self._stages]
        groups = (
            Group((HEAD,), self._head_lr, self._weight_decay),
            *stage_groups(top, self._lr, self._decay, self._weight_decay),
        )
        return (Phase(f"last {len(top)} stages", self._epochs, groups, self._schedule, patience=self._patience),)


class _Chosen(Strategy):
    """The head and chosen parameters of the backbone train in one phase."""

    _name = ""

    def __init__(self, *, epochs: int, lr: float, head_lr: float, patience: int | None) -> None:
        check_options(epochs=epochs, lr=lr, head_lr=head_lr, patience=patience)
        self._epochs, self._lr, self._head_lr, self._patience = epochs, lr, head_lr, patience

    def _names(self, model: Model) -> tuple[str, ...]:
        raise NotImplementedError

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase for the head and the chosen parameters.

        Raises:
            UsageError: The backbone has no such parameters.
        """
        names = self._names(model)
        if not names:
            raise UsageError(f"the backbone has no parameters for strategy '{self._name}'; use probe, gradual or full")
        groups = (Group((HEAD,), self._head_lr, 0.01), Group(names, self._lr))
        return (Phase(self._name, self._epochs, groups, "cosine", patience=self._patience),)


class NormOnly(_Chosen):
    """The head and the scales and shifts of normalisation layers train; all else is frozen.

    Frankle et al. 2021: these alone carry surprisingly far. They lie from the bottom up, so backward runs through the whole
    network.

    Args:
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the normalisation parameters, > 0.
        head_lr: Peak learning rate of the head, > 0.
        patience: Epochs without a better validation score before training ends; None = run all epochs.
    """

    _name = "norm-only"

    def __init__(self, *, epochs: int = 5, lr: float = 1e-3, head_lr: float = 1e-3, patience: int | None = None) -> None:
        super().__init__(epochs=epochs, lr=lr, head_lr=head_lr, patience=patience)

    def _names(self, model: Model) -> tuple[str, ...]:
        return _of_modules(model, lambda module: isinstance(module, NORMS) or type(module).__name__.endswith("Norm"))


class BitFit(_Chosen):
    """The head and the backbone's biases train; all else is frozen (Ben Zaken et al. 2022).

    Biases lie from the bottom up, so backward runs through the whole network.

    Args:
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the biases, > 0.
        head_lr: Peak learning rate of the head, > 0.
        patience: Epochs without a better validation score before training ends; None = run all epochs.
    """

    _name = "bitfit"

    def __init__(self, *, epochs: int = 5, lr: float = 1e-3, head_lr: float = 1e-3, patience: int | None = None) -> None:
        super().__init__(epochs=epochs, lr=lr, head_lr=head_lr, patience=patience)

    def _names(self, model: Model) -> tuple[str, ...]:
        return tuple(name for name in model.weights() if name.startswith("backbone.") and name.endswith("bias"))


class L2SP(Strategy):
    """Everything trains, and is drawn back to where it started: protection against forgetting.

    Li et al. 2018: the penalty is alpha/2 ||w - w0||^2 over the backbone and beta/2 ||w||^2 over the head.

    Args:
        alpha: Strength of the pull to the pretrained weights, >= 0.
        beta: Strength of the pull of the head to zero, >= 0.
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the backbone's last stage, > 0.
        head_lr: Peak learning rate of the head, > 0.
        layer_decay: Factor on the rate from each stage to the one below it, in (0, 1].
        patience: Epochs without a better validation score before training ends; None = run all epochs.
        schedule: Shape of the learning rate.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.01,
        beta: float = 0.01,
        epochs: int = 4,
        lr: float = 5e-5,
        head_lr: float = 1e-3,
        layer_decay: float = 0.9,
        patience: int | None = None,
        schedule: Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"] = "linear",
    ) -> None:
        check_options(alpha=alpha, beta=beta, epochs=epochs, lr=lr, head_lr=head_lr, layer_decay=layer_decay, patience=patience)
        self._alpha, self._beta, self._epochs, self._lr, self._head_lr = alpha, beta, epochs, lr, head_lr
        self._decay, self._patience, self._schedule = layer_decay, patience, schedule
        self._start: dict[str, Tensor] = {}

    def prepare(self, model: Model) -> None:
        """Keep the weights at the start."""
        self._start = {name: weight.detach().clone() for name, weight in model.weights().items()}

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase for everything, without weight decay: the penalty takes its place."""
        groups = (Group((HEAD,), self._head_lr), *stage_groups(trainable_stages(model), self._lr, self._decay, 0.0))
        return (Phase("l2-sp", self._epochs, groups, self._schedule, patience=self._patience),)

    def penalty(self, model: Model) -> Tensor | float:
        """alpha/2 ||w - w0||^2 over the backbone + beta/2 ||w||^2 over the head."""
        terms = [self._term(name, weight) for name, weight in model.weights().items() if weight.requires_grad]
        return torch.stack(terms).sum() if terms else 0.0

    def _term(self, name: str, weight: Tensor) -> Tensor:
        if name.startswith("backbone."):
            self._start[name] = self._start[name].to(weight.device)  # moves once, with the model
            return self._alpha / 2 * (weight - self._start[name]).square().sum()
        return self._beta / 2 * weight.square().sum()


def _of_modules(model: Model, is_chosen: Callable[[nn.Module], bool]) -> tuple[str, ...]:
    """Names of the parameters that chosen modules of the backbone hold themselves."""
    known = model.weights()
    modules = [(path, module) for path, module in model.backbone.network.named_modules() if is_chosen(module)]
    names = [f"backbone.{path}.{name}" for path, module in modules for name, _ in module.named_parameters(recurse=False)]
    return tuple(name for name in names if name in known)
