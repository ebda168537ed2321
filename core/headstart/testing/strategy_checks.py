"""Checks of a strategy: phases that any model can carry out, proven by the ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from headstart.build import check_phases
from headstart.builtin.heads_neural import Linear
from headstart.errors import HeadstartError
from headstart.freezing import train_only
from headstart.ledger import digests
from headstart.model import HEAD, Model
from headstart.phases import Phase
from headstart.recipe import Part, Recipe
from headstart.strategy import Strategy
from headstart.testing.bench import class_of, new_strategy, seed_for, trained
from headstart.testing.cases import BINARY, StrategyCase
from headstart.testing.guards import seed_all
from headstart.testing.options_asked import bad_options_are_refused
from headstart.testing.stand_ins import SmallBackbone, vectors
from headstart.testing.verdict import ContractError, UnbuildableError, demand

BLOCKS = (1, 3, 7)  # stages of the models that a strategy has to manage


def small_model(blocks: int = 3) -> Model:
    """The kit's backbone under the core's head `linear`, the same each time."""
    with seed_for():
        backbone = SmallBackbone(blocks=blocks, ports=("pooled",)).eval()
        return Model(backbone, Linear(backbone.ports, BINARY))


def can_be_built(case: StrategyCase) -> None:
    """The class builds with the case's options and prepares the kit's model."""
    strategy = _prepared(case, small_model())
    demand(isinstance(strategy, Strategy), f"it is a {type(strategy).__name__}", "subclass headstart.Strategy")


def phases_can_be_carried_out(case: StrategyCase) -> None:
    """On models of one, three and seven stages the phases have names of their own, epochs, and groups that select something."""
    for blocks in BLOCKS:
        model = small_model(blocks)
        strategy = _prepared(case, model)
        recipe = Recipe(Part("memory-vectors"), Part("vectors"), strategy=Part(case.name))
        try:
            phases = list(strategy.phases(model))
            check_phases(recipe, phases, model)
        except Exception as error:
            raise ContractError(
                f"on a network of {blocks} stages: {type(error).__name__}: {error}",
                "take as many stages as there are (`model.stage_names`), and give each phase a name of its own",
            ) from error
        for phase in phases:
            demand(isinstance(phase, Phase), f"a phase is a {type(phase).__name__}", "return headstart.Phase")
            slow = [group.lr for group in phase.groups if group.lr <= 0]
            demand(not slow, f"phase '{phase.name}' has learning rates {slow}", "leave out of the groups what does not train")


def phases_are_a_function_of_the_model(case: StrategyCase) -> None:
    """Asked twice, whatever the random numbers, a strategy gives the same phases: a resumed run asks again."""
    asked = []
    for seed in (1, 2):
        model = small_model()
        strategy = _prepared(case, model)
        seed_all(seed)
        asked.append([list(strategy.phases(model)), list(strategy.phases(model))])
    demand(
        asked[0][0] == asked[0][1] == asked[1][0],
        "asked twice it gives other phases",
        "compute the phases from the model and the options alone, and keep no count in the object",
    )


def asking_for_phases_changes_nothing(case: StrategyCase) -> None:
    """`phases` looks and leaves weights, gradients and modes alone; the engine freezes."""
    model = small_model()
    strategy = _prepared(case, model)
    train_only(model, [])
    before = (digests(model), [module.training for module in model.modules()])
    list(strategy.phases(model))
    trains = [name for name, weight in model.weights().items() if weight.requires_grad]
    demand(not trains, f"`phases` makes {', '.join(trains[:3])} trainable", "say it in a Group; the engine does it")
    is_same = (digests(model), [module.training for module in model.modules()]) == before
    demand(is_same, "`phases` changes weights or modes", "change the model in `prepare` only")


def the_head_learns(case: StrategyCase) -> None:
    """The head trains in some phase, and the ledger proves after every phase what moved and what did not."""
    model = small_model()
    start = {name: tensor.clone() for name, tensor in model.state().items() if name.startswith(f"{HEAD}.")}
    ledger = _trained(case, model)
    entries = ledger.entries
    idle = [entry["name"] for entry in entries if entry["trainable"]["tensors"] and not entry["trainable"]["moved"]]
    demand(not idle, f"nothing moves in the phases {', '.join(idle)}", "give them steps and a learning rate above 0")
    trains_head = any(HEAD in rates and rates[HEAD] > 0 for rates in (entry["rates"] for entry in entries))
    demand(trains_head, "no phase trains the head", 'put "head" into the groups of a phase')
    moved = any(not torch.equal(tensor, model.state()[name]) for name, tensor in start.items())
    demand(moved, "the head is as it was after training", "give its phases steps and a learning rate")


def training_is_deterministic(case: StrategyCase) -> None:
    """Two trainings from one seed end in the same weights to the bit."""
    ends = []
    for _ in range(2):
        model = small_model()
        _trained(case, model)
        ends.append(digests(model))
    demand(
        ends[0] == ends[1],
        "two trainings from one seed differ",
        "draw random numbers in `prepare` only, from torch's generator",
    )


def finishing_leaves_a_plain_model(case: StrategyCase) -> None:
    """After `finish` the model has the parameters that it had at first, and predicts what it did within rounding."""
    model = small_model()
    names = set(model.weights())
    strategy = new_strategy(case)
    _trained(case, model, strategy)
    model.eval()
    batch = model.backbone.prepare(vectors(6))
    with torch.no_grad():
        before = model(batch)["pooled"].clone()
        strategy.finish(model)
        model.eval()
        after = model(batch)["pooled"]
    demand(
        torch.allclose(before, after, rtol=1e-4, atol=1e-5),
        f"`finish` changes the features by up to {float((before - after).abs().max()):.2g}",
        "merge what `prepare` added without changing what the model computes",
    )
    model.find_owners()
    left = set(model.weights()) ^ names
    demand(not left, f"after `finish` the parameters differ: {', '.join(sorted(left)[:3])}", "take out what `prepare` added")


def the_penalty_is_finite_and_can_be_trained(case: StrategyCase) -> None:
    """`penalty` is a finite number, or a scalar tensor that reaches parameters which train; never below zero at the start."""
    model = small_model()
    strategy = _prepared(case, model)
    phases = list(strategy.phases(model))
    chosen = model.select(phases[-1].groups)
    train_only(model, [name for group in chosen for name in group])
    value = strategy.penalty(model)
    number = float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
    demand(math.isfinite(number), f"the penalty is {number}", "look for a division by zero")
    demand(number >= 0, f"the penalty of the untrained model is {number}", "penalise a square or a norm")


def options_are_refused_in_words(case: StrategyCase) -> None:
    """Options that cannot be are refused by an error of `headstart.errors` that names them, at the latest with the phases."""

    def make(options: Any) -> Sequence[Phase]:
        model = small_model()
        strategy = class_of(case)(**options)
        strategy.prepare(model)
        model.find_owners()
        phases = list(strategy.phases(model))
        check_phases(Recipe(Part("memory-vectors"), Part("vectors"), strategy=Part(case.name)), phases, model)
        return phases

    bad_options_are_refused(case, case.options, make)


def _prepared(case: StrategyCase, model: Model) -> Strategy:
    try:
        strategy = new_strategy(case)
        with seed_for():
            strategy.prepare(model)
    except ContractError:
        raise
    except Exception as error:
        raise UnbuildableError(
            f"{case.name} fails when it is built and prepares the kit's model: {type(error).__name__}: {error}",
            "give the case the options that it needs",
        ) from error
    model.find_owners()
    return strategy


def _trained(case: StrategyCase, model: Model, strategy: Strategy | None = None) -> Any:
    inputs = vectors(20)
    targets = [BINARY.labels[int(vector.sum() > 0)] for vector in inputs]
    try:
        return trained(model, strategy or new_strategy(case), inputs, targets, BINARY)
    except HeadstartError as error:
        raise ContractError(f"a training of the kit's model fails: {error}", "see docs/plugins.md, strategies") from error


CHECKS = (
    can_be_built,
    phases_can_be_carried_out,
    phases_are_a_function_of_the_model,
    asking_for_phases_changes_nothing,
    the_head_learns,
    training_is_deterministic,
    finishing_leaves_a_plain_model,
    the_penalty_is_finite_and_can_be_trained,
    options_are_refused_in_words,
)
