"""Position biases of T5: each block works out the table of all pairs of positions itself, so that nothing but hidden states
goes from block to block, and what a frozen block gave can be stored by example.

In transformers the first block works the table out of its embedding of distances and hands it on (Raffel et al. 2020,
section 2.1: "we share the position embedding parameters across all layers"). The table depends on lengths alone; worked out
again from the same embedding it is the same to the bit. The embedding stays a tensor of the first block, and of its stage.
"""

from __future__ import annotations

from typing import Any

from torch import nn

NAME, PLACE = "position_bias", 2  # of the bias among a block's arguments: hidden states, mask, bias


def own_biases(network: nn.Module) -> None:
    """Let each block of T5's kind ask the first block's embedding; other networks stay as they are."""
    for stack in network.modules():
        blocks = getattr(stack, "block", None)
        if isinstance(blocks, nn.ModuleList):
            _share(list(blocks))


def _share(blocks: list[Any]) -> None:
    attentions = [_attention(block) for block in blocks]
    if not attentions or [getattr(one, "has_relative_attention_bias", None) for one in attentions] != _handed_on(blocks):
        return
    for block, attention in zip(blocks, attentions, strict=True):
        if attention is not attentions[0]:
            # beside nn.Module's own setter: the embedding has one owner, and one name in the state dict
            object.__setattr__(attention, "relative_attention_bias", attentions[0].relative_attention_bias)
            attention.has_relative_attention_bias = True
        block.register_forward_pre_hook(_without_bias, with_kwargs=True)
        block.register_forward_hook(_hidden_alone)


def _handed_on(blocks: list[Any]) -> list[bool]:
    """The first block has an embedding of distances, the others none: in a UMT5 each has its own."""
    return [number == 0 for number in range(len(blocks))]


def _attention(block: Any) -> Any:
    parts = getattr(block, "layer", None)
    return getattr(parts[0], "SelfAttention", None) if isinstance(parts, nn.ModuleList) and len(parts) else None


def _without_bias(_block: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if NAME in named:
        return args, {**named, NAME: None}
    return (*args[:PLACE], None, *args[PLACE + 1 :]), named


def _hidden_alone(_block: nn.Module, _args: Any, output: tuple[Any, ...]) -> tuple[Any, ...]:
    return (output[0], None, *output[2:])
