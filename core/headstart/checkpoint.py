"""Models on disk: `model/` of a run, as safetensors and JSON with a hash for every file; no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file, save_file

from headstart.build import make_model, part_class
from headstart.components import Kind
from headstart.errors import HeadstartError
from headstart.example import Target
from headstart.faults import reach
from headstart.files import read_json, sync, verify_manifest, write_json, write_manifest, write_text
from headstart.model import Model
from headstart.options import Option
from headstart.options import describe as options_of
from headstart.plugins import registry
from headstart.recipe import Part, Recipe

FORMAT = 1


def save_model(model: Model, recipe: Recipe, folder: Path, *, extra: Callable[[Path], None] = lambda _: None) -> None:
    """Write backbone, head and what makes them again; the folder is loaded by `load_model` alone.

    Args:
        model: With its best weights.
        recipe: That made it.
        folder: To be written, whole or not at all; one that is there (of a run that was stopped) is replaced.
        extra: Writes further files into the folder before every file is listed with its hash.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        model.backbone.save(temporary / "backbone")
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.head.kept().state_dict().items()}
        save_file(state, str(temporary / "head.safetensors"))
        reach("save")
        write_json(temporary / "config.json", describe(model, recipe))
        write_text(temporary / "README.md", card(model, recipe))
        extra(temporary)
        write_manifest(temporary)
        for path in (*temporary.rglob("*"), temporary):  # what libraries wrote is flushed, too, before it gets its name
            sync(path)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_model(recipe: Recipe, folder: Path) -> Model:
    """The saved model, in evaluation mode on the CPU; every file is checked against its hash first.

    Raises:
        HeadstartError: A file is missing, changed, or of a format that this version does not know.
    """
    verify_manifest(folder)
    config = read_json(folder / "config.json")
    if config["format"] != FORMAT:
        raise HeadstartError(f"{folder}: model format {config['format']}; this version reads format {FORMAT}")
    _same_parts(recipe, config, folder)
    recipe = replace(recipe, head=_saved_head(recipe.head), parent=None)  # the run it began from need not be there any more
    options = part_class("backbone", recipe.backbone.use).saved_options(folder / "backbone", recipe.backbone.options)
    target = config["target"]
    model = make_model(recipe, Target(target["kind"], tuple(target["labels"]), target["positive"]), options)
    model.head.load_state_dict(load_file(str(folder / "head.safetensors")))
    return model.eval()


def _same_parts(recipe: Recipe, config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a recipe that is not the saved model's: with other options the same weights would say other things.

    Places may be other ones, since runs and data move; so may what changes no answer (the strategy, the device).

    Raises:
        HeadstartError: The first option that differs.
    """
    for kind, part in _parts(recipe).items():
        for name, saved, now in _differences(kind, config.get(kind), part) if kind in config else ():
            raise HeadstartError(
                f"{folder.parent / 'recipe.lock.yaml'}: {kind}.{name} is {now!r}, but the model was saved with {saved!r}; "
                "restore the file from a copy of the run"
            )


def _differences(kind: str, saved: Any, part: Any) -> Iterator[tuple[str, Any, Any]]:
    """Options by which a part is not the saved one; an option that is newer than the run counts as its default."""
    was, now = saved or {"use": None}, json.loads(json.dumps(part)) or {"use": None}
    if was["use"] != now["use"]:
        yield "use", was["use"], now["use"]
        return
    places = {option.name for option in _options(kind, was["use"]) if option.has_place} if was["use"] else set()
    yield from ((name, was[name], now.get(name)) for name in was if name not in places and was[name] != now.get(name))


def describe(model: Model, recipe: Recipe) -> dict[str, Any]:
    """What `config.json` holds: labels in order, parts with options, stages, and the card of the weights."""
    return {
        "format": FORMAT,
        "target": asdict(model.head.target),
        **_parts(recipe),
        "stages": list(model.stage_names),
        "card": asdict(model.backbone.card),
    }


def card(model: Model, recipe: Recipe) -> str:
    """A short model card."""
    weights = model.backbone.card
    lines = [
        f"# {recipe.name}\n",
        f"A {_saved_head(recipe.head).use} head on {recipe.backbone.use}, trained by the strategy {recipe.strategy.use}.\n",
        f"* predicts: {', '.join(model.head.target.labels) or model.head.target.kind}",
        f"* weights from: {weights.source} (licence: {weights.licence}, sha256 {weights.sha256 or 'none'})",
        f"* pretrained on: {weights.trained_on or 'not stated'}",
        f"* expects: {weights.expects or 'not stated'}\n",
        'Load the run with `headstart.load("path/to/run")`; scores and their intervals stand in its `metrics.json`.',
    ]
    return "\n".join(lines) + "\n"


def _saved_head(head: Part) -> Part:
    """The head that is saved, of the one that trained."""
    return Part(*part_class("head", head.use).saved_part(head.use, head.options))


def _parts(recipe: Recipe) -> dict[str, Any]:
    """What answers hang on beside the weights."""
    return {
        "backbone": _part("backbone", recipe.backbone),
        "head": _part("head", _saved_head(recipe.head)),
        "data": _part("data", recipe.data),
        "evaluation": None if recipe.evaluation is None else _part("evaluation", recipe.evaluation),
    }


def _part(kind: str, part: Part) -> dict[str, Any]:
    """With every default, so that it does not matter whether they were given."""
    defaults = {option.name: option.default for option in _options(kind, part.use)}
    return {"use": part.use, **defaults, **part.options}


def _options(kind: str, use: str) -> Sequence[Option]:
    return options_of(registry().find(cast(Kind, kind), use)).options
