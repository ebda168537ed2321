"""Joined: several ports of a network as one vector, for any head that reads one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import RAGGED_PORTS, Features, place_means
from headstart.head import Head, Network, Prediction

MASK, TOKENS = "mask", "tokens"


class Joined(Head):
    """Several ports joined to one vector, and another head on it: what lower stages see, beside what the last one sees.

    Maps and volumes are averaged over their places, tokens over those that are there, vectors are taken as they are. What is
    stored of a frozen backbone is the joined vector alone, not the maps.

    Args:
        reads: Names of the ports in the order in which they are joined, each once: [pooled, map.3, map.4]; or one name.
        main: Name of the head on the vector, one that reads the port pooled: "linear", "mlp", "logistic", "svm", "knn" ...
        options: That head's options.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class", "labels", "number")
    needs: tuple[str, ...] = ("pooled",)  # type: ignore[misc]  # of each object its own: those that the recipe names
    by_gradient: bool  # type: ignore[misc]  # as the main head is trained
    adds_up: bool  # type: ignore[misc]
    wraps: ClassVar[str] = "head"

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        reads: str | list[str],
        main: str = "linear",
        options: dict[str, Any] | None = None,
    ) -> None:
        self.reads = _chosen(ports, (reads,) if isinstance(reads, str) else tuple(reads))
        self.needs = (*self.reads, *([MASK] if TOKENS in self.reads and MASK in ports else []))
        super().__init__(ports, target)
        self.main = _wrapped(main, target)({"pooled": sum(ports[port] for port in self.reads)}, target, **(options or {}))
        self.by_gradient, self.adds_up = self.main.by_gradient, self.main.adds_up

    @property
    def stored_ports(self) -> tuple[str, ...]:
        """The joined vector alone; its name is no port's, so that its store is not that of whole maps."""
        return (f"joined({'+'.join(self.reads)})",)

    def gather(self, features: Features) -> Features:
        """The features with the joined vector [B, C] among them."""
        return {**features, self.stored_ports[0]: self._joined(features)}

    def vector(self, features: Features) -> dict[str, Tensor]:
        """The port pooled [B, C] that the main head reads: the joined vector, stored or made here."""
        found = features.get(self.stored_ports[0])
        return {"pooled": self._joined(features) if found is None else found}

    def join(self, backbone: Network) -> None:
        """The main head's."""
        self.main.join(backbone)

    def settle(self, targets: Sequence[Any]) -> None:
        """The main head's."""
        self.main.settle(targets)

    def outputs(self, features: Features) -> Tensor:
        """The main head's values, where it has such: logits [B, K]."""
        found: Tensor = cast(Any, self.main).outputs(self.vector(features))
        return found

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The main head's losses on the joined vector."""
        return self.main.loss(self.vector(features), targets)

    def fit(self, features: Features, targets: Sequence[Any]) -> None:
        """The main head learns from the joined vectors in one go."""
        self.main.fit(self.vector(features), targets)

    def predict(self, features: Features) -> list[Prediction]:
        """The main head's predictions."""
        return self.main.predict(self.vector(features))

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """The main head's."""
        return self.main.score(predictions, targets, weights)

    def facts(self) -> Mapping[str, Any]:
        """The main head's."""
        return self.main.facts()

    def _joined(self, features: Features) -> Tensor:
        return torch.cat([self._mean(features, port) for port in self.reads], dim=1)

    def _mean(self, features: Features, port: str) -> Tensor:
        found = place_means(features, port)
        if found.ndim != 2 or found.shape[1] != self.ports[port]:
            raise UsageError(
                f"the port '{port}' has the shape {tuple(features[port].shape)}, which is no vector, map or tokens of "
                f"{self.ports[port]} channels; leave it out of the head's option reads: {', '.join(self.reads)}"
            )
        return found


def _chosen(ports: Mapping[str, int], reads: tuple[str, ...]) -> tuple[str, ...]:
    """The ports that are joined.

    Raises:
        UsageError: There is none, or one is unknown, named twice, or neither a vector nor a value at each place.
    """
    fitting = [port for port in ports if port == TOKENS or port not in RAGGED_PORTS]
    known = f"its ports that can be joined: {', '.join(fitting) or 'none'}"
    if not reads:
        raise UsageError(f"the head's option reads names no port of this backbone; {known}")
    absent = [port for port in reads if port not in ports]
    if absent:
        raise UsageError(f"the head's option reads names '{absent[0]}', which this backbone does not give; {known}")
    twice = [port for port in reads if reads.count(port) > 1]
    if twice:
        raise UsageError(f"the head's option reads names '{twice[0]}' twice; name each port once")
    wrong = [port for port in reads if port not in fitting]
    if wrong:
        raise UsageError(f"the head's option reads names '{wrong[0]}', which is neither a vector, a map nor tokens; {known}")
    return reads


def _wrapped(main: str, target: Target) -> type[Head]:
    """The class of the main head.

    Raises:
        UsageError: There is none of that name, or it reads something else or learns other targets.
    """
    from headstart.build import part_class

    kind = cast("type[Head]", part_class("head", main))
    if kind.needs != ("pooled",) or getattr(kind, "wraps", None):
        raise UsageError(
            f"the head's option main is '{main}'; ports are joined for heads that read the port pooled alone: linear, mlp, "
            "multilabel, regression, ordinal, contrast, logistic, svm, knn, kmeans, prototype"
        )
    if target.kind not in kind.kinds:
        raise UsageError(f"the head's option main is '{main}', which learns {' or '.join(kind.kinds)}, not {target.kind}")
    return kind
