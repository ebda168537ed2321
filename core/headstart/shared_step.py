"""A step that several processes take together: each its slice of the batch, then one sum of losses and gradients.

The loss of a batch is a mean over its examples, so the share of a slice is its own mean times its part of the batch, and the
sum over all processes is the gradient of the whole batch: that of one process but for the order of sums. After it, clipping and
the optimiser do the same on all of them, and their weights stay equal to the bit.

With the loss go what all have to know at the same step: whether one of them failed, and whether one was told to stop. So they
all stop between the same two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError, TrainingError
from headstart.ledger import digests
from headstart.order import seed_of
from headstart.ranks import Ranks
from headstart.stopping import SIGNALS

if TYPE_CHECKING:
    from headstart.loop import Training
    from headstart.passage import Passage

FACTS = 2 + len(SIGNALS)  # the loss, whether it failed, and for each signal whether it came


def summed(training: Training, weights: Sequence[nn.Parameter], own: Callable[[], float]) -> float:
    """Carry out this process's slice, and put the sum over all processes into the gradients.

    Args:
        training: Whose ranks and stop these are.
        weights: That train; their gradients after `own` are those of the slice, None = no gradient came here.
        own: Forward and backward of the slice; its share of the batch's loss.

    Returns:
        The loss of the whole batch.

    Raises:
        HeadstartError: This process or another one failed; all of them raise in the same step.
    """
    if training.ranks.is_alone:
        return own()
    loss, fault = 0.0, None
    try:
        loss = own()
    except HeadstartError as error:
        fault = error
    came = [float(training.stop.asked == number) for number in SIGNALS]
    has_gradient = [float(weight.grad is not None) for weight in weights]
    facts = torch.tensor([loss, float(fault is not None), *came, *has_gradient], dtype=torch.float64)
    training.ranks.add(facts)
    if facts[1]:
        _fail(training, fault)
    _sum_gradients(training, [weight for weight, count in zip(weights, facts[FACTS:].tolist(), strict=True) if count])
    for number, count in zip(SIGNALS, facts[2:FACTS].tolist(), strict=True):
        if count:
            training.stop.agree(number)
    return float(facts[0])


def _fail(training: Training, fault: HeadstartError | None) -> None:
    said = training.ranks.gather(None if fault is None else str(fault))
    if fault is not None:
        raise fault
    rank, message = next((rank, message) for rank, message in enumerate(said) if message is not None)
    raise TrainingError(f"process {rank} of {training.ranks.size} stopped: {message}")


def _sum_gradients(training: Training, weights: Sequence[nn.Parameter]) -> None:
    """One flat buffer for each type of number; a process that has no gradient of a weight adds zeros."""
    kinds: Mapping[torch.dtype, list[nn.Parameter]] = {weight.dtype: [] for weight in weights}
    for weight in weights:
        kinds[weight.dtype].append(weight)
    for same in kinds.values():
        flat = torch.cat([_gradient(weight).reshape(-1) for weight in same])
        training.ranks.add(flat)
        for weight, total in zip(same, torch.split(flat, [weight.numel() for weight in same]), strict=True):
            _gradient(weight).copy_(total.view(weight.shape))


def _gradient(weight: nn.Parameter) -> Tensor:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def seed_apart(training: Training, *place: object) -> None:
    """Give each process but the first dropout masks of its own; equal ones would drop the same places of every slice."""
    if not training.ranks.is_first:
        torch.manual_seed(seed_of("dropout", training.plan.seed, *place, training.ranks.rank))


def check_weights(training: Training, passage: Passage) -> None:
    """Hold that all processes end a phase with equal weights, to the bit.

    Raises:
        LostError: They do not, so that one of them computed something else.
    """
    if not training.ranks.is_alone:
        found = sha256(repr(sorted(digests(training.model).items())).encode()).hexdigest()
        training.ranks.check_equal(found, f"the weights after phase '{passage.phase.name}'")


def counted_together(ranks: Ranks, tally: Mapping[str, Any]) -> Mapping[str, Any]:
    """What all processes have counted, in the form of `Tally.as_json`."""
    if ranks.is_alone:
        return tally
    found = ranks.gather(tally)
    executions = {name: sum(each["executions"][name] for each in found) for name in tally["executions"]}
    meters = [each["meter"] for each in found if each["meter"] is not None]
    return {"executions": executions, "meter": [sum(column) for column in zip(*meters, strict=True)] if meters else None}
