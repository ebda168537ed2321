"""Idle ports: those that a head reads in training only, where nothing below them trains."""

from __future__ import annotations

from headstart.model import Model


def idle_ports(model: Model) -> dict[str, str]:
    """Port -> the stage behind which it is read, of the head's training ports that lead to nothing that trains.

    Call after `train_only`.
    """
    trains = {model.owner[name] for name, weight in model.weights().items() if weight.requires_grad}
    names = model.stage_names
    found: dict[str, str] = {}
    for port in model.head.training_ports:
        stage = model.backbone.port_stages.get(port, names[-1])
        if not trains & set(names[: names.index(stage) + 1]):
            found[port] = stage
    return found
