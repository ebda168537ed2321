"""The interface of a head: the head is the task, from features to loss, predictions and scores in the user's terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, nn

from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import Features


@dataclass(frozen=True)
class Prediction:
    """What a head says of one example.

    Attributes:
        value: In the terms of the targets: a label, a number, a tuple of labels.
        probabilities: Label -> probability in [0, 1], where the head gives them.
        details: Further plain JSON values (distance to the cluster's centre ...).
    """

    value: Any
    probabilities: Mapping[str, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Network(Protocol):
    """What a head may ask of the backbone when they meet; `headstart.backbone.Backbone` has it."""

    ports: Mapping[str, int]

    def auxiliary(self, port: str) -> tuple[nn.Module, int] | None:
        """Layers between a port and the last layer of its auxiliary classifier, and their width; None = there are none."""
        ...


class Head(nn.Module, ABC):
    """A task on top of features: `HeadClass(ports, target, **options)`; keyword-only arguments are the recipe's options.

    Class attributes:
        kinds: Kinds of target that it can learn: ("class",), ("number",), ...
        needs: Ports that it reads; the only ones that are stored for it, unless it says otherwise (`stored_ports`).
        by_gradient: True = trained by `loss`; False = `fit` learns in one go on the features of a frozen backbone.
        adds_up: True = `loss` is a mean over examples, so that the parts of a batch add up to it; False = it compares examples
            with each other, and a batch is not divided among processes.

    Attributes:
        training_ports: Further ports that `loss` reads, only where they lead to something that trains; never stored.
    """

    kinds: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = True
    adds_up: ClassVar[bool] = True
    training_ports: tuple[str, ...] = ()

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__()
        absent = [port for port in self.needs if port not in ports]
        if absent:
            raise UsageError(f"a {type(self).__name__} head reads the port {absent[0]}; this network gives {', '.join(ports)}")
        self.ports = {port: ports[port] for port in self.needs}
        self.target = target

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Named scalar losses over the batch; their sum is minimised. Targets are in the user's terms."""
        raise NotImplementedError(f"{type(self).__name__} is not trained by gradient")

    @abstractmethod
    def predict(self, features: Features) -> list[Prediction]:
        """One prediction per example of the batch."""

    @abstractmethod
    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Scores by name; the first selects the model, higher is better. `weights` [N] are bootstrap counts."""

    def fit(self, features: Features, targets: Sequence[Any]) -> None:
        """Learn in one go from all training features [N, ...]; only called where `by_gradient` is False."""
        raise NotImplementedError(f"{type(self).__name__} is trained by gradient")

    def facts(self) -> Mapping[str, Any]:
        """What was learnt besides the weights (a chosen constant, what clusters are like), plain JSON, for `metrics.json`."""
        return {}

    def join(self, backbone: Network) -> None:
        """Meet the backbone once, before anything trains; the default does nothing."""

    def kept(self) -> Head:
        """The part of this head that predicts and is saved; the default is all of it."""
        return self

    @classmethod
    def saved_part(cls, use: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Name and options of the head that `kept` gives, from this one's."""
        return use, dict(options)

    @property
    def stored_ports(self) -> tuple[str, ...]:
        """Ports of what `gather` gives that are kept of a frozen backbone; the default is what it reads."""
        return self.needs

    def gather(self, features: Features) -> Features:
        """Hear all that a pass of the backbone gave and add what is kept of it in its place; the default adds nothing.

        `loss`, `predict` and `fit` read the result, or the `stored_ports` of it alone.
        """
        return features

    def settle(self, targets: Sequence[Any]) -> None:
        """See all training targets once before training (class counts, mean and scale); the default does nothing."""
