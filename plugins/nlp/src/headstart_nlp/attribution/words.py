"""Words: integrated gradients of a text, added up over the pieces of each word."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from headstart.builtin.explained_scores import score_of
from headstart.errors import MissingError, UsageError
from headstart.model import Model
from headstart_nlp.encoder import Encoder

STEPS = 32  # of the integral; Sundararajan et al. 2017, section 5: 20 to 300 are enough
WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Weighed:
    """One text with what each of its words does to the score of a label.

    Attributes:
        text: As it was read.
        label: What was explained; "" = the predicted number.
        words: (start, end, weight) in characters, in order; words that the network does not see have none.
        score: Of the text, in the unit of the weights (log-odds, or the number).
        empty: Of the same text with every word taken out.
    """

    text: str
    label: str
    words: tuple[tuple[int, int, float], ...]
    score: float
    empty: float

    @property
    def gap(self) -> float:
        """Share of score - empty that the words do not add up to: what the sum over steps misses of the integral."""
        whole = self.score - self.empty
        return abs(sum(weight for *_, weight in self.words) - whole) / max(abs(whole), 1e-6)


def weigh(model: Model, text: str, label: str, *, steps: int = STEPS) -> Weighed:
    """Integrated gradients (Sundararajan et al. 2017) from the text with padding in place of its words to the text itself.

    Special tokens stay where they are on the whole path; what they get is left out. Weights are positive for words that speak
    for the label and, but for `gap`, add up to score - empty.

    Args:
        model: On a backbone for single texts, in evaluation mode.
        text: As the data reads it.
        label: One of the target's; "" for numbers.
        steps: Points on the path, >= 1.

    Raises:
        MissingError: captum is not installed. UsageError: The head does not read the vector of a text.
    """
    if model.head.needs != ("pooled",):
        name = type(model.head).__name__
        raise UsageError(f"a {name} head does not read the vector of a text, so words cannot be weighed for it")
    layer_gradients, backbone = _captum(), cast(Encoder, model.backbone)
    batch = {name: tensor.to(_device(model)) for name, tensor in backbone.prepare([text]).items()}
    ids = batch.pop("input_ids")  # [W, L]; a text is one row, or one for each of its windows
    bounds = _bounds(backbone, text, ids.shape[1])

    def score(rows: Tensor, *_rest: Any) -> Tensor:
        return score_of(model.head, backbone({"input_ids": rows, **batch}), label, against_others=True)

    bare = _emptied(backbone, ids, bounds)
    with torch.no_grad():
        ends = [float(score(rows)[0]) for rows in (ids, bare)]
    found = layer_gradients(score, _table(backbone.network)).attribute(
        ids, baselines=bare, n_steps=steps, internal_batch_size=len(ids)
    )
    return Weighed(text, label, _summed(text, found.sum(dim=-1).tolist(), bounds), *ends)


def _bounds(backbone: Encoder, text: str, length: int) -> list[list[tuple[int, int] | None]]:
    """Characters that each token of each row stands for, [W][L]; None = special tokens and padding."""
    places = backbone.tokenizer.places(text)
    before = len(backbone.tokenizer.prefix)
    rows: list[list[tuple[int, int] | None]] = []
    for part in backbone.parts(range(len(places))):
        row: list[tuple[int, int] | None] = [*[None] * before, *(places[at] for at in part)]
        rows.append([*row, *[None] * (length - len(row))])
    return rows


def _emptied(backbone: Encoder, ids: Tensor, bounds: Sequence[Sequence[object]]) -> Tensor:
    is_word = torch.tensor([[place is not None for place in row] for row in bounds], device=ids.device)
    return ids.masked_fill(is_word, backbone.tokenizer.filler)


def _summed(
    text: str, weights: Sequence[Sequence[float]], bounds: Sequence[Sequence[tuple[int, int] | None]]
) -> tuple[tuple[int, int, float], ...]:
    """Weights of words: a token counts for the word that holds its middle, in every window that reads it."""
    spans = [found.span() for found in WORD.finditer(text)]
    starts = [start for start, _ in spans]
    sums: dict[int, float] = {}
    for row, places in zip(weights, bounds, strict=True):
        for weight, place in zip(row, places, strict=True):
            if place is not None and spans:
                at = max(0, bisect_right(starts, (place[0] + max(place[0], place[1] - 1)) / 2) - 1)
                sums[at] = sums.get(at, 0.0) + weight
    return tuple((*spans[at], weight) for at, weight in sorted(sums.items()))


def _table(network: Any) -> nn.Module:
    """The module that looks words up: a T5 has two with the same tensor, and runs the one of its encoder."""
    weight = network.get_input_embeddings().weight
    tables: list[nn.Module] = [m for m in network.modules() if isinstance(m, nn.Embedding) and m.weight is weight]
    return tables[-1]


def _device(model: Model) -> torch.device:
    return next(model.backbone.network.parameters()).device


def _captum() -> Any:
    try:
        from captum.attr import LayerIntegratedGradients
    except ImportError as error:
        raise MissingError('weighing words needs captum: pip install "headstart-nlp[explain]"') from error
    return LayerIntegratedGradients


def as_json(weighed: Weighed) -> Mapping[str, Any]:
    """Plain data."""
    words = [
        {"start": start, "end": end, "word": weighed.text[start:end], "weight": weight} for start, end, weight in weighed.words
    ]
    return {"text": weighed.text, "score": weighed.score, "empty": weighed.empty, "gap": weighed.gap, "words": words}
