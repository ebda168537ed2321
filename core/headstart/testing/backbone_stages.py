"""Checks of a backbone's stages: they cover it, run in their order, replay exactly, freeze and learn."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.backbone import Backbone
from headstart.errors import FreezingError, HeadstartError
from headstart.features import unbatch
from headstart.freezing import set_modes, train_only
from headstart.ledger import Ledger
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.prefix import watching
from headstart.prefix_feed import prove
from headstart.stages import StageError, owners
from headstart.step import make_optimizer
from headstart.testing.bench import CPU, built, copied_backbone, live_model, read_ports, replayed_ports, seed_for
from headstart.testing.cases import BackboneCase
from headstart.testing.verdict import ContractError, NotApplicableError, demand


def can_be_built(case: BackboneCase) -> None:
    """The class builds with the case's options, prepares the inputs and runs on them."""
    backbone = built(case).backbone
    demand(isinstance(backbone, Backbone), f"it is a {type(backbone).__name__}", "subclass headstart.Backbone")


def stages_cover_every_parameter_once(case: BackboneCase) -> None:
    """Every parameter and buffer of the network belongs to exactly one stage; else nobody knows whether it is frozen."""
    backbone = built(case).backbone
    try:
        owners(backbone.network, backbone.stages)
    except StageError as error:
        mend = "list each module, or loose parameter by `params`, in exactly one Stage"
        raise ContractError(f"the stages do not cover the network once: {error}", mend) from error


def stages_hold_every_parameter_of_the_backbone(case: BackboneCase) -> None:
    """Parameters live in `network` alone; others would never be trained, saved or watched."""
    backbone = built(case).backbone
    inside = {id(weight) for weight in backbone.network.parameters()}
    outside = [name for name, weight in backbone.named_parameters() if id(weight) not in inside]
    demand(not outside, f"parameters lie outside `network`: {', '.join(outside[:3])}", "move their modules into `self.network`")


def stages_run_in_their_order(case: BackboneCase) -> None:
    """The modules of the stages run in the order in which they are listed; replay and gradual unfreezing build on it."""
    backbone, batch = built(case).backbone, built(case).batch
    listed = [path for stage in backbone.stages for path in stage.modules]
    ran: list[str] = []
    handles = [
        backbone.network.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: ran.append(path))
        for path in listed
    ]
    try:
        with torch.no_grad():
            backbone(batch)
    finally:
        for handle in handles:
            handle.remove()
    order = list(dict.fromkeys(ran))
    silent = [path for path in listed if path not in order]
    demand(
        not silent,
        f"the stages list modules that never run in a forward pass: {', '.join(silent[:5])}",
        "list modules whose forward is called (the entries of a ModuleList, not the list), and loose tensors by `params`",
    )
    if order != listed:
        raise ContractError(
            f"the stages say that modules run as {_first_difference(listed, order)}",
            "order the stages, and the modules in each, as the forward pass calls them",
        )


def _first_difference(listed: list[str], order: list[str]) -> str:
    at = next(at for at, (said, ran) in enumerate(zip(listed, order, strict=True)) if said != ran)
    return f"{' -> '.join(listed[at : at + 3])}, but they run as {' -> '.join(order[at : at + 3])}"


def replay_is_exact_at_every_boundary(case: BackboneCase) -> None:
    """A stage's stored value, put back, gives the same features to the bit; what is frozen is then computed once.

    Of a port that is given below a boundary nothing is asked there: a head that reads it needs what lies below.
    """
    stages = [stage.name for stage in built(case).backbone.stages if stage.modules]
    if len(stages) < 2:
        raise NotApplicableError("there is no boundary between stages")
    model, live = live_model(built(case).backbone, built(case).inputs)
    refused = dict(prove(live, stages[:-1]).refused)
    for stage in list(refused):
        above = _ports_above(case, stages[stages.index(stage) + 1 :])
        if above and set(above) != set(model.head.needs):
            refused |= {stage: ""} | prove(live_model(built(case).backbone, built(case).inputs, above)[1], [stage]).refused
    refused = {stage: why for stage, why in refused.items() if why}
    model.backbone.eval()
    demand(
        not refused,
        f"boundaries cannot be replayed: {'; '.join(f'{stage}: {why}' for stage, why in list(refused.items())[:3])}",
        "let everything that crosses a boundary be the output of the last module of its stage: draw the stages where one "
        "module hands its value on, and join those that share values",
    )


def _ports_above(case: BackboneCase, stages: list[str]) -> list[str]:
    """The ports that are others when the weights of these stages are."""
    backbone, read = copied_backbone(case), replayed_ports(built(case).backbone)
    owner = owners(backbone.network, backbone.stages)
    with torch.no_grad():
        for name, weight in backbone.network.named_parameters():
            if owner[name] in stages:
                weight.mul_(1.5).add_(0.1)
        features = backbone(built(case).batch)
    return [port for port in read if not torch.equal(features[port], built(case).features[port])]


