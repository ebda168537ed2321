"""Locking: what a job is made from, told by digests, and compared with what the run that it repeats was made from."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from headstart.backbone import WeightsCard
from headstart.errors import DataError, WeightsError
from headstart.events import Tell
from headstart.installed import installed_version
from headstart.job import Job
from headstart.lock_section import FORMAT, WITHOUT, DataPrint, Lock, ParentPrint, SplitPrint, WeightsPrint
from headstart.parent import parent_print
from headstart.place import PACKAGE
from headstart.recipe import Recipe
from headstart.recipe_file import dump_recipe
from headstart.run import LOCK, plugin_versions
from headstart.share import SPLITS, Shared
from headstart.store_content import content_digest
from headstart.store_key import computing, weights_digest
from headstart.weights_file import HUB_ID

COUNTED = {  # distribution -> module; those that compute, read or divide, where they were imported
    "torch": "torch", "torchvision": "torchvision", "transformers": "transformers", "tokenizers": "tokenizers", "timm": "timm",
    "peft": "peft", "monai": "monai", "numpy": "numpy", "scipy": "scipy", "scikit-learn": "sklearn", "pillow": "PIL",
    "pydicom": "pydicom", "nibabel": "nibabel", "datasets": "datasets", "pyarrow": "pyarrow", "safetensors": "safetensors",
}  # fmt: skip
OWN_PATH = re.compile(r"(?<![^\s(])(?:~|/)[^\s()]*/([^\s()/]+)")  # a path on this machine may hold the name of a user


def lock_of(job: Job) -> Lock:
    """What a job is made from; reads the content of every example that is used, once."""
    recipe, model = job.recipe, job.built.model
    return Lock(
        format=FORMAT,
        recipe=_recipe_digest(recipe),
        data=_data_print(job.shared, model.backbone.modality),
        split=_split_print(job.shared),
        weights=_weights_print(job),
        parent=None if recipe.parent is None else ParentPrint(**parent_print(recipe.parent)),
        versions=_versions(),
        plugins=plugin_versions(),
        seeds={"train": recipe.train.seed, "split": recipe.split.seed},
        device=computing(job.compute, exact=recipe.train.exact),
        threads=torch.get_num_threads(),
    )


def compare(recipe: Recipe, now: Lock) -> list[str]:
    """Compare a job with the lock that its recipe has.

    Returns:
        What may change the result without being another task: whole sentences to warn with.

    Raises:
        DataError: Examples, targets, contents or the division are others.
        WeightsError: The weights, or the run that was begun from, are others.
    """
    then: Lock | None = recipe.lock
    if then is None:
        return _nothing_to_compare(recipe)
    same_data(recipe, now)
    same_weights(recipe, now)
    return [*_other_recipe(recipe, then, now), *_other_machine(then, now), *_untold(now)]


def still_the_same(job: Job) -> None:
    """Refuse to go on with a run whose data, or the run that it began from, are others by now; checkpoints know weights.

    Raises:
        DataError, WeightsError: What differs first.
    """
    then: Lock | None = job.recipe.lock
    if then is not None:
        now = lock_of(job)
        same_data(job.recipe, now)
        same_weights(job.recipe, now.model_copy(update={"weights": then.weights}))


def same_data(recipe: Recipe, now: Lock) -> None:
    """Refuse examples that are not those of the recipe's lock.

    Raises:
        DataError: What differs first.
    """
    then: Lock | None = recipe.lock
    fault = None if then is None else next(_data_faults(then, now), None)
    if fault is not None:
        raise DataError(
            f"{_place(recipe)}: the data are not those of the run that this lock was written for: {fault}; {_way_out()}"
        )


def same_weights(recipe: Recipe, now: Lock) -> None:
    """Refuse weights that are not those of the recipe's lock, or another run that they are from.

    Raises:
        WeightsError: What differs first.
    """
    then: Lock | None = recipe.lock
    fault = None if then is None else next(chain(_parent_faults(then, now), _weights_faults(then, now)), None)
    if fault is not None:
        raise WeightsError(f"{_place(recipe)}: the weights are not those that this lock was written for: {fault}; {_way_out()}")


# what a job is made from


def _recipe_digest(recipe: Recipe) -> str:
    settled = replace(recipe, train=replace(recipe.train, workers=None, checkpoint=None))  # the result is the same with any
    return sha256(dump_recipe(settled).encode()).hexdigest()


def _data_print(shared: Shared, modality: str) -> DataPrint:
    examples = shared.examples
    used = {index for split in (shared.last, *shared.splits) for name in SPLITS for index in getattr(split, name)}
    ids, targets, groups, contents = sha256(), sha256(), sha256(), sha256()
    untold = 0
    for index in range(len(examples)):
        example = examples[index]
        ids.update(_piece(example.id))
        targets.update(_piece(content_digest(example.target) or repr(example.target)))
        groups.update(_piece(repr(example.group)))
        if index in used:
            content = content_digest(example.input, modality=modality)
            untold += content is None
            contents.update(_piece(content or ""))
    found = {"ids": ids, "targets": targets, "groups": groups, "contents": contents}
    return DataPrint(examples=len(examples), untold=untold, **{name: digest.hexdigest() for name, digest in found.items()})


def _piece(text: str) -> bytes:
    """With its length, so that no two ways to join are equal."""
    content = text.encode("utf-8", "surrogatepass")
    return len(content).to_bytes(8, "little") + content


def _split_print(shared: Shared) -> SplitPrint:
    digest = sha256()
    for number, parts in shared.rounds():
        for name, examples in parts.items():
            digest.update(f"{number} {name} {len(examples)}\n".encode())
            for example in examples:
                digest.update(_piece(example.id))
    sizes = {name: len(part) for name, part in shared.of(shared.last).items()}
    return SplitPrint(digest=digest.hexdigest(), **sizes)


def _weights_print(job: Job) -> WeightsPrint:
    backbone = job.built.model.backbone
    card = backbone.card
    tensors = "" if card.sha256 else weights_digest(backbone.network, backbone.stages)
    return WeightsPrint(
        file=_file_name(card),
        source=OWN_PATH.sub(r"\1", card.source),
        revision=_revision(card.source),
        sha256=card.sha256,
        licence=card.licence,
        tensors=tensors,
    )


def _file_name(card: WeightsCard) -> str:
    """Of a file that the source names; a folder, a hub id or the name of published weights gives none."""
    name = PurePosixPath(card.source).name
    return name if PurePosixPath(name).suffix in {".safetensors", ".pth", ".pt", ".bin"} else ""


def _revision(source: str) -> str:
    if matched := HUB_ID.fullmatch(source):
        return matched["commit"]
    if source.startswith(PACKAGE):
        return installed_version(source.removeprefix(PACKAGE).partition("/")[0]) or ""
    return ""


def _versions() -> dict[str, str]:
    own = [name for name in ("headstart",) if installed_version(name)]
    names = [*own, *(name for name, module in COUNTED.items() if module in sys.modules)]
    return {"python": platform.python_version(), **{name: version for name in names if (version := installed_version(name))}}


# what differs


def _data_faults(then: Lock, now: Lock) -> Iterator[str]:
    was, found = then.data, now.data
    if was.examples != found.examples:
        yield f"{was.examples:,} examples then, {found.examples:,} now"
    if was.ids != found.ids:
        yield "other examples, or in another order (their ids differ)"
    if was.targets != found.targets:
        yield "the same examples have other targets"
    if was.groups != found.groups:
        yield "the same examples have other groups"
    if then.split != now.split:
        sizes = [f"{part.train:,} train, {part.val:,} val, {part.test:,} test" for part in (then.split, now.split)]
        yield f"the same examples are divided otherwise ({sizes[0]} then, {sizes[1]} now)"
    if was.contents != found.contents:
        yield "the contents of examples changed (their ids, targets and division are the same)"


def _parent_faults(then: Lock, now: Lock) -> Iterator[str]:
    if (was := then.parent) != (found := now.parent):
        names = ["no run" if parent is None else f"run {parent.run} (model {parent.model[:12]})" for parent in (was, found)]
        yield f"training began from {names[0]} then, from {names[1]} now"


def _weights_faults(then: Lock, now: Lock) -> Iterator[str]:
    old, new = then.weights, now.weights
    if old.sha256 != new.sha256:
        yield f"{_named(old)} then, {_named(new)} now"
    if not old.sha256 and old.tensors != new.tensors:
        yield f"{_named(old)}, whose tensors have other values or shapes now"


def _named(weights: WeightsPrint) -> str:
    digest = f" (sha256 {weights.sha256[:12]}...)" if weights.sha256 else ""
    return f"{weights.file or weights.source}{digest}"


def _other_recipe(recipe: Recipe, then: Lock, now: Lock) -> Iterator[str]:
    if then.recipe != now.recipe:
        said = (
            ", ".join(f"--set {text}" for text in recipe.overrides) or "the file was edited, or a part has other options by now"
        )
        yield f"the recipe is not the one that its lock was written for ({said}), so this run does not repeat that one"


def _other_machine(then: Lock, now: Lock) -> Iterator[str]:
    other = [*_other_versions(then, now)]
    if then.device != now.device:
        other.append(f"{then.device} then, {now.device} now")
    if then.threads != now.threads:
        other.append(f"{then.threads} threads then, {now.threads} now")
    if other:
        further = f" (and: {'; '.join(other[1:])})" if other[1:] else ""
        yield f"the result may differ in the last digits from that of the lock: {other[0]}{further}"


def _other_versions(then: Lock, now: Lock) -> Iterator[str]:
    """Of what counted then; what was not imported yet is asked for its version all the same."""
    present: dict[str, str] = {name: version for name in then.versions if (version := installed_version(name))}
    present.update(now.versions)
    yield from _changed(then.versions, present)
    yield from _changed(then.plugins, now.plugins)


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> Iterable[str]:
    changed = [(name, version) for name, version in then.items() if now.get(name) != version]
    for name, version in changed:
        said = version if version.startswith(name) else f"{name} {version}"
        yield f"{said} then, {now.get(name, 'none')} now"


def _untold(now: Lock) -> Iterator[str]:
    if now.data.untold:
        yield f"the contents of {now.data.untold:,} examples cannot be told and were not compared"


def _nothing_to_compare(recipe: Recipe) -> list[str]:
    is_old = (
        recipe.file is not None and recipe.file.name == LOCK and not any(text.startswith("lock") for text in recipe.overrides)
    )
    said = f"{_place(recipe)} holds no lock of data, weights and versions (of an older headstart): nothing could be compared"
    return [said] if is_old else []


def _place(recipe: Recipe) -> str:
    return str(recipe.file) if recipe.file is not None else "the recipe"


def _way_out() -> str:
    return f"to train with what is there now, on purpose, add {WITHOUT}"


def repeated(recipe: Recipe, again: Path) -> list[str]:
    """A line that says whether a repetition gave the same as the run whose lock file it ran, where that run is there."""
    if recipe.lock is None or recipe.file is None or not (recipe.file.parent / "metrics.json").exists():
        return []
    if recipe.file.parent.resolve() == again.resolve():  # it was resumed with its own lock file
        return []
    other = first_other_file(recipe.file.parent, again)
    said = "the same to the bit as" if other is None else f"differs first in {other} from"
    return [f"repeat  {said} {recipe.file.parent}"]


def first_other_file(run: Path, again: Path) -> str | None:
    """The first of model, metrics and predictions in which a repetition is not equal to the bit; None = all are."""
    names = ("model/manifest.json", "metrics.json", "predictions.parquet")
    return next((name for name in names if _bytes(run / name) != _bytes(again / name)), None)


def _bytes(path: Path) -> Any:
    return path.read_bytes() if path.exists() else None


def tell_origin(job: Job, doubts: Iterable[str], tell: Tell) -> None:
    """Tell which run the weights are from, and what keeps a repetition from being one."""
    if job.built.model.origin:
        tell("origin", message=job.built.model.origin)
    for message in doubts:
        tell("warning", message=message)
