"""Packed rows: several windows of one example one after the other in a single row, in which none sees another.

So an example stays one row in every batch, store and replay, however long it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import UsageError

NEAR = 1e-4  # float32, one row of windows against the windows alone: measured 1e-6 on tiny networks of 8 families
ATTENTION_DROPOUT = re.compile(r"(^|\.)(self|attention|attn)\.(attention_)?dropout$")
"""Paths of it in BERT, RoBERTa, ELECTRA, DistilBERT, ALBERT and MPNet; T5's is no module of its own."""

Alone = Callable[[], list[Mapping[str, Tensor]]]


def read_packed(network: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Tokens [B, L, C] and their mask [B, L] (bool); 0 behind the end of a row, where values would hang on the batch.

    Args:
        network: A transformers encoder.
        batch: input_ids and windows [B, L] (-1 = padding), types where the network has segments, and "positions" only
            where some row holds several windows.
    """
    windows = batch["windows"]
    mask = windows >= 0
    given = {"input_ids": batch["input_ids"], "attention_mask": mask.long()}
    if "types" in batch and has_types(network):
        given["token_type_ids"] = batch["types"]
    if "positions" in batch:
        given["attention_mask"] = _blocks(network, windows)
        if "position_ids" in signature(network.forward).parameters:
            given["position_ids"] = batch["positions"]
    tokens = network(**given).last_hidden_state
    return tokens.masked_fill(~mask.unsqueeze(-1), 0.0), mask


def still_attention(network: nn.Module) -> None:
    """Switch off dropout on attention's weights, and on nothing else.

    With it torch has to hold a table of all pairs of tokens for every layer and head: on a CPU three rows of 1,118 tokens
    took 4.8 GB and 19 s for a training step of MiniLM, without it 1.6 GB and 11 s.
    """
    modules = dict(network.named_modules())
    names = [name for name, module in modules.items() if isinstance(module, nn.Dropout) and ATTENTION_DROPOUT.search(name)]
    for name in names:
        around = name.removesuffix("dropout")
        if not any(other != name and other.startswith(around) for other in names):  # MPNet's outer one is of the output
            modules[name].p = 0.0


def has_types(network: Any) -> bool:
    """Whether the network tells a first text from a second one."""
    kinds = int(getattr(network.config, "type_vocab_size", 0) or 0)
    return kinds > 1 and "token_type_ids" in signature(network.forward).parameters


def check_apart(
    network: Any, longest: int, both: Mapping[str, Tensor], alone: Callable[[], list[Mapping[str, Tensor]]]
) -> None:
    """Read two windows in one row and each alone: the same must come out.

    Args:
        network: Its mode is left as it is.
        longest: Tokens of a window at most.
        both: A prepared batch of one row with two windows.
        alone: Gives the same windows as batches of their own.

    Raises:
        UsageError: The network does not keep windows apart.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            packed = read_packed(network, both)[0][0]
            apart = torch.cat([read_packed(network, batch)[0][0] for batch in alone()])
        is_same = not _looks_aside(network, longest) and bool((packed - apart).abs().max() <= NEAR * apart.abs().max())
    except (RuntimeError, ValueError, TypeError, IndexError):  # each architecture fails in its own way
        is_same = False
    finally:
        network.train(was_training)
    if not is_same:
        name = type(network).__name__
        raise UsageError(f"a {name} cannot keep the windows of a long text apart; write backbone: {{long: head}}")


def _blocks(network: Any, windows: Tensor) -> Tensor:
    """Who sees whom, [B, 1, L, L]: the tokens of one window each other (and padding padding, as nobody may see nothing)."""
    same = (windows.unsqueeze(1) == windows.unsqueeze(2)).unsqueeze(1)
    if network.config._attn_implementation == "sdpa":
        return same
    least = torch.finfo(torch.float32).min
    return torch.zeros(same.shape, device=same.device).masked_fill(~same, least)  # eager attention adds its mask


def _looks_aside(network: Any, longest: int) -> bool:
    """Whether layers see only their neighbourhood (ModernBERT): they would need a mask of their own."""
    reach = [getattr(network.config, name, None) for name in ("local_attention", "sliding_window")]
    return any(isinstance(width, int) and width < longest for width in reach)
