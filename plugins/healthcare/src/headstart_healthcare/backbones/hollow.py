"""Hollow networks: made without random numbers, for weights that fill every tensor of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def made(make: Callable[[], Any], *, is_filled: bool) -> Any:
    """A network with random weights, or a hollow one in a tenth of the time.

    Args:
        make: Makes the network; each of its buffers stands in its state dict.
        is_filled: `headstart_vision.weights.fill` comes next, which refuses weights that leave a tensor out; only the count
            of batches that a BatchNorm has seen may be missing, and begins at 0.
    """
    if not is_filled:
        return make()
    with torch.device("meta"):
        network = make()
    network.to_empty(device="cpu")
    for name, buffer in network.named_buffers():
        if name.endswith("num_batches_tracked"):
            buffer.zero_()
    return network
