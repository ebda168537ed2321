"""Times the floor: the computation that a run did over the least that its plan can be carried out with.

The formulas count forward passes (F), and for a training step the gradient towards the inputs of every layer above the
lowest that trains (one F each) and towards the weights of each that trains (one F each): a network that trains from its
k-th stage on takes 3 F(k..L) - f1(k) a step, f1 being its first layer, whose input needs no gradient. A product of two
activations (attention) takes a gradient for both. (torch's counter can also count a backward pass, but takes grouped
convolutions for full ones there: 42 times the forward pass of EfficientNet-Lite0, where 2 times is right.)
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from headstart.flops import Layer
from headstart.model import HEAD

PROBE_SECONDS = 0.3
SHORTEST_PROBE = 0.05  # a product takes 0.03 s on one slow core
PROBE_SHARE = 0.02  # of the measured time, at most, goes into the probe
PROBE_WIDTH = 1024  # of the square matrices: 6 MB for the three, 2 GFLOP a product


@dataclass(frozen=True)
class Network:
    """What the formulas need to know: the stages in order and the layers as `count_flops` gives them."""

    stages: tuple[str, ...]
    layers: tuple[Layer, ...]

    def forward(self, after: str | None = None, upto: str | None = None) -> float:
        """FLOPs of a forward pass for one unit.

        Args:
            after: The stage whose stored value the pass begins with; None = the input, "head" = the backbone's ports.
            upto: The last stage that runs; None = the head as well.
        """
        first, last = self._done(after), self._place(upto or HEAD)
        return sum(layer.flops for layer in self.layers if first < self._place(layer.stage) <= last)

    def backward(self, trains: Collection[str]) -> float:
        """FLOPs of a backward pass for one unit, given the names of the parameters that train."""
        is_training = [any(name in trains for name in layer.weights) for layer in self.layers]
        if True not in is_training:
            return 0.0
        lowest = is_training.index(True)
        above = self.layers[lowest + 1 :]
        to_inputs = sum(layer.flops * (1 if layer.weights else 2) for layer in above)
        return to_inputs + sum(layer.flops * layer.share(trains) for layer in self.layers)

    def frozen(self, trains: Collection[str]) -> float:
        """FLOPs of a forward pass through the stages below everything that trains: those which need not run again."""
        boundary = self.boundary(trains) if self.stages else None
        return 0.0 if boundary is None else self.forward(upto=self.stages[-1] if boundary == HEAD else boundary)

    def epoch(self, trains: Collection[str], *, is_stored: bool) -> float:
        """FLOPs of training on one unit once. `is_stored`: the values of frozen stages are read, not computed."""
        return self.forward() + self.backward(trains) - self.frozen(trains) * is_stored

    def boundary(self, trains: Collection[str]) -> str | None:
        """The last stage below everything that trains; None = the first trains, "head" = none does."""
        training = {layer.stage for layer in self.layers if any(name in trains for name in layer.weights)}
        frozen: str | None = None
        for stage in self.stages:
            if stage in training:
                return frozen
            frozen = stage
        return HEAD

    def _place(self, stage: str) -> int:
        return len(self.stages) if stage == HEAD else self.stages.index(stage)

    def _done(self, after: str | None) -> int:
        """Place of the last stage that need not run."""
        return -1 if after is None else min(self._place(after), len(self.stages) - 1)


@dataclass(frozen=True)
class PhaseDone:
    """One phase as it was carried out: the names of what trained, and the epochs."""

    trains: frozenset[str]
    epochs: int


@dataclass(frozen=True)
class Units:
    """Examples of each split, or tokens where examples differ in size.

    Attributes:
        train: Of one epoch.
        val: Validated after each epoch.
        test: Predicted once, at the end.
        views: Different training views of each example: 1 without augmentation, the epochs where each has a new one.
    """

    train: float
    val: float = 0.0
    test: float = 0.0
    views: float = 1.0


def least(network: Network, phases: Sequence[PhaseDone], units: Units) -> float:
    """The fewest FLOPs with which these phases can be carried out, each frozen value being computed once.

    Training a network above the boundary k for e epochs on N examples with V views takes `N V F(0, k) + e N (3 F(k, L) -
    f1(k))`; when stages thaw one after the other, one pass stores the values of every boundary. Validation adds the prefix
    once and `e N F(k, L)`, the test one forward pass of what is not stored.
    """
    total, known = 0.0, 0.0  # `known`: FLOPs of the stages whose values are stored and still true
    for phase in phases:
        boundary = network.boundary(phase.trains)
        prefix = network.frozen(phase.trains)
        above = network.forward(after=boundary)
        total += max(prefix - known, 0.0) * (units.train * units.views + units.val)
        total += phase.epochs * (units.train * (above + network.backward(phase.trains)) + units.val * above)
        known = prefix  # what lies above the boundary has changed, what lies below is stored
    return total + units.test * network.forward()


@dataclass(frozen=True)
class Floor:
    """What a run did, and the least that it could have done.

    Attributes:
        done: FLOPs carried out.
        least: FLOPs that suffice.
        seconds: Of computing: CPU-seconds of all threads, or seconds of a GPU.
        rate: FLOPs a second of this machine in a large matrix product, measured in the same kind of seconds; 0 = not measured.
    """

    done: float
    least: float
    seconds: float
    rate: float = 0.0

    @property
    def times(self) -> float:
        """Computation over the least; 1 where there is none to do."""
        return self.done / self.least if self.least else 1.0

    @property
    def times_in_time(self) -> float | None:
        """Time over that of the least computation at the machine's best rate; None where the rate was not measured."""
        return self.seconds * self.rate / self.least if self.rate and self.least else None

    def __str__(self) -> str:
        words = f"{self.times:.2f} times the least computation ({self.done / 1e9:,.4g} of {self.least / 1e9:,.4g} GFLOP)"
        if self.times_in_time is None:
            return words
        return f"{words}; {self.times_in_time:.2f} times the least time at {self.rate / 1e9:,.0f} GFLOP/s"

    def as_json(self) -> dict[str, float | None]:
        """For ledger.json and metrics.json."""
        return {
            "times": round(self.times, 4),
            "times_in_time": None if self.times_in_time is None else round(self.times_in_time, 3),
            "gflop": self.done / 1e9,
            "least_gflop": self.least / 1e9,
            "seconds": round(self.seconds, 3),
            "gflop_per_second": round(self.rate / 1e9, 1),
        }


