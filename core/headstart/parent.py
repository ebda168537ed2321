"""Beginning from a run: backbone, and head where it fits, start with the weights of a model that was saved before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from headstart.backbone import WeightsCard
from headstart.build import make_model, part_class
from headstart.components import Kind
from headstart.errors import HeadstartError, UsageError, WeightsError
from headstart.example import Target
from headstart.files import MANIFEST, file_hash, read_json
from headstart.head import Head
from headstart.model import Model
from headstart.options import describe
from headstart.plugins import registry
from headstart.recipe import Part, Recipe
from headstart.run import Run, load

ANEW = "scratch"  # the strategy that forgets every weight


def begin_from(recipe: Recipe, target: Target) -> Model:
    """The recipe's model with the weights of the run that its key `from` names.

    The backbone is made from the files that the run saved, so that tokenizer and normalisation are those that it learnt with,
    and the weights from before that run need not be here any more.

    Raises:
        UsageError: There is no such run, it did not finish, or its network is another one: the first differing tensor is named.
        HeadstartError: A file of its model is missing or damaged.
    """
    run = load(str(recipe.parent))
    theirs = run.model  # every file is checked against its hash
    plain = replace(recipe, parent=None)
    if _whole("backbone", run.recipe.backbone) != _whole("backbone", recipe.backbone):
        _same_network(make_model(plain, target).backbone.network, theirs.backbone.network, run, recipe)
    model = _made_from(plain, target, run)
    _same_network(model.backbone.network, theirs.backbone.network, run, recipe)
    model.backbone.network.load_state_dict(theirs.backbone.network.state_dict())
    model.backbone.card = _card(model.backbone.card, run)
    why_not = _head_fault(recipe, model.head, run)
    if not why_not:
        model.head.kept().load_state_dict(theirs.head.state_dict())
    taken = "backbone and head" if not why_not else "the backbone"
    model.origin = f"begins from {run.folder.name}: {taken} taken" + (f"; the head begins anew: {why_not}" if why_not else "")
    return model


def parent_print(folder: str) -> dict[str, str]:
    """Name of a run, and the hash of its model's manifest, which holds the hash of every file of the model.

    Raises:
        UsageError: It is no finished run. HeadstartError: It has no model.
    """
    run = load(folder)
    manifest = run.folder / "model" / MANIFEST
    if not manifest.exists():
        raise HeadstartError(f"{manifest}: not found; the run keeps no model, so none can begin from it")
    return {"run": run.folder.name, "model": file_hash(manifest)}


def first_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str | None:
    """The first tensor, in the order of the network, that only one of two has or that has another shape; None = all agree."""
    for name, tensor in ours.items():
        if name not in theirs:
            return f"'{name}' {list(tensor.shape)} is not in the run's"
        if theirs[name].shape != tensor.shape:
            return f"'{name}' is {list(tensor.shape)} here and {list(theirs[name].shape)} in the run"
    return next(
        (f"'{name}' {list(tensor.shape)} of the run is not here" for name, tensor in theirs.items() if name not in ours), None
    )


def _made_from(recipe: Recipe, target: Target, run: Run) -> Model:
    saved = part_class("backbone", recipe.backbone.use).saved_options(
        run.folder / "model" / "backbone", recipe.backbone.options
    )
    try:
        return make_model(recipe, target, saved)
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise WeightsError(
            f"from: backbone '{recipe.backbone.use}' cannot be made from what {run.folder} saved ({str(error).splitlines()[0]})"
        ) from error


def _same_network(ours: nn.Module, theirs: nn.Module, run: Run, recipe: Recipe) -> None:
    fault = first_difference(ours.state_dict(), theirs.state_dict())
    if fault is not None:
        raise UsageError(
            f"from: the network of backbone '{recipe.backbone.use}' is not that of {run.folder}, which was made with "
            f"'{run.recipe.backbone.use}': the tensor {fault}; use the run's backbone and options, see its recipe.lock.yaml"
        )


def _whole(kind: Kind, part: Part) -> Mapping[str, object]:
    """With every default, so that it does not matter whether they were given."""
    defaults = {option.name: option.default for option in describe(registry().find(kind, part.use)).options}
    return {"use": part.use, **defaults, **part.options}


def _head_fault(recipe: Recipe, ours: Head, run: Run) -> str:
    """Why the run's head does not fit; "" = it does."""
    theirs = run.model.head
    names = [part_class("head", part.use).saved_part(part.use, part.options)[0] for part in (run.recipe.head, recipe.head)]
    if recipe.strategy.use == ANEW:
        return f"the strategy {ANEW} forgets all weights"
    if names[0] != names[1]:
        return f"it is {names[0]} in the run and {names[1]} here"
    if not ours.by_gradient:
        return f"{names[1]} learns in one go"
    if theirs.target.kind != ours.target.kind:
        return f"targets are of kind {theirs.target.kind} in the run and {ours.target.kind} here"
    if theirs.target.labels != ours.target.labels:
        said = [
            ", ".join(labels[:6]) + (" ..." if len(labels) > 6 else "") for labels in (theirs.target.labels, ours.target.labels)
        ]
        return f"its labels are {said[0]} in the run and {said[1]} here"
    fault = first_difference(ours.kept().state_dict(), theirs.state_dict())
    return f"its tensor {fault}" if fault else ""


def _card(card: WeightsCard, run: Run) -> WeightsCard:
    """Of the run's weights: what they were before, and the hash of what the run made of them."""
    config = read_json(run.folder / "model" / "config.json")["card"]
    source = f"run {run.folder.name} from {Path(config['source']).name if config['source'][:1] in '/~' else config['source']}"
    digest = file_hash(run.folder / "model" / MANIFEST)
    return replace(card, source=source, licence=config["licence"], trained_on=config["trained_on"], sha256=digest)
