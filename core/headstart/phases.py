"""Phases: what trains, how fast and how long, as plain data that a strategy returns and the engine carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Schedule = Literal["one-cycle", "cosine", "linear", "slanted-triangular", "constant"]


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate.

    Attributes:
        select: "head", "backbone", names of stages, or globs over parameter names ("*.bias"). A parameter belongs to the
            first group that claims it.
        lr: Peak learning rate, > 0.
        weight_decay: Decoupled weight decay (AdamW), >= 0; never applied to tensors of one dimension (biases, norms).
    """

    select: tuple[str, ...]
    lr: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Phase:
    """A stretch of training with a fixed set of trainable parameters; a new optimizer begins with each.

    Attributes:
        name: Unique within the run: "head", "unfreeze layer.5".
        epochs: Passes over the training examples, >= 1.
        groups: What trains; everything else is frozen.
        schedule: Shape of the learning rate over the phase's steps, as a factor of each group's `lr`.
        warmup: Share of the steps in which the factor rises from 0 to 1, in [0, 1).
        steps: Optimiser steps at most, with rates scheduled over them; None = as many as the epochs have.
        patience: Epochs without a better selecting score before the phase ends early; None = run all.
    """

    name: str
    epochs: int
    groups: tuple[Group, ...]
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    patience: int | None = None
    steps: int | None = None
