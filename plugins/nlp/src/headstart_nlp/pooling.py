"""Pooling: how the vectors of a text's tokens become one vector, padding left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def mean_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Average over the real tokens, special ones included, as sentence-transformers does: [B, L, C], [B, L] -> [B, C]."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)


def cls_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """The first token, which BERT's kin train to stand for the whole text."""
    return tokens[:, 0]


def max_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel over the real tokens."""
    return tokens.masked_fill(~mask.unsqueeze(-1), torch.finfo(tokens.dtype).min).amax(dim=1)


def last_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """The last real token: the only one of a decoder that has seen the whole text."""
    last = mask.sum(dim=1).clamp_min(1) - 1
    return tokens[torch.arange(len(tokens), device=tokens.device), last]


POOLS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean_pool,
    "cls": cls_pool,
    "max": max_pool,
    "last": last_pool,
}
