"""Sanity: does a map say anything of what the network has learnt? It is compared with that of the same network unlearnt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr

from headstart.head import Head
from headstart.model import Model
from headstart.scratch import forget
from headstart_healthcare.explain.heat import Heat

FAILS_FROM = 0.5  # rank correlation from which a map is called the same; Adebayo et al. 2018 give no threshold


@dataclass(frozen=True)
class Sanity:
    """What the randomised-weights check found (Adebayo et al. 2018, section 4: all layers made random at once).

    Attributes:
        agreement: Mean rank correlation of an example's signed map with and without what was learnt; None = not defined.
        defined: Examples in which it is defined: neither map is of one value only.
        count: Examples that were asked.
    """

    agreement: float | None
    defined: int
    count: int

    @property
    def passes(self) -> bool:
        """Whether maps change when what was learnt is taken away."""
        return self.agreement is not None and self.agreement < FAILS_FROM

    def __str__(self) -> str:
        if self.agreement is None:
            return f"randomised-weights check: not defined (maps of one value only in all {self.count} cases)"
        verdict = (
            "the maps depend on what was learnt" if self.passes else "the maps look alike without any learning: ignore them"
        )
        return f"randomised-weights check: agreement {self.agreement:.2f} over {self.defined} of {self.count} cases; {verdict}"


def randomised(model: Model, *, seed: int = 0) -> Model:
    """A copy of the model whose backbone and head have random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copied = copy.deepcopy(model)
        device = next((weight.device for weight in model.backbone.network.parameters()), torch.device("cpu"))
        forget(copied.backbone)
        _reset(copied.head)
    return copied.to(device).eval()


def check(model: Model, heat: Heat, explain: Callable[[Model], Heat], *, seed: int = 0) -> Sanity:
    """Explain the same examples with the model made random, and compare.

    Args:
        model: As trained.
        heat: Its maps.
        explain: How they were made, for any model.
        seed: Of the random weights.
    """
    other = explain(randomised(model, seed=seed))
    found = [_agreement(ours, theirs) for ours, theirs in zip(heat.signed, other.signed, strict=True)]
    defined = [value for value in found if value is not None]
    return Sanity(float(np.mean(defined)) if defined else None, len(defined), len(found))


def _agreement(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps of one shape; None where one of them is constant."""
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    value = float(spearmanr(ours.ravel(), theirs.ravel()).statistic)
    return value if np.isfinite(value) else None


def _reset(head: Head) -> None:
    for module in head.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
