"""A plugin in one file: a backbone and a head in float64 without dropout and BatchNorm, so that sums show every difference.

`DOOMED=rank:site:n` kills one of several processes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart import Backbone, Component, Features, Stage, Target, WeightsCard, faults, hookimpl
from headstart.builtin.heads_neural import Linear

WORDS = 64

rank, _, fault = os.environ.get("DOOMED", "").partition(":")
if fault and rank == os.environ.get("RANK"):
    faults.arm(fault)


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """The backbone."""
    yield Component("ranks/words", "ranks_parts:Words", "words in float64")


@hookimpl
def headstart_heads() -> Iterator[Component]:
    """The head."""
    yield Component("ranks/linear", "ranks_parts:Double", "a linear layer in float64")


class Net(nn.Module):
    """An embedding and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(WORDS + 1, 8, mode="mean", padding_idx=0)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, words: Tensor) -> dict[str, Tensor]:
        """[B, L] -> pooled [B, C]."""
        return {"pooled": torch.tanh(self.second(torch.tanh(self.first(self.embedding(words)))))}


class Words(Backbone):
    """Hashed words."""

    modality = "text"
    port_names = ("pooled",)

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.network: nn.Module = Net().double()
        self.ports = {"pooled": 8}
        self.stages = (Stage("embedding", ("embedding",)), Stage("first", ("first",)), Stage("second", ("second",)))
        self.card = WeightsCard(source="seed 3", licence="CC0-1.0")

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Texts -> words [B, L], padded on the right."""
        rows = [torch.tensor([1 + zlib.crc32(word.encode()) % WORDS for word in text.split()]) for text in inputs]
        return {"words": nn.utils.rnn.pad_sequence(rows, batch_first=True)}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> pooled."""
        features: Features = self.network(batch["words"])
        return features

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Words of each text."""
        return [len(text.split()) for text in inputs]


class Double(Linear):
    """Its loss is not rounded to float32."""

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__(ports, target)
        self.double()

    def outputs(self, features: Features) -> Tensor:
        """Logits, [B, K]."""
        logits: Tensor = self.out(features["pooled"])
        return logits

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the batch."""
        truth = torch.tensor(self.index.positions(targets))
        return {"cross_entropy": F.cross_entropy(self.outputs(features), truth)}
