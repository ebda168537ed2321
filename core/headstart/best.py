"""The best weights that validation saw: kept in memory, put back when a phase or the run is over."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headstart.ledger import Chosen
from headstart.model import Model


@dataclass
class Best:
    """The best weights so far by the selecting score on validation; equal scores go to the smaller validation loss.

    Attributes:
        where: What the best weights came from: the number of an epoch, the name of a phase.
        age: Considerations since it was found.
        state: The kept weights, and every buffer.
    """

    score: float = -math.inf
    loss: float = math.inf
    where: int | str = 0
    age: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)

    def watch(self, model: Model, chosen: Chosen) -> None:
        """Also keep these weights, which have not trained since the best was found, and all buffers."""
        now = model.state()
        for name in ({name for group in chosen for name in group} | (now.keys() - model.weights().keys())) - self.state.keys():
            self.state[name] = now[name].clone()

    def consider(self, score: float, loss: float, where: int | str, model: Model) -> bool:
        """Keep the model's state if it is better; says whether it was."""
        better = (score, -loss) > (self.score, -self.loss)
        self.age = 0 if better else self.age + 1
        if better:
            self.score, self.loss, self.where = score, loss, where
            now = model.state()
            self.state = {name: now[name].clone() for name in self.state}
        return better

    def as_json(self) -> dict[str, Any]:
        """Everything but the state."""
        return {"score": self.score, "loss": self.loss, "where": self.where, "age": self.age}

    def restore(self, model: Model) -> None:
        """Put the kept state back into the model."""
        now = model.state()
        with torch.no_grad():
            for name, tensor in self.state.items():
                now[name].copy_(tensor)
