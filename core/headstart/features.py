"""Features: what a backbone gives to a head, by port, and how they are kept, joined and taken apart by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Features = Mapping[str, Tensor]
"""Port -> tensor, batch first. A ragged port is [batch, longest, ...] and is cut by the port "mask" [batch, longest]."""


def unbatch(features: Features, ports: Sequence[str]) -> list[dict[str, Tensor]]:
    """One dict per example, on the CPU, padding cut away where the batch has a "mask"."""
    lengths = features["mask"].sum(dim=1).tolist() if "mask" in features else None
    chosen = {port: features[port].detach().to("cpu") for port in ports}
    size = next(iter(chosen.values())).shape[0]
    return [
        {port: _cut(port, tensor[i], lengths[i] if lengths else None) for port, tensor in chosen.items()} for i in range(size)
    ]


def collate(rows: Sequence[Mapping[str, Tensor]], device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Join rows of single examples into one batch; ragged ports are padded with zeros on the right."""
    return {port: join([row[port] for row in rows]).to(device, non_blocking=True) for port in rows[0]}


def place_means(features: Features, port: str) -> Tensor:
    """One vector per example [B, C] in float32: the mean over the places of a map or volume [B, C, ...], or over the tokens
    [B, L, C] that the port "mask" says are there; a vector as it is."""
    value = features[port].float()
    if value.ndim != 3:
        return value.flatten(2).mean(dim=2) if value.ndim > 3 else value
    mask = features["mask"].to(value.dtype) if "mask" in features else value.new_ones(value.shape[:2])
    return (value * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _cut(port: str, tensor: Tensor, length: int | None) -> Tensor:
    is_ragged = length is not None and port in RAGGED_PORTS
    return (tensor[:length] if is_ragged else tensor).clone()


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of single examples as one, batch first; ragged ones are padded with zeros on the right."""
    if len({tensor.shape for tensor in tensors}) == 1:
        return torch.stack(list(tensors))
    return pad_sequence(list(tensors), batch_first=True)


RAGGED_PORTS = ("tokens", "mask", "offsets", "segment", "windows", "wanted")