@dataclass
class Meter:
    """Adds up the computation that a run really does.

    Attributes:
        network: Its layers.
        device: Where it computes.
        done: FLOPs so far.
        seconds: Of computing so far (see `timing`).
    """

    network: Network
    device: torch.device
    done: float = 0.0
    seconds: float = 0.0

    def forward(self, units: float, *, after: str | None = None, upto: str | None = None) -> None:
        """A forward pass of so many units ran, with the stored values of the stage `after`, as far as `upto`."""
        self.done += units * self.network.forward(after, upto)

    def backward(self, units: float, trains: Collection[str]) -> None:
        """A backward pass ran, towards the named parameters."""
        self.done += units * self.network.backward(trains)

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the time that the context takes: of all threads on a CPU, what was decoded meanwhile included."""
        started = now(self.device)
        try:
            yield
        finally:
            self.seconds += now(self.device) - started

    def floor(self, phases: Sequence[PhaseDone], units: Units) -> Floor:
        """The run's figures; the machine's rate is measured now, in 0.3 s at most and never more than 2 % of the run."""
        rate = probe(self.device, min(PROBE_SECONDS, PROBE_SHARE * self.seconds))
        return Floor(self.done, least(self.network, phases, units), self.seconds, rate)


def probe(device: torch.device, seconds: float) -> float:
    """FLOPs a second of float32 matrix products on this device; 0 where the time is too short for one of them."""
    if seconds < SHORTEST_PROBE:
        return 0.0
    left = right = torch.ones(PROBE_WIDTH, PROBE_WIDTH, device=device)
    torch.mm(left, right)  # the first one starts threads and libraries
    rates, started, first = [0.0], time.perf_counter(), now(device)
    with torch.no_grad():
        while time.perf_counter() - started < seconds:
            torch.mm(left, right)
            last = now(device)
            rates.append(2 * PROBE_WIDTH**3 / max(last - first, 1e-9))
            first = last
    return max(rates)


def now(device: torch.device) -> float:
    """CPU-seconds of this process, all threads; for a GPU the time at which it has done what it was given."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
