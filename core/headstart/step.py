"""A step: one batch forward and backward, in as many parts as memory asks for, and the optimiser's move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from headstart.device import Compute
from headstart.errors import TrainingError
from headstart.example import Example
from headstart.faults import reach
from headstart.feed import Feed
from headstart.freezing import is_backbone_frozen, trains_batchnorm
from headstart.ledger import Chosen
from headstart.mixing import losses_of
from headstart.order import micro_batches
from headstart.phases import Group
from headstart.room import give_back, is_out_of_memory
from headstart.shared_step import summed

if TYPE_CHECKING:
    from headstart.loop import Training


def make_optimizer(groups: Sequence[Group], chosen: Chosen, compute: Compute) -> torch.optim.AdamW:
    """AdamW over the chosen parameters only; tensors of one dimension (biases, norms) are not decayed."""
    entries = []
    for group, weights in zip(groups, chosen, strict=True):
        for decays in (True, False):
            part = [weight for weight in weights.values() if (weight.ndim > 1) == decays]
            if part:
                decay = group.weight_decay if decays else 0.0
                entries.append({"params": part, "lr": group.lr, "peak": group.lr, "weight_decay": decay})
    entries = entries or [{"params": []}]  # of a head that learns in one go: torch refuses no groups at all
    return torch.optim.AdamW(entries, fused=compute.device.type in ("cpu", "cuda"))


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its peak rate times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate


def take_step(training: Training, optimizer: torch.optim.Optimizer, feed: Feed, indices: list[int], epoch: int) -> float:
    """One optimiser step on a batch, in micro-batches; the loss before it, the mean over the batch.

    Where the memory runs out, the batch begins anew in parts of half the size: the sums are the same, and so is the step,
    but for BatchNorms that train (they see smaller parts) and for dropout.

    Raises:
        TrainingError: The loss or a gradient is not finite, or the memory does not hold the smallest part.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    loss = summed(training, weights, lambda: _accumulated(training, optimizer, feed, indices, epoch))
    _check_gradients(training, optimizer, [feed.examples[index] for index in indices], epoch)
    reach("step")
    optimizer.step()
    reach("stepped")
    return loss


def parts_of(training: Training, feed: Feed, indices: Sequence[int]) -> list[list[int]]:
    """The micro-batches of a batch: as many examples as the plan says, as many tokens as the device should hold for backward.

    A BatchNorm would take its statistics over each part, so there only the plan, or the want of memory, decides.
    """
    if not indices:  # of a process that has no slice of a short batch
        return []
    model = training.model
    is_bounded = len(set(feed.sizes)) > 1 and not is_backbone_frozen(model) and not trains_batchnorm(model)
    size = training.room.part(training.plan.micro_batch)
    return micro_batches(indices, size, feed.sizes, training.compute.train_tokens if is_bounded else None)


def finite(loss: Tensor, where: str, examples: Sequence[Example]) -> float:
    """The value of a loss.

    Raises:
        TrainingError: It is not finite.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss is {value} {where}, in the batch of examples {_ids(examples)}; try a smaller lr")
    return value


def _accumulated(training: Training, optimizer: torch.optim.Optimizer, feed: Feed, indices: list[int], epoch: int) -> float:
    """Gradients of this process's slice of a batch, in parts that the memory holds; its share of the batch's loss."""
    loss = _accumulate(training, optimizer, feed, indices, epoch)
    while loss is None:
        loss = _accumulate(training, optimizer, feed, indices, epoch)
    return loss


def _accumulate(
    training: Training, optimizer: torch.optim.Optimizer, feed: Feed, indices: list[int], epoch: int
) -> float | None:
    """Gradients of a slice, and its loss; None = the memory ran out, and smaller parts may do."""
    optimizer.zero_grad(set_to_none=True)
    parts, total = parts_of(training, feed, training.ranks.part(indices)), 0.0
    try:
        for part in parts:
            reach("forward")
            loss = _loss(training, feed, part, epoch) * (len(part) / len(indices))
            reach("backward")
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += float(loss.detach())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        _make_room(training, max(map(len, parts)), str(error).splitlines()[0] if str(error) else type(error).__name__)
        return None
    return total


def _make_room(training: Training, used: int, why: str) -> None:
    least = 2 if trains_batchnorm(training.model) else 1
    if not training.room.halve(used, least=least):
        examples = "one example" if used == 1 else f"{used} examples"
        raise TrainingError(
            f"the memory does not hold {examples} at a time ({why}); read smaller inputs, take a smaller network or train "
            "fewer stages"
        )
    training.tell(
        "warning",
        message=f"the memory ran out with {used} examples at a time; goes on with {training.room.examples}, and the same step: "
        f"train.micro_batch: {training.room.examples} says so from the start",
    )
    give_back(training.compute.device)


def _loss(training: Training, feed: Feed, indices: list[int], epoch: int) -> Tensor:
    examples = [feed.examples[index] for index in indices]
    features = feed.batch(indices, epoch=epoch)
    losses = losses_of(training.model.head, features, [example.target for example in examples], feed)
    loss = torch.stack(list(losses.values())).sum() + training.strategy.penalty(training.model)
    finite(loss, f"at epoch {epoch}", examples)
    return loss


def _check_gradients(training: Training, optimizer: torch.optim.Optimizer, examples: Sequence[Example], epoch: int) -> None:
    """Clip the gradients as the plan says; one that is not finite would spoil every weight."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if not math.isfinite(float(norm)):
        raise TrainingError(
            f"a gradient is not finite at epoch {epoch} (the loss is), in the batch of examples {_ids(examples)}; "
            "try a smaller lr or train.precision: float32"
        )
    if training.plan.clip:
        torch.nn.utils.clip_grads_with_norm_(weights, training.plan.clip, norm)


def _ids(examples: Sequence[Example]) -> str:
    return ", ".join(example.id for example in examples)
