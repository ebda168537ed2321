"""Stand-ins: a small backbone, head and data with everything that matters, to combine somebody else's part with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbone import Backbone, WeightsCard
from headstart.data import Data
from headstart.example import Example, Target
from headstart.features import Features
from headstart.head import Head, Prediction
from headstart.stages import Stage

WIDTH = 8  # numbers per input, and channels of every port
LENGTH = 5  # tokens of the longest input


class Block(nn.Module):
    """One layer with everything that freezing has to think of: weights, BatchNorm and dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(width, width), nn.BatchNorm1d(width), nn.Dropout(0.2)

    def forward(self, values: Tensor) -> Tensor:
        """[B, C] -> [B, C]."""
        output: Tensor = values + self.dropout(torch.tanh(self.norm(self.linear(values))))
        return output


class SmallNetwork(nn.Module):
    """Blocks one after the other."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))

    def forward(self, values: Tensor) -> Tensor:
        """[B, C] -> [B, C]."""
        for block in self.blocks:
            values = block(values)
        return values


class SmallBackbone(Backbone):
    """Vectors of eight numbers through a few blocks; gives whatever ports it is asked for."""

    modality: ClassVar[str] = "vector"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask")

    def __init__(self, *, blocks: int = 3, ports: Sequence[str] = ("pooled", "tokens", "mask")) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network: nn.Module = SmallNetwork(WIDTH, blocks)
        self.ports = {port: 1 if port == "mask" else WIDTH for port in ports}
        self.stages = tuple(Stage(f"block.{at}", (f"blocks.{at}",)) for at in range(blocks))
        self.card = WeightsCard(source="seed 0", licence="CC0-1.0")

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Vectors -> [B, C]."""
        return {"vectors": torch.tensor(np.stack(inputs), dtype=torch.float32)}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """The last value, in the shape that each port usually has."""
        pooled = self.network(batch["vectors"])  # [B, C]
        return {port: _shaped(port, pooled) for port in self.ports}


def _shaped(port: str, pooled: Tensor) -> Tensor:
    batch = pooled.shape[0]
    if port == "pooled":
        return pooled
    if port == "mask":
        return torch.ones(batch, LENGTH, dtype=torch.long)
    if port.startswith(("map", "aux")):
        return pooled[:, :, None, None].expand(-1, -1, 4, 4)  # [B, C, h, w]
    return pooled[:, None].expand(-1, LENGTH, -1)  # [B, L, C]


class Reader(Head):
    """A head that reads given ports and learns one number from the first; only to read, replay and step through them."""

    kinds: ClassVar[tuple[str, ...]] = ("number",)
    needs: tuple[str, ...]  # type: ignore[misc]  # of each object its own: the ports of the backbone that is looked at

    def __init__(self, ports: Mapping[str, int], needs: Sequence[str]) -> None:
        self.needs = tuple(needs)
        super().__init__(ports, Target("number"))
        self.scale = nn.Parameter(torch.ones(()))

    def outputs(self, features: Features) -> Tensor:
        """One number per example: the mean of everything that is floating point, [B]."""
        values = [features[port].float() for port in self.needs if features[port].is_floating_point()]
        total = torch.stack([value.flatten(1).mean(dim=1) for value in values]).sum(dim=0)
        result: Tensor = self.scale * total
        return result

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Squared error."""
        return {"squared": (self.outputs(features) - torch.tensor(targets, dtype=torch.float32)).square().mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """A number each."""
        return [Prediction(value) for value in self.outputs(features).tolist()]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Less the mean absolute error."""
        return {"nearness": -float(np.mean([abs(p.value - target) for p, target in zip(predictions, targets, strict=True)]))}


class InMemory(Data):
    """Given inputs and targets."""

    modality = "any"

    def __init__(self, inputs: Sequence[Any], targets: Sequence[Any], target: Target) -> None:
        self._target = target
        pairs = zip(inputs, targets, strict=True)
        self.rows = [Example(f"e{at}", input, given) for at, (input, given) in enumerate(pairs)]

    @property
    def target(self) -> Target:
        """As given."""
        return self._target

    def examples(self) -> Sequence[Example]:
        """All of them."""
        return self.rows

    def read(self, source: Any) -> Any:
        """As it is."""
        return source


def vectors(count: int) -> list[np.ndarray]:
    """Inputs of the small backbone; the sign of their sum can be learnt."""
    return list(np.random.default_rng(1).normal(size=(count, WIDTH)))
