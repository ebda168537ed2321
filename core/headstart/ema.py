"""The exponential moving average of what trains: smoother weights than the last ones, at one more copy of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from headstart.ledger import Chosen


class Average:
    """The average of one phase's parameters over its steps; it begins where the phase begins.

    After step t the average keeps the share min(decay, (1 + t) / (10 + t)) of itself: the rise lets a phase of few steps
    forget where it began (as TensorFlow's ExponentialMovingAverage with `num_updates` does). Buffers are not averaged: the
    statistics of a BatchNorm that trains are moving averages already.

    Args:
        chosen: The parameters that train.
        decay: Of the average per step, in [0, 1); 0 = no average is kept and nothing is done.
    """

    def __init__(self, chosen: Chosen, decay: float) -> None:
        self._decay = decay
        self._steps = 0
        named = {name: weight for group in chosen for name, weight in group.items()} if decay else {}
        self._names = tuple(named)
        self._weights: list[Tensor] = [weight.detach() for weight in named.values()]
        self._means: Sequence[Tensor] = [weight.clone() for weight in self._weights]

    def update(self) -> None:
        """Take in the weights as an optimiser step left them."""
        if self._weights:
            self._steps += 1
            decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
            get_ema_multi_avg_fn(decay)(self._means, self._weights, self._steps)  # type: ignore[no-untyped-call]  # torch's

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; afterwards training goes on from the last ones."""
        last = [weight.clone() for weight in self._weights]
        self._put(self._means)
        try:
            yield
        finally:
            self._put(last)

    def state(self) -> tuple[int, dict[str, Tensor]]:
        """Steps taken in, and the average by name."""
        return self._steps, dict(zip(self._names, self._means, strict=True))

    def go_on(self, steps: int, means: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self._steps = steps
        for name, mean in zip(self._names, self._means, strict=True):
            mean.copy_(means[name])

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.copy_(value)