def freezing_holds_through_optimiser_steps(case: BackboneCase) -> None:
    """Steps with frozen stages leave their parameters and buffers (BatchNorm's statistics) alone, bit for bit."""
    names = [stage.name for stage in built(case).backbone.stages]
    upper = tuple(names[(len(names) + 1) // 2 :])
    for group in [(HEAD,), (HEAD, *upper)] if upper else [(HEAD,)]:
        try:
            _step_and_prove(case, group)
        except FreezingError as error:
            raise ContractError(
                f"training only {', '.join(group)} moves what is frozen: {error}",
                "never call `.train()` or update statistics in `forward`; leave modes to the core, read `self.training`",
            ) from error


def _step_and_prove(case: BackboneCase, select: tuple[str, ...]) -> None:
    backbone, batch = copied_backbone(case), built(case).batch
    model, _ = live_model(backbone, built(case).inputs)
    phase = Phase("kit", 1, (Group(select, 1e-3),))
    chosen = model.select(phase.groups)
    train_only(model, [name for group in chosen for name in group])
    ledger = Ledger(model)
    ledger.open(phase, chosen)
    optimizer = make_optimizer(phase.groups, chosen, CPU)
    targets = [float(at) for at in range(len(built(case).inputs))]
    with seed_for():
        for _ in range(2):
            set_modes(model)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(model.head.loss(model(batch), targets)["squared"])
            optimizer.step()
    ledger.prove(chosen)


def frozen_stages_give_the_same_each_time(case: BackboneCase) -> None:
    """A frozen stage has no dropout and no batch statistics: it gives the same bits whatever was drawn, while others train."""
    backbone, batch = copied_backbone(case), built(case).batch
    stages = [stage for stage in backbone.stages if stage.modules]
    lower = stages[: max(1, len(stages) // 2)] if len(stages) > 1 else []
    model, _ = live_model(backbone, built(case).inputs)
    frozen = {stage.name for stage in lower}
    train_only(model, [name for name, owner in model.owner.items() if owner not in frozen and name in model.weights()])
    path = lower[-1].modules[-1] if lower else None
    if path is None:
        raise NotApplicableError("there are not two stages")
    values = []
    for seed in (1, 2):
        with seed_for(seed), torch.no_grad(), watching(model.backbone.network, [path]) as seen:
            set_modes(model)
            model(batch)
        values.append([leaf.clone() for leaf in seen.outputs[path][0] if isinstance(leaf, Tensor)])
    demand(
        all(torch.equal(first, second) for first, second in zip(*values, strict=True)),
        f"the frozen stages up to '{lower[-1].name}' give other values each time while the rest trains",
        "pass `training=self.training` to functional dropout and batch_norm, and list modules without parameters (dropout) "
        "in the stage that they belong to",
    )


def every_stage_learns(case: BackboneCase) -> None:
    """When everything trains, the gradient reaches every stage that has parameters."""
    backbone, batch = copied_backbone(case).train(), built(case).batch
    model = Model(backbone, live_model(backbone, built(case).inputs)[0].head)
    if not any(True for _ in backbone.network.parameters()):
        raise NotApplicableError("the network has no parameters")
    train_only(model, model.weights())
    with seed_for():
        features = model(batch)
        total = sum(
            (features[port].float().square().mean() for port in read_ports(backbone) if features[port].requires_grad),
            torch.zeros(()),
        )
        if total.requires_grad:
            torch.autograd.backward(total)
    weights = model.weights()
    owned = {model.owner[name] for name in weights} - {HEAD}
    reached = {model.owner[name] for name, weight in weights.items() if weight.grad is not None and bool(weight.grad.any())}
    deaf = [stage.name for stage in backbone.stages if stage.name in owned and stage.name not in reached]
    demand(
        not deaf,
        f"no gradient reaches the stages {', '.join(deaf[:5])}",
        "do not detach, convert to numpy or use no_grad in `forward`; leave layers that no port needs out of the network",
    )


def stages_can_be_chosen_by_name(case: BackboneCase) -> None:
    """Names of stages are short and plain, so that recipes can select them; every stage with parameters is selectable."""
    backbone = built(case).backbone
    odd = [stage.name for stage in backbone.stages if not stage.name or any(sign in stage.name for sign in "*?[] /")]
    demand(
        not odd, f"stages are named {odd}", "use short names without blanks, slashes and the signs of globs: 'stem', 'layer.0'"
    )
    model, _ = live_model(backbone, built(case).inputs)
    for stage in {model.owner[name] for name in model.weights()} - {HEAD}:
        try:
            model.select([Group((stage,), 1e-3)])
        except HeadstartError as error:
            raise ContractError(f"the stage '{stage}' cannot be selected: {error}", "give it another name") from error


def a_row_is_the_same_alone(case: BackboneCase) -> None:
    """An example's features do not depend on who stands beside it in the batch, padding included (float32: within 1e-4)."""
    backbone, inputs = built(case).backbone, built(case).inputs
    ports = [port for port in read_ports(backbone) if built(case).features[port].is_floating_point()]
    together = unbatch(built(case).features, ports)
    with torch.no_grad():
        for at, input in enumerate(inputs):
            (alone,) = unbatch(backbone(backbone.prepare([input])), ports)
            for port in ports:
                demand(
                    _is_near(alone[port], together[at][port]),
                    f"port '{port}' of example {at} differs when it stands alone: {_gap(alone[port], together[at][port])}",
                    "mask padding wherever values are summed, averaged or normalised over the length, and give a port 'mask'",
                )


def _is_near(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    largest = max(1.0, float(second.float().abs().max())) if second.numel() else 1.0
    return torch.allclose(first.float(), second.float(), rtol=1e-4, atol=1e-4 * largest)


def _gap(first: Tensor, second: Tensor) -> str:
    if first.shape != second.shape:
        return f"shape {list(first.shape)} against {list(second.shape)}"
    return f"by up to {float((first.float() - second.float()).abs().max()):.2g}"


CHECKS = (
    can_be_built,
    stages_cover_every_parameter_once,
    stages_hold_every_parameter_of_the_backbone,
    stages_run_in_their_order,
    stages_can_be_chosen_by_name,
    replay_is_exact_at_every_boundary,
    freezing_holds_through_optimiser_steps,
    frozen_stages_give_the_same_each_time,
    every_stage_learns,
    a_row_is_the_same_alone,
)
