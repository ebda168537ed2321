"""Windows: what happens to a text that is longer than the network reads, and how its windows become one text again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

HEAD_SHARE = 0.25
"""Share of the room that "head+tail" gives to the beginning: 128 of 510 tokens in Sun et al. 2019, section 5.3.1."""


def cut(ids: Sequence[int], room: int, policy: str) -> list[int]:
    """At most `room` ids of one text: its beginning ("head"), or its beginning and its end ("head+tail")."""
    if len(ids) <= room:
        return list(ids)
    if policy == "head":
        return list(ids[:room])
    head = max(1, int(room * HEAD_SHARE))
    tail = room - head
    return [*ids[:head], *(ids[-tail:] if tail else [])]


def slide(ids: Sequence[int], room: int, stride: int) -> list[list[int]]:
    """Windows of at most `room` ids, `stride` apart, that cover the text; an empty text has one empty window."""
    starts = range(0, max(1, len(ids) - room + stride), stride)
    return [list(ids[start : start + room]) for start in starts]


def join_pooled(pooled: Tensor, mask: Tensor, window_of: Tensor) -> Tensor:
    """Average of the windows of each text, weighted by their tokens: [W, C], [W, L], [W] -> [B, C]."""
    weights = _tokens_of(mask, window_of).to(pooled.dtype)  # [B, W]; a product and no scattered sum: the same on any device
    return (weights / weights.sum(dim=1, keepdim=True)) @ pooled


def join_tokens(tokens: Tensor, mask: Tensor, window_of: Tensor) -> tuple[Tensor, Tensor]:
    """The real tokens of all windows of each text, one after the other: [W, L, C] -> [B, longest, C] and its mask."""
    sizes = _tokens_of(mask, window_of).sum(dim=1).tolist()
    texts = torch.split(tokens[mask], sizes)  # windows stand in the order of their texts
    masks = [torch.ones(size, dtype=torch.bool, device=tokens.device) for size in sizes]
    return pad_sequence(list(texts), batch_first=True), pad_sequence(masks, batch_first=True)


def _tokens_of(mask: Tensor, window_of: Tensor) -> Tensor:
    """How many tokens each window gives to each text: [B, W]."""
    texts = torch.arange(int(window_of.max()) + 1, device=window_of.device)
    return (texts[:, None] == window_of) * mask.sum(dim=1)
