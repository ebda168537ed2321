"""Auxiliary classifiers as a head: they help a deep network to learn, and are gone once it has learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Network, Prediction

AUXILIARY = "aux"  # how the ports begin that a network gives for this purpose
# Szegedy et al. 2014, section 5, weigh the losses of GoogLeNet's two classifiers by 0.3; torchvision's reference training
# weighs the single one of Inception v3 by 0.4
WEIGHT_OF_ONE, WEIGHT_OF_SEVERAL = 0.4, 0.3


class Aux(Head):
    """A main head with auxiliary classifiers on maps within the network, which train with it; Szegedy et al. 2014, section 5.

    Each auxiliary classifier is what the network's paper puts before its last layer (where it says nothing, the average over
    the map) and a head of the main one's kind. Their losses are added to the main one's, weighed. One whose map comes from
    frozen stages could teach nothing and is left out, which the run says. At prediction, in the saved run and in its number
    of parameters there is the main head alone.

    Args:
        main: Name of the head that stays, which must read the port "pooled": "linear", "mlp", "multilabel", "regression".
        options: The main head's options; the auxiliary ones get the same.
        on: Ports that get an auxiliary classifier; null = all whose name begins with "aux".
        weight: Of each auxiliary loss, > 0; null = 0.4 where there is one, 0.3 where there are several.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class", "labels", "number")
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    wraps: ClassVar[str] = "head"

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        main: str = "linear",
        options: dict[str, Any] | None = None,
        on: list[str] | None = None,
        weight: float | None = None,
    ) -> None:
        super().__init__(ports, target)
        self._kind, self._options = _wrapped(main, target), dict(options or {})
        self.main = self._kind(ports, target, **self._options)
        self.training_ports = _chosen(ports, on)
        default = WEIGHT_OF_ONE if len(self.training_ports) == 1 else WEIGHT_OF_SEVERAL
        self.weight = _positive(default if weight is None else weight)
        self.necks, self.auxiliary = nn.ModuleDict(), nn.ModuleDict()

    def join(self, backbone: Network) -> None:
        """Make the auxiliary classifiers, each for the width that the network's own layers before it give."""
        for port in self.training_ports:
            neck, width = backbone.auxiliary(port) or (Average(), backbone.ports[port])
            self.necks[_key(port)] = neck
            self.auxiliary[_key(port)] = self._kind({"pooled": width}, self.target, **self._options)

    def settle(self, targets: Sequence[Any]) -> None:
        """All of them see the training targets."""
        for head in self._heads():
            head.settle(targets)

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """The main head's losses, and the weighed sum of each auxiliary classifier's under its port's name.

        Without gradient (validation) there are the main ones alone: they are what the run will be judged by.
        """
        losses = self.main.loss(features, targets)
        for port in self.training_ports:
            value = features.get(port)
            if torch.is_grad_enabled() and value is not None and value.requires_grad:
                losses[port] = self.weight * self._auxiliary_loss(port, value, targets)
        return losses

    def predict(self, features: Features) -> list[Prediction]:
        """The main head's."""
        return self.main.predict(features)

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """The main head's."""
        return self.main.score(predictions, targets, weights)

    def facts(self) -> Mapping[str, Any]:
        """The main head's."""
        return self.main.facts()

    def kept(self) -> Head:
        """The main head."""
        return self.main

    @classmethod
    def saved_part(cls, use: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:  # noqa: ARG003 - not its own
        """The main head, so that a saved run loads as if it had trained alone."""
        return options.get("main", "linear"), dict(options.get("options") or {})

    def _auxiliary_loss(self, port: str, value: Tensor, targets: Sequence[Any]) -> Tensor:
        neck, head = self.necks[_key(port)], cast(Head, self.auxiliary[_key(port)])
        losses = head.loss({"pooled": neck(value)}, targets)
        return torch.stack(list(losses.values())).sum()

    def _heads(self) -> list[Head]:
        return [self.main, *(cast(Head, head) for head in self.auxiliary.values())]


class Average(nn.Module):
    """The mean over all places of a map."""

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, ...] -> [B, C]."""
        return values.flatten(2).mean(dim=2)


def _wrapped(main: str, target: Target) -> type[Head]:
    """The class of the main head.

    Raises:
        UsageError: There is none of that name, or it cannot have auxiliary classifiers, or learns other targets.
    """
    from headstart.build import part_class

    kind = cast("type[Head]", part_class("head", main))
    if kind.needs != ("pooled",) or not kind.by_gradient or getattr(kind, "wraps", None):
        raise UsageError(
            f"the head's option main is '{main}'; auxiliary classifiers go with heads that read the port pooled alone and are "
            "trained by gradient: linear, mlp, multilabel, regression"
        )
    if target.kind not in kind.kinds:
        raise UsageError(f"the head's option main is '{main}', which learns {' or '.join(kind.kinds)}, not {target.kind}")
    return kind


def _chosen(ports: Mapping[str, int], on: Sequence[str] | None) -> tuple[str, ...]:
    """The ports that get an auxiliary classifier.

    Raises:
        UsageError: There is none, or one is unknown or named twice.
    """
    others = [port for port in ports if port != "pooled"]
    found = tuple(port for port in ports if port.startswith(AUXILIARY)) if on is None else tuple(on)
    absent = [port for port in found if port not in others]
    if absent or len(set(found)) < len(found):
        named = f"{absent[0]}, which this backbone does not give" if absent else "a port twice"
        raise UsageError(f"the head's option on names {named}; its ports but pooled: {', '.join(others) or 'none'}")
    if not found:
        raise UsageError(
            "this backbone has no ports for auxiliary classifiers, as googlenet (aux1, aux2) and inception-v3 (aux1) of the "
            f"vision plugin have; name others in the head's option on: {', '.join(others) or 'it has none'}"
        )
    return found


def _positive(weight: float) -> float:
    if weight <= 0:
        raise UsageError(f"the head's option weight is {weight}; it must be greater than 0 (without auxiliary losses: no aux)")
    return weight


def _key(port: str) -> str:
    """A name for a submodule, which holds no point."""
    return port.replace(".", "_")
