"""A plugin in one file: small real parts, so that whole recipes run in milliseconds. `--plugin tiny_parts.py` adds it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model
from torch import Tensor, nn

from headstart import Backbone, Component, Evaluation, Features, Group, Model, Phase, Stage, Strategy, WeightsCard, hookimpl
from headstart.place import Place

WORDS = 256  # buckets that words are hashed into; 0 is padding


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """The backbone of the tests."""
    yield Component("tiny/words", "tiny_parts:Words", "hashed bags of words")
    yield Component("tiny/unsized", "tiny_parts:Unsized", "the same, whose inputs have no size, so that threads prepare them")


@hookimpl
def headstart_strategies() -> Iterator[Component]:
    """A strategy that is not the core's."""
    yield Component("tiny/seesaw", "tiny_parts:Seesaw", "the backbone alone, then the head alone")


@hookimpl
def headstart_evaluations() -> Iterator[Component]:
    """An evaluation that changes every answer, so that its work is seen."""
    yield Component("tiny/last-label", "tiny_parts:LastLabel", "says the last label always")


class LastLabel(Evaluation):
    """Counts what it settled on, and answers with the last label.

    Args:
        mark: Comes back in what is measured.
    """

    kinds = ("class",)

    def __init__(self, *, mark: str = "plain") -> None:
        self._mark = mark

    def settle(self, outcome: Any, target: Any) -> dict[str, Any]:
        """How many validation examples there were."""
        assert outcome.split == "val"
        return {"n": len(outcome.examples)}

    def measure(self, outcome: Any, target: Any, settled: Any) -> dict[str, Any]:
        """Counts, and the answers that the head gave."""
        said = sorted({prediction.value for prediction in outcome.predictions})
        return {"mark": self._mark, "n": len(outcome.examples), "settled_on": settled["n"], "said": said}

    def decide(self, predictions: Any, target: Any, settled: Any) -> list[Any]:
        """The last label for all."""
        return [replace(prediction, value=target.labels[-1]) for prediction in predictions]


class Block(nn.Module):
    """One layer with everything that freezing has to think of."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pooled: Tensor) -> Tensor:
        """[B, C] -> [B, C]."""
        output: Tensor = pooled + self.dropout(torch.tanh(self.norm(self.linear(pooled))))
        return output


class Bag(nn.Module):
    """Embeddings, a dropout on the way that has no parameters, and two blocks."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS + 1, width, padding_idx=0)
        self.drop = nn.Dropout(dropout)
        self.block1 = Block(width, dropout)
        self.block2 = Block(width, dropout)

    def forward(self, words: Tensor) -> dict[str, Tensor]:
        """[B, L] -> pooled [B, C], tokens [B, L, C], mask [B, L]."""
        mask = words > 0
        tokens = self.embedding(words)
        mean = (tokens * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return {"pooled": self.block2(self.block1(self.drop(mean))), "tokens": tokens, "mask": mask}


class Words(Backbone):
    """Hashed words through an embedding and two small blocks.

    Args:
        width: Channels of every port, >= 1.
        dropout: Share that every dropout sets to zero in training, in [0, 1).
        seed: Of the weights.
        weights: A folder that `save` wrote; "" = weights from the seed.
    """

    modality = "text"
    port_names = ("pooled", "tokens", "mask")

    def __init__(self, *, width: int = 8, dropout: float = 0.2, seed: int = 0, weights: Place = "") -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network: nn.Module = Bag(width, dropout)
        if weights:
            load_model(self.network, str(Path(weights) / "model.safetensors"))
        self.ports = {"pooled": width, "tokens": width, "mask": 1}
        self.stages = (
            Stage("embedding", ("embedding",)),
            Stage("block.1", ("drop", "block1")),
            Stage("block.2", ("block2",)),
        )
        self.card = WeightsCard(source=f"seed {seed}", licence="CC0-1.0")

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Texts -> words [B, L], padded on the right."""
        rows = [torch.tensor([1 + zlib.crc32(word.encode()) % WORDS for word in text.split()]) for text in inputs]
        return {"words": nn.utils.rnn.pad_sequence(rows, batch_first=True)}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> pooled, tokens, mask."""
        features: Features = self.network(batch["words"])
        return features

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Words of each text."""
        return [len(text.split()) for text in inputs]


class Unsized(Words):
    """Words whose texts count as pictures do: nobody asks how long they are, and worker threads prepare them."""

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Texts -> words [B, 8], padded on the right."""
        rows = super().prepare(inputs, train=train, rngs=rngs)["words"]
        return {"words": nn.functional.pad(rows, (0, 8 - rows.shape[1]))}

    def sizes(self, inputs: Sequence[Any]) -> None:  # type: ignore[override]  # narrower than a list or None
        """None."""


class Seesaw(Strategy):
    """The backbone alone, then the head alone, again and again.

    Args:
        turns: How often.
        lr: Peak learning rate, > 0.
    """

    def __init__(self, *, turns: int = 2, lr: float = 1e-2) -> None:
        self._turns, self._lr = turns, lr

    def phases(self, model: Model) -> Sequence[Phase]:
        """Two phases per turn."""
        return [
            Phase(f"{part} {turn}", 1, (Group((part,), self._lr, 0.1),))
            for turn in range(self._turns)
            for part in ("backbone", "head")
        ]
