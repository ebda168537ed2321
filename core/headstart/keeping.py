"""Keeping: the disk store of one split at one boundary, keyed by everything that decides its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.data import Data
from headstart.feed import LiveFeed
from headstart.loop import Training
from headstart.model import HEAD
from headstart.passing import Pairs
from headstart.prefix import Pattern
from headstart.recipe import Recipe
from headstart.store import DiskRows, open_store
from headstart.store_folder import StoreError, stores_root
from headstart.store_key import StoreKey, code_version, computing, content_digest, of_example, preparing, weights_digest


@dataclass(frozen=True)
class Wanted:
    """Values that are to be stored.

    Attributes:
        live: Of the split's examples.
        split: Its name.
        boundary: Stage after which the values are taken; "head" = the backbone's ports.
        pattern: How the boundary is replayed; None for ports.
        view: Number of the augmented view; None = the plain one.
    """

    live: LiveFeed
    split: str
    boundary: str
    pattern: Pattern | None
    view: int | None


def open_rows(
    training: Training, data: Data, recipe: Recipe, wanted: Wanted, build: Callable[[Sequence[int]], Pairs]
) -> DiskRows:
    """Rows out of the disk store; only those that it lacks are computed.

    Raises:
        StoreError: The store cannot be trusted, read or written, or the content of an example cannot be told.
    """
    live, backbone = wanted.live, training.model.backbone
    contents = [content_digest(example.input, modality=backbone.modality) for example in live.examples]
    if wanted.view is not None:
        contents = [of_example(content, example.id) for content, example in zip(contents, live.examples, strict=True)]
    return open_store(None, key_of(training, data, recipe, wanted), contents, build, tell=training.tell)


def is_begun(training: Training, data: Data, recipe: Recipe, wanted: Wanted) -> bool:
    """Whether some run has stored such values already, of these or other examples."""
    try:
        return (stores_root() / key_of(training, data, recipe, wanted).digest()).is_dir()
    except StoreError:
        return False


def key_of(training: Training, data: Data, recipe: Recipe, wanted: Wanted) -> StoreKey:
    """Everything that decides the values but the example itself.

    Raises:
        StoreError: A part's code lies in no file.
    """
    live, backbone, names = wanted.live, training.model.backbone, training.model.stage_names
    stages = backbone.stages if wanted.boundary == HEAD else backbone.stages[: names.index(wanted.boundary) + 1]
    is_compact = wanted.pattern is not None and wanted.pattern.compact
    view = "plain" if wanted.view is None else f"augment {preparing(data, recipe.data)} seed={live.seed} view={wanted.view}"
    return StoreKey(
        weights=weights_digest(backbone.network, stages),
        preparing=f"{preparing(backbone, recipe.backbone)}; {preparing(data)}",
        boundary=wanted.boundary if wanted.pattern is not None else f"ports:{','.join(training.model.head.stored_ports)}",
        view=view,
        dtype="float16" if is_compact else "bfloat16" if live.compute.bf16 else "float32",
        compute=computing(live.compute, exact=live.exact),
        code=code_version(backbone, data),
    )
