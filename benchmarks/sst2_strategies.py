"""SST-2 with few labels: ways of transfer side by side, with what each trains and costs.

    python benchmarks/sst2_strategies.py --out FOLDER [--train 1000] [--only ulmfit --only full ...]

Each strategy trains MiniLM-L6 on the same rows of ../shared/data/sst2/dev.tsv (phrases; 300 further rows validate) and is
tested on the 872 sentences of test.tsv, on one CPU thread. Finished runs are kept in FOLDER/results.json and not run again;
the table is printed after each.
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

RECIPE = Path(__file__).with_name("sst2.yaml")
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "probe": ("probe", {}),
    "ulmfit": ("ulmfit", {"lr": 5e-4, "last_epochs": 2}),
    "full": ("full", {"epochs": 3, "lr": 2e-4}),
    "lora": ("lora", {"epochs": 3, "lr": 2e-3}),
    "bitfit": ("bitfit", {"epochs": 3, "lr": 2e-3}),
}
"""Name of the row -> strategy and what differs from its defaults: rates that a small encoder wants, three passes."""


def main() -> None:
    """Run what is missing and print the table after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=1000, help="rows")
    parser.add_argument("--only", action="append", choices=STRATEGIES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [(f"{name} | {given.train}", partial(recipe_of, name, given.train)) for name in given.only or STRATEGIES]
    fill(given.out, wanted, row_of, table)


def recipe_of(name: str, train: int) -> Recipe:
    """The recipe of docs/benchmarks.md with another strategy and fewer rows; each run pays for all that it needs."""
    use, options = STRATEGIES[name]
    paths = [f"data.path={DATA / 'sst2/dev.tsv'}", f"data.test={DATA / 'sst2/test.tsv'}", f"split.train={train}"]
    base = Recipe.load(RECIPE, paths)
    return replace(
        base, strategy=Part(use, options), train=replace(base.train, store="memory"), baselines="none", name=f"sst2-{name}"
    )


def row_of(run: Run) -> dict[str, Any]:
    """The scores of one run with their intervals."""
    return {"test": run.metrics["test"], "val": run.metrics["val"]}


def table(rows: Mapping[str, Any]) -> str:
    """Markdown, in the order in which the runs were made."""
    lines = [
        "| strategy | rows learnt | accuracy on the 872 | area under the curve | share that trains | CPU-s | times the floor |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for key, row in rows.items():
        name, train = key.split(" | ")
        scores = f"{ends(row['test']['accuracy'])} | {ends(row['test'].get('auroc'))}"
        lines.append(f"| {name} | {train} | {scores} | {row['share']:.2%} | {cost(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
