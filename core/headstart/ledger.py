"""The ledger: which parameter was in which group in which phase, and the proof of what moved and what did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from headstart.errors import FreezingError, HeadstartError
from headstart.model import HEAD, Model
from headstart.phases import Phase

Chosen = Sequence[Mapping[str, torch.nn.Parameter]]


class Ledger:
    """Watches one model through its phases; `entries` is what `ledger.json` holds."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._origin: dict[str, Tensor] = {}
        self._before: dict[str, str] = {}
        self.entries: list[dict[str, Any]] = []
        self.kept = ""  # name of the phase whose best weights the run keeps

    @property
    def touched(self) -> set[str]:
        """Names of the parameters that some phase so far has trained."""
        return set(self._origin)

    def remember(self, chosen: Chosen) -> None:
        """Keep the values that these parameters have now, where they have not trained before."""
        for name, weight in (pair for group in chosen for pair in group.items()):
            if name not in self._origin:
                self._origin[name] = weight.detach().cpu().clone()

    def as_json(self) -> dict[str, Any]:
        """Everything but the values from before training, which the recipe makes again."""
        return {"entries": self.entries, "kept": self.kept, "before": self._before}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """Take up what `as_json` gave; `remember` was called for all phases so far.

        Raises:
            HeadstartError: A tensor that was frozen has another value than then.
        """
        self.entries, self.kept, self._before = saved["entries"], saved["kept"], saved["before"]
        frozen = self._model.weights().keys() - self._origin.keys()
        now = digests(self._model)
        other = [name for name, digest in self._before.items() if name in frozen and now[name] != digest]
        if other:
            raise HeadstartError(
                f"{len(other)} weights of the network are not those that the run began with (the first: {other[0]}); a run "
                "goes on with the same weights and versions only; begin a new one"
            )

    def open(self, phase: Phase, chosen: Chosen) -> None:
        """Write down the phase's groups and the hash of every tensor before its first step."""
        self.remember(chosen)
        self._before = digests(self._model)
        self.entries.append({"name": phase.name, "groups": _groups(phase, chosen), "rates": _rates(self._model, phase, chosen)})

    def prove(self, chosen: Chosen) -> None:
        """Compare every tensor with its hash from before the phase.

        Raises:
            FreezingError: A tensor outside the phase's groups changed, or a buffer of a module that does not train.
        """
        after = digests(self._model)
        moved = {name for name, digest in after.items() if digest != self._before.get(name)}
        trainable = _names(chosen)
        weights = tuple(self._model.weights())
        frozen = [name for name in after if name not in trainable and not self._is_free_buffer(name, weights, trainable)]
        broken = [name for name in frozen if name in moved]
        if broken:
            phase = self.entries[-1]["name"]
            raise FreezingError(f"phase '{phase}' changed {len(broken)} frozen tensors: {', '.join(broken[:5])}")
        self.entries[-1]["frozen"] = {"tensors": len(frozen), "identical": True}
        self.entries[-1]["trainable"] = _account(self._model, trainable, moved)
        self.entries[-1]["drift"] = self.drift()

    def drift(self) -> dict[str, float]:
        """Per stage ||w - w0|| / ||w0|| against the weights at the start of the run; 0 for what never trained."""
        squares = {name: [0.0, 0.0] for name in (*self._model.stage_names, HEAD)}
        for name, weight in self._model.weights().items():
            start = self._origin.get(name)
            pair = squares[self._model.owner[name]]
            now = weight.detach().float().cpu()
            pair[1] += float((now if start is None else start.float()).square().sum())
            if start is not None:
                pair[0] += float((now - start.float()).square().sum())
        return {stage: (change / size) ** 0.5 if size else 0.0 for stage, (change, size) in squares.items()}

    def _is_free_buffer(self, name: str, weights: Sequence[str], trainable: set[str]) -> bool:
        """Buffers belong to what trains with them: the head's always, a module's where one of its own parameters trains.

        Those of a module without parameters go with its stage.
        """
        owner = self._model.owner.get(name, HEAD)
        if name in weights:
            return False
        module = f"{name.rpartition('.')[0]}."
        if owner == HEAD or not any(other.startswith(module) for other in weights):
            return owner == HEAD or any(self._model.owner[other] == owner for other in trainable)
        return any(other.startswith(module) for other in trainable)


def digests(model: Model) -> dict[str, str]:
    """Hash of the bytes of each parameter and buffer (BLAKE2b, 128 bits)."""
    return {name: _digest(tensor) for name, tensor in model.state().items()}


def _digest(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return blake2b(raw.numpy().data, digest_size=16).hexdigest()


def _names(chosen: Chosen) -> set[str]:
    return {name for group in chosen for name in group}


def _groups(phase: Phase, chosen: Chosen) -> list[dict[str, Any]]:
    return [
        {
            "select": list(group.select),
            "lr": group.lr,
            "weight_decay": group.weight_decay,
            "tensors": len(weights),
            "parameters": sum(weight.numel() for weight in weights.values()),
        }
        for group, weights in zip(phase.groups, chosen, strict=True)
    ]


def _rates(model: Model, phase: Phase, chosen: Chosen) -> dict[str, float]:
    rates = dict.fromkeys((*model.stage_names, HEAD), 0.0)
    for group, weights in zip(phase.groups, chosen, strict=True):
        for name in weights:
            rates[model.owner[name]] = max(rates[model.owner[name]], group.lr)
    return rates


def _account(model: Model, trainable: set[str], moved: set[str]) -> dict[str, Any]:
    weights = model.weights()
    return {
        "tensors": len(trainable),
        "parameters": sum(weights[name].numel() for name in trainable),
        "moved": len(trainable & moved),
        "unmoved": sorted(trainable - moved),
    }
