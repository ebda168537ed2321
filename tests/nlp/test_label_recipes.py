"""The recipes `topic` and `multilabel` on generated files: they run as they stand, and learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.run import load

pytestmark = pytest.mark.slow  # a real encoder of 22.7 million parameters

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {
    "cooking": ("boil the pasta", "fry garlic in oil", "bake the bread", "season the soup"),
    "football": ("the striker scored", "a late penalty", "the league title", "the goalkeeper saved it"),
    "astronomy": ("a distant galaxy", "the telescope", "moons of Jupiter", "a new comet"),
}


def texts(count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Sentences about one thing or two, with what they are about."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(count):
        about = [str(one) for one in rng.permutation(list(ABOUT))[: 1 + at % 2]]
        parts = [str(rng.choice(ABOUT[one])) for one in about]
        found.append((f"On day {1000 * seed + at} we spoke of {' and '.join(parts)}.", sorted(about)))
    return found


def recipe_on(name: str, folder: Path, ending: str) -> Recipe:
    paths = [f"data.path={folder / f'train.{ending}'}", f"data.test={folder / f'test.{ending}'}"]
    return Recipe.load(ROOT / "recipes" / "nlp" / name, [*paths, "split.near=false"])


def test_topics_are_told_apart_from_few_labels(tmp_path: Path) -> None:
    for name, count, seed in (("train", 48, 0), ("test", 60, 1)):
        rows = [(text, about[0]) for text, about in texts(2 * count, seed) if len(about) == 1]
        lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    run = fit(recipe_on("topic.yaml", tmp_path, "csv"), tmp_path / "runs", report=False, quiet=True)
    assert run.metrics["test"]["accuracy"]["value"] > 0.95
    assert load(run.folder).predict(["We watched moons of Saturn."])[0].value == "astronomy"


def test_sets_of_labels_are_learnt(tmp_path: Path) -> None:
    for name, count, seed in (("train", 96, 0), ("test", 40, 1)):
        lines = [json.dumps({"text": text, "labels": about}) for text, about in texts(count, seed)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    run = fit(recipe_on("multilabel.yaml", tmp_path, "jsonl"), tmp_path / "runs", report=False, quiet=True)
    scores = {name: found["value"] for name, found in run.metrics["test"].items()}
    assert scores[run.metrics["selected_by"]] > 0.8
    (prediction,) = load(run.folder).predict(["The goalkeeper bakes bread."])
    assert set(prediction.value) <= set(ABOUT)
