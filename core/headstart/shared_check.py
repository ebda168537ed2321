"""What several processes cannot compute in slices; a run that asks for it is refused before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import UsageError
from headstart.freezing import train_only, trains_batchnorm

if TYPE_CHECKING:
    from headstart.job import Job


def check_together(job: Job) -> None:
    """Refuse what gives another result in slices than in one piece, before anything is written.

    Raises:
        UsageError: The loss compares the examples of a batch, or a BatchNorm takes its statistics over it, or there are fewer
            GPUs than processes. LostError: The processes were given different data.
    """
    ranks, model, plan = job.ranks, job.built.model, job.recipe.train
    if ranks.is_alone:
        return
    if job.compute.device.type == "cuda" and torch.cuda.device_count() < ranks.local_size:
        raise UsageError(
            f"{ranks.local_size} processes on this machine, which has {torch.cuda.device_count()} GPUs; start as many "
            "processes as GPUs (--nproc-per-node), or compute on the CPU with train.device: cpu"
        )
    if plan.mix != "none":
        raise UsageError(
            f"train.mix is '{plan.mix}', which pairs the examples of a batch; several processes cannot: write mix: none"
        )
    if model.head.by_gradient and not model.head.adds_up:
        raise UsageError(
            f"head '{job.recipe.head.use}' compares the examples of a batch with each other; run it in one process"
        )
    if (phase := _phase_with_batchnorm(job)) is not None:
        raise UsageError(
            f"a BatchNorm trains in phase '{phase}' and takes its mean and variance over a batch, which several processes have "
            "only in slices; run it in one process, or take a strategy that leaves the BatchNorms frozen"
        )
    ranks.check_equal(job.fingerprint(), "the data are not the same for all processes of this run")


def _phase_with_batchnorm(job: Job) -> str | None:
    model = job.built.model
    modules = (*model.backbone.network.modules(), *model.head.modules())
    if not any(isinstance(module, _BatchNorm) for module in modules):
        return None
    trains = {name: weight.requires_grad for name, weight in model.weights().items()}
    modes = {module: module.training for module in modules}
    try:
        for phase in job.built.strategy.phases(model):
            train_only(model, [name for group in model.select(phase.groups) for name in group])
            if trains_batchnorm(model):
                return phase.name
        return None
    finally:
        for name, weight in model.weights().items():
            weight.requires_grad_(trains[name])
        for module, mode in modes.items():
            module.training = mode
