"""Schedules: the factor on every learning rate, step by step within a phase."""

from __future__ import annotations

import math
from collections.abc import Callable

from headstart.phases import Phase, Schedule

SLANT = 1 / 32  # lowest rate of a slanted triangle, over the peak


def factor(schedule: Schedule, share: float, warmup: float) -> float:
    """Factor in [0, 1] at `share` in [0, 1) of a phase.

    "one-cycle" rises from 1/25 by a half cosine and falls to 1/250000 by another (Smith and Topin 2017; the numbers are
    torch's OneCycleLR defaults, whose end is 1/10000 of the beginning); "slanted-triangular" rises linearly from 1/32 and
    falls linearly back to it (Howard and Ruder 2018, equation 3); the others rise linearly from 0 and then fall by a half
    cosine, fall linearly, or stay.
    """
    if share < warmup:
        rise = share / warmup
        starts = {"one-cycle": _between(1 / 25, 1.0, rise), "slanted-triangular": SLANT + (1 - SLANT) * rise}
        return starts.get(schedule, rise)
    done = (share - warmup) / (1 - warmup)
    falls: dict[Schedule, Callable[[float], float]] = {
        "one-cycle": lambda d: _between(1.0, 1 / 25 / 1e4, d),
        "cosine": lambda d: _between(1.0, 0.0, d),
        "linear": lambda d: 1 - d,
        "slanted-triangular": lambda d: 1 - (1 - SLANT) * d,
        "constant": lambda _: 1.0,
    }
    return falls[schedule](done)


def factors(phase: Phase, steps: int) -> list[float]:
    """The factor of each of the phase's `steps` optimiser steps; the first step is never a step of 0."""
    return [factor(phase.schedule, (step + 0.5) / steps, phase.warmup) for step in range(steps)]


def lengths(phase: Phase, batches: int) -> tuple[int, int]:
    """Optimiser steps and epochs that a phase has at most, where an epoch has so many batches; the last may be cut short."""
    steps = min(phase.epochs * batches, phase.steps or phase.epochs * batches)
    return steps, -(-steps // batches) if batches else 0


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
