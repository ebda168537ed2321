"""Strategies on chest X-rays whose test pictures were taken differently: validation and test side by side.

    python benchmarks/chest_strategies.py --out FOLDER [--size 128] [--train 2000] [--only probe --only gradual]

Each strategy trains with and without augmentation on the given training part of ../shared/data/chest-xray (patients that
stand in both given parts are dropped from it); a tenth of its patients validate, and the 624 given test pictures test.
Which row to take is decided by validation alone; the test stands beside it to show what that decision is worth. Finished
runs are kept in FOLDER/results.json and not run again; the table is printed after each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contest import DATA
from side_by_side import cost, ends, fill

from headstart import Recipe
from headstart.recipe import Part
from headstart.run import Run

RECIPE = Path(__file__).parents[1] / "recipes/healthcare/chest-xray.yaml"
POSITIVE = "PNEUMONIA"
VIEWS = 2  # augmented views of each training picture
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "probe": {"epochs": 30},
    "gradual": {"depth": 4, "epochs": 1, "lr": 1e-4},
    "layer-decay": {"epochs": 1},
    "norm-only": {"epochs": 1},
    "probe-then-full": {"epochs": 1, "lr": 1e-4},
    "l2-sp": {"epochs": 1, "lr": 1e-4},
}
"""One pass over the training pictures for whatever trains the network; the rest are the strategies' defaults."""


def main() -> None:
    """Run what is missing and print the table after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--only", action="append", choices=STRATEGIES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [
        (f"{name} {augment} {given.size} {given.train}", partial(recipe_of, name, augment, size=given.size, train=given.train))
        for name in given.only or STRATEGIES
        for augment in ("none", "both")
    ]
    fill(given.out, wanted, row_of, table)


def recipe_of(name: str, augment: str, *, size: int, train: int) -> Recipe:
    """The recipe with another strategy; augmented views are made once and cycled, so that a head alone stays cheap."""
    base = Recipe.load(RECIPE, [f"data.path={DATA / 'chest-xray'}", f"backbone.size={size}", f"split.train={train}"])
    data = replace(base.data, options={**base.data.options, "augment": augment})
    plan = replace(base.train, views=VIEWS if augment != "none" else 0)
    strategy = Part(name, STRATEGIES[name])
    return replace(
        base, data=data, head=Part("linear"), strategy=strategy, train=plan, baselines="none", name=f"{name}-{augment}"
    )


def row_of(run: Run) -> dict[str, Any]:
    """What the clinical evaluation found on validation and test."""
    return {"val": _figures(run, "val"), "test": _figures(run, "test")}


def table(rows: Mapping[str, Any]) -> str:
    """Markdown, in the order in which the runs were made; the best of validation is marked."""
    best = max(rows, key=lambda key: rows[key]["val"]["auroc"]["value"])
    names = ("strategy", "augmentation", "px", "training pictures", "validation AUROC", "test AUROC")
    heads = (*names, "sensitivity", "specificity", "CPU-s", "times the floor")
    lines = [f"| {' | '.join(heads)} |", "|---|---|---:|---:|---|---|---|---|---:|---:|"]
    for key, row in rows.items():
        name, augment, size, train = key.split()
        val, test = row["val"], row["test"]
        areas = f"{ends(val['auroc'])}{' (best)' if key == best else ''} | {ends(test['auroc'])}"
        shares = f"{ends(test['sensitivity'])} | {ends(test['specificity'])}"
        lines.append(f"| {name} | {augment} | {size} | {train} | {areas} | {shares} | {cost(row)} |")
    return "\n".join(lines)


def _figures(run: Run, split: str) -> dict[str, Any]:
    found = run.metrics["evaluations"]["healthcare/clinical"][split]["questions"][POSITIVE]
    at = found["at_threshold"]
    return {"auroc": found["auroc"], "sensitivity": at["sensitivity"], "specificity": at["specificity"]}


if __name__ == "__main__":
    main()
