"""A passage: one phase on its way, whole between two optimiser steps, so that it can be saved and taken up anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headstart.best import Best
from headstart.ema import Average
from headstart.ledger import Chosen
from headstart.order import seed_of
from headstart.phases import Phase

PLACE = ("epoch", "batch", "step", "seen", "loss", "began", "above", "is_told")
ADAM, EMA, BEST, GENERATOR = "adam", "ema", "best", "generator"


@dataclass
class Passage:
    """One phase while it is carried out.

    Attributes:
        phase: What trains and how long.
        chosen: Its parameters by group, made trainable.
        optimizer: Over them.
        average: Of them, where the plan asks for one.
        best: The phase's best weights so far.
        first_step: Optimiser steps before the phase.
        rates: Factor of the learning rates for each of its steps.
        epochs: At most.
        epoch: That runs or comes next, from 1.
        batch: Batches of it that are done.
        step: Optimiser steps of the phase that are done.
        seen: Examples of it in them.
        loss: Sum over these examples.
        began: The loss before the phase's first step; None = it is yet to come.
        above: Steps in a row with a loss far over it.
        is_told: That it diverges was said.
    """

    phase: Phase
    chosen: Chosen
    optimizer: torch.optim.Optimizer
    average: Average
    best: Best
    first_step: int
    rates: Sequence[float]
    epochs: int
    epoch: int = 1
    batch: int = 0
    step: int = 0
    seen: int = 0
    loss: float = 0.0
    began: float | None = None
    above: int = 0
    is_told: bool = False
    _generators: Mapping[str, Tensor] | None = None

    def is_over(self, *, is_validated: bool) -> bool:
        """Whether all epochs are done, or validation has shown nothing better for as many as the phase's patience has."""
        is_worn_out = is_validated and bool(self.phase.patience) and self.best.age >= (self.phase.patience or 0)
        return self.epoch > self.epochs or (is_worn_out and not self.batch)

    def seed_dropout(self, seed: int) -> None:
        """Torch's random numbers of the epoch: from its seed, or as they were after the last step of one that was begun."""
        if self._generators is None or not self.batch:
            torch.manual_seed(seed_of("dropout", seed, self.phase.name, self.epoch))
            return
        torch.set_rng_state(self._generators["cpu"])
        for name, state in self._generators.items():
            if name != "cpu":
                torch.cuda.set_rng_state(state, name)

    def count(self, examples: int) -> None:
        """A step was done."""
        self.step, self.batch, self.seen = self.step + 1, self.batch + 1, self.seen + examples

    def end_epoch(self) -> None:
        """The next one comes."""
        self.epoch, self.batch, self.seen, self.loss = self.epoch + 1, 0, 0, 0.0

    # saved and taken up

    def as_json(self) -> dict[str, Any]:
        """Everything but tensors."""
        place = {name: getattr(self, name) for name in PLACE}
        return {"phase": self.phase.name, **place, "averaged": self.average.state()[0], "best": self.best.as_json()}

    def tensors(self) -> dict[str, Tensor]:
        """State of the optimiser by name of the parameter, the average, the best weights, torch's generators."""
        found = {f"{BEST}.{name}": tensor for name, tensor in self.best.state.items()}
        found |= {f"{EMA}.{name}": tensor for name, tensor in self.average.state()[1].items()}
        for name, weight in self._weights():
            for slot, value in self.optimizer.state.get(weight, {}).items():
                found[f"{ADAM}.{slot}.{name}"] = value
        return found | {f"{GENERATOR}.{name}": state for name, state in _generator_states(self._device()).items()}

    def go_on(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take up what `as_json` and `tensors` gave."""
        for name in PLACE:
            setattr(self, name, facts.get(name, getattr(self, name)))  # older checkpoints lack some
        device = self._device()
        state = {name: tensor.to(device) for name, tensor in _under(tensors, BEST)}
        self.best = Best(**facts["best"], state=state)
        self.average.go_on(facts["averaged"], dict(_under(tensors, EMA)))
        weights = dict(self._weights())
        for key, value in _under(tensors, ADAM):
            slot, _, name = key.partition(".")
            self.optimizer.state[weights[name]][slot] = _beside(weights[name], value)
        self._generators = dict(_under(tensors, GENERATOR))

    def _weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return ((name, weight) for group in self.chosen for name, weight in group.items())

    def _device(self) -> torch.device:
        return next(weight.device for _, weight in self._weights())


def _under(tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    return ((key.removeprefix(f"{prefix}."), value) for key, value in tensors.items() if key.startswith(f"{prefix}."))


def _beside(weight: Tensor, value: Tensor) -> Tensor:
    """A saved moment on the weight's device and in its layout; a fused optimiser wants both."""
    if value.shape != weight.shape:
        return value.to(weight.device)
    return torch.empty_like(weight, dtype=value.dtype, memory_format=torch.preserve_format, requires_grad=False).copy_(value)


def _generator_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | {str(device): torch.cuda.get_rng_state(device)} if device.type == "cuda" else states
