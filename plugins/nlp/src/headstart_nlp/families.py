"""Families: the stages of any transformers network, read off one short pass instead of a table of architectures.

A text network is a list of equal blocks with something before and something after. Which modules those are is seen by
running three tokens through it: BERT, RoBERTa, MPNet, ELECTRA, ALBERT, DeBERTa, ModernBERT, GPT-2, T5 and their kin
differ in names and in side paths, not in this shape.

Side paths (relative position biases, rotary angles) are not on the way of the hidden states: every block reads them. They
are owned as loose tensors by the earliest stage, so that they never train above a frozen block, and they run in each pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.stages import Stage

PROBE_TOKENS = 3


@dataclass
class Pass:
    """What one pass showed.

    Attributes:
        calls: Paths of the watched modules in the order in which they began; a module that ran twice stands there twice.
        outputs: The tensor that came out of each module that gave just one.
        first_input: The hidden states that went into the first block.
    """

    calls: list[str] = field(default_factory=list)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    first_input: Tensor | None = None


def find_stages(network: nn.Module) -> tuple[Stage, ...]:
    """Stages "embeddings", "layer.0" ... "layer.N-1" and, where something with weights follows the blocks, "final".

    A network without a list of blocks that run one after the other becomes the single stage "network".

    Raises:
        WeightsError: The network cannot read a plain text.
    """
    blocks = _find_blocks(network)
    units = _units(network, blocks)
    seen = _observe(network, blocks, units)
    if not blocks or [call for call in dict.fromkeys(seen.calls) if call in blocks] != blocks:
        children = _with_tensors(network, [path for path, _ in network.named_children()])
        return (Stage("network", tuple(children), _loose(network, children)),)
    return _arrange(network, blocks, units, seen)


def _find_blocks(network: nn.Module) -> list[str]:
    """Members of the longest list that lies in no other list (a mixture's experts lie within a block)."""
    lists = {path: module for path, module in network.named_modules() if isinstance(module, nn.ModuleList) and len(module)}
    outermost = [path for path in lists if not path.startswith(tuple(f"{other}." for other in lists))]
    if not outermost:
        return []
    longest = max(outermost, key=lambda path: len(lists[path]))
    return [f"{longest}.{i}" for i in range(len(lists[longest]))]


def _units(network: nn.Module, blocks: Sequence[str]) -> list[str]:
    """The largest modules that neither hold a block nor lie in one."""
    units: list[str] = []
    for path, _ in network.named_modules():
        holds_blocks = path == "" or any(block.startswith(f"{path}.") for block in blocks)
        is_inside = path in blocks or path.startswith(tuple(f"{taken}." for taken in (*blocks, *units)))
        if not holds_blocks and not is_inside:
            units.append(path)
    return units


def _observe(network: nn.Module, blocks: Sequence[str], units: Sequence[str]) -> Pass:
    seen = Pass()
    handles = [handle for path in (*units, *blocks) for handle in _watch(network, path, seen, blocks[:1] == [path])]
    was_training = network.training
    ids = torch.ones(1, PROBE_TOKENS, dtype=torch.long, device=next(network.parameters()).device)
    try:
        network.eval()
        with torch.no_grad():
            network(input_ids=ids, attention_mask=torch.ones_like(ids))
    except Exception as error:  # each architecture fails in its own way on what it does not expect
        raise WeightsError(f"a {type(network).__name__} cannot read a text of {PROBE_TOKENS} tokens: {error}") from error
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return seen


def _watch(network: nn.Module, path: str, seen: Pass, is_first: bool) -> Iterable[Any]:
    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.calls.append(path)
        if is_first and seen.first_input is None:
            seen.first_input = args[0] if args else kwargs.get("hidden_states")

    def end(_module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.outputs[path] = output

    module = network.get_submodule(path)
    return module.register_forward_pre_hook(begin, with_kwargs=True), module.register_forward_hook(end)


def _arrange(network: nn.Module, blocks: Sequence[str], units: Sequence[str], seen: Pass) -> tuple[Stage, ...]:
    start = seen.calls.index(blocks[0])
    stop = len(seen.calls) - 1 - seen.calls[::-1].index(blocks[-1])
    before = _stream(network, dict.fromkeys(seen.calls[:start]), seen)
    inner: dict[str, list[str]] = {block: [block] for block in blocks}
    current = blocks[0]
    for call in seen.calls[start:stop]:
        current = call if call in inner else current
        if call in units and call not in before:
            inner[current].append(call)  # DeBERTa v2's convolution runs after the first block
    taken = {*before, *(path for group in inner.values() for path in group)}
    after = [path for path in _with_tensors(network, dict.fromkeys(seen.calls[stop + 1 :])) if path not in taken]
    layers = [Stage(f"layer.{i}", tuple(dict.fromkeys(inner[block]))) for i, block in enumerate(blocks)]
    final = [Stage("final", tuple(after))] if after else []
    claimed = [*taken, *after]
    return (Stage("embeddings", tuple(before), _loose(network, claimed)), *layers, *final)


def _stream(network: nn.Module, before: Iterable[str], seen: Pass) -> list[str]:
    """Modules that make the first block's input, in order; the last is the one whose output it is, where there is one.

    What has no weights (rotary angles), or runs after the hidden states are ready (MPNet's position bias), is a side path.
    """
    paths = list(before)
    sources = [path for path in paths if seen.calls.count(path) == 1 and seen.outputs.get(path) is seen.first_input]
    if sources:
        paths = paths[: paths.index(sources[-1]) + 1]
    return [path for path in paths if path in sources[-1:] or any(True for _ in network.get_submodule(path).parameters())]


def _with_tensors(network: nn.Module, paths: Iterable[str]) -> list[str]:
    return [path for path in paths if any(True for _ in _tensor_names(network.get_submodule(path)))]


def _tensor_names(module: nn.Module) -> Iterable[str]:
    yield from (name for name, _ in module.named_parameters())
    yield from (name for name, _ in module.named_buffers())  # also those that no state_dict holds


def _loose(network: nn.Module, claimed: Iterable[str]) -> tuple[str, ...]:
    """Parameters and buffers that lie in none of the claimed modules."""
    prefixes = tuple(f"{path}." for path in claimed)
    return tuple(name for name in _tensor_names(network) if not name.startswith(prefixes))
