"""Mosaic: what the network will see of the data, class by class, drawn into one file that needs nothing else."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from headstart.backbone import Backbone
from headstart.data import Data
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.files import write_text
from headstart.mixing import pairing, spatial
from headstart.order import rng
from headstart.place import naming_folders
from headstart.recipe import Recipe
from headstart.split import make_splits
from headstart.trial import make_parts

SHOWN = 8  # examples of each class
CLASSES = 24  # that a page shows
PNG = b"\x89PNG\r\n\x1a\n"

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: .2rem } h2 { font-size: 1rem; margin: 1.6rem 0 .5rem }
p, figcaption { color: #6b7280 } p { margin-top: 0 }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .7rem }
.pairs { grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)) }
figure { margin: 0 } figcaption { font-size: .72rem; overflow-wrap: anywhere }
.pair { display: grid; grid-auto-flow: column; gap: 2px } img { width: 100%; display: block; image-rendering: auto }
"""


@dataclass(frozen=True)
class Tile:
    """One example.

    Attributes:
        caption: The example's name.
        views: Prepared for evaluation and, where training sees it otherwise, as it is there; uint8 [H, W] or [H, W, 3].
    """

    caption: str
    views: tuple[np.ndarray, ...]


def draw_mosaic(recipe: Recipe, file: Path) -> Path:
    """Write a page with some examples of each class as the backbone's preparing leaves them, and return its path.

    Where training augments or mixes, the view of the first epoch stands beside the plain one.

    Raises:
        UsageError: The backbone has no pictures of what it prepares: it reads text or tables.
        DataError: The data cannot be read, or a picture that was chosen.
    """
    data, backbone = make_parts(recipe, ("data", "backbone"))
    with naming_folders(recipe):
        chosen = _chosen(_training(data, recipe))
    rows = {label: _tiles(recipe, data, backbone, examples) for label, examples in chosen.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, _page(recipe, backbone, rows))
    return file


def png(picture: np.ndarray) -> bytes:
    """A uint8 array [H, W] or [H, W, 3] as a PNG file; ISO/IEC 15948, colour types 0 and 2, no filter."""
    height, width = picture.shape[:2]
    lines = np.ascontiguousarray(picture).reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1).tobytes()  # filter 0 before each line
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if picture.ndim == 2 else 2, 0, 0, 0)
    return PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(raw)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _training(data: Data, recipe: Recipe) -> list[Example]:
    """The training examples of the first split; all where they cannot be divided, which `check` tells elsewhere."""
    examples = data.examples()
    try:
        return [examples[index] for index in make_splits(examples, recipe.split, data.target)[0].train]
    except DataError:
        return list(examples)


def _chosen(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Some of each class, evenly spaced over the order of the source, so that one folder or patient does not fill the row."""
    by_label: dict[str, list[Example]] = {}
    for example in examples:
        by_label.setdefault(_label(example.target), []).append(example)
    return {label: _spaced(by_label[label]) for label in sorted(by_label)[:CLASSES]}


def _spaced(found: Sequence[Example]) -> list[Example]:
    count = min(SHOWN, len(found))
    return [found[at * len(found) // count] for at in range(count)]


def _label(target: Any) -> str:
    if target is None or isinstance(target, (int, float)):
        return "examples"
    return ", ".join(map(str, target)) or "no label" if isinstance(target, (list, tuple)) else str(target)


def _tiles(recipe: Recipe, data: Data, backbone: Backbone, examples: Sequence[Example]) -> list[Tile]:
    rngs = [rng(recipe.train.seed, 1, example.id) for example in examples]
    views = [data.augment(example.input, generator) for example, generator in zip(examples, rngs, strict=True)]
    plain = _pictures(backbone, backbone.prepare([example.input for example in examples]))
    columns = [plain]
    is_other = any(view is not example.input for view, example in zip(views, examples, strict=True))
    if is_other or recipe.train.mix != "none":
        batch = backbone.prepare(views, train=True, rngs=rngs)
        columns.append(_pictures(backbone, _mixed(recipe, batch, [example.id for example in examples])))
    names = [data.excerpt(example.input) or example.id for example in examples]
    return [Tile(name, shown) for name, shown in zip(names, zip(*columns, strict=True), strict=True)]


def _mixed(recipe: Recipe, batch: dict[str, Tensor], ids: Sequence[str]) -> dict[str, Tensor]:
    plan, values = recipe.train, spatial(batch)
    if plan.mix == "none" or not values:
        return batch
    shape = next(iter(values.values())).shape[2:]
    pair = pairing(plan.mix, ids, shape, seed=plan.seed, epoch=1, alpha=plan.mix_alpha)
    return {**batch, **{name: pair.mixed(value) for name, value in values.items()}}


def _pictures(backbone: Backbone, batch: Mapping[str, Tensor]) -> list[np.ndarray]:
    found = backbone.pictures(batch)
    if found is None:
        raise UsageError(
            f"there is nothing to draw: a {type(backbone).__name__} prepares {', '.join(batch)}, and no pictures; "
            "leave out --open and --mosaic"
        )
    return list(found)


def _page(recipe: Recipe, backbone: Backbone, rows: Mapping[str, Sequence[Tile]]) -> str:
    is_pair = any(len(tile.views) > 1 for tiles in rows.values() for tile in tiles)
    beside = " Left: as evaluated. Right: as trained on in the first epoch." if is_pair else ""
    title = f"What {recipe.backbone.use} sees of {recipe.name}"
    row = '<div class="row pairs">' if is_pair else '<div class="row">'
    sections = "".join(f"<h2>{escape(label)}</h2>{row}{''.join(map(_figure, rows[label]))}</div>" for label in rows)
    return (
        f'<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>Training examples as prepared: {escape(backbone.card.expects or 'no more is known')}.{beside}</p>{sections}</html>"
    )


def _figure(tile: Tile) -> str:
    images = "".join(f'<img alt="" src="data:image/png;base64,{b64encode(png(view)).decode()}">' for view in tile.views)
    return f"<figure><div class=pair>{images}</div><figcaption>{escape(tile.caption)}</figcaption></figure>"
