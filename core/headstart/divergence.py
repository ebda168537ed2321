"""Divergence: a loss that stays far above where its phase began will not come back, and is told of while it happens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.loop import Training
    from headstart.passage import Passage

FACTOR = 3.0  # times the loss before the phase's first step
CHANCE = math.log(2)  # nats: a toss of a coin; a phase that begins near 0 may lose as much without being lost
STEPS = 20  # in a row, so that one bad batch is none; chosen, as are the two above, not measured


def watch(training: Training, passage: Passage, loss: float) -> None:
    """Count the steps in a row whose loss is over `limit`, and warn once in a phase when they are `STEPS`.

    It warns and does not stop: the best weights that validation saw are kept as in any run, and a loss that is not finite
    stops by itself. Chowdhery et al. 2022 (PaLM, section 5.1) go back to an earlier checkpoint at such a spike and skip
    batches; for a head on frozen features a smaller rate is the better answer, so that is what the warning says.

    Args:
        training: Is told.
        passage: Holds the phase's first loss and the count, so that both outlive a resumption.
        loss: Of the step that was just done, the mean over its batch.
    """
    if passage.began is None:
        passage.began = loss
    passage.above = passage.above + 1 if loss > limit(passage.began) else 0
    if passage.above == STEPS and not passage.is_told:
        passage.is_told = True
        training.tell("warning", message=_message(training, passage, loss))


def limit(began: float) -> float:
    """The loss over which a phase that began with `began` counts as diverging."""
    return FACTOR * max(began, 0.0) + CHANCE


def _message(training: Training, passage: Passage, loss: float) -> str:
    is_chosen = training.plan.keep == "best"
    kept = "the best weights that validation saw are kept" if is_chosen else "train.keep: best keeps the best weights"
    return (
        f"training diverges: in phase '{passage.phase.name}' the loss was over {limit(passage.began or 0.0):.3g} for {STEPS} "
        f"steps in a row (it began with {passage.began:.3g}, and is {loss:.3g} at step {passage.step + 1}); {kept}; "
        "try a smaller lr, a warm-up, or train.clip"
    )
