"""SST-2 with few labels: ways of transfer side by side, with what each trains and costs.

    python benchmarks/sst2_strategies.py --out FOLDER [--train 1000] [--only ulmfit --only full ...]

Each strategy trains MiniLM-L6 on the same rows of ../shared/data/sst2/dev.tsv (phrases; 300 further rows validate) and is
tested on the 872 sentences of test.tsv, on one CPU thread. Finished runs are kept in FOLDER/results.json and not run again;
the table is printed after each.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from contest import DATA

from headstart import Recipe
from headstart.fit import fit
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
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "results.json"
    rows: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in given.only or STRATEGIES:
        key = f"{name} | {given.train}"
        if key not in rows:
            rows[key] = measured(recipe_of(name, given.train), given.out / "runs")
            file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
            print(table(rows), flush=True)
    print(table(rows))


def recipe_of(name: str, train: int) -> Recipe:
    """The recipe of docs/benchmarks.md with another strategy and fewer rows; each run pays for all that it needs."""
    use, options = STRATEGIES[name]
    paths = [f"data.path={DATA / 'sst2/dev.tsv'}", f"data.test={DATA / 'sst2/test.tsv'}", f"split.train={train}"]
    base = Recipe.load(RECIPE, paths)
    return replace(
        base, strategy=Part(use, options), train=replace(base.train, store="memory"), baselines="none", name=f"sst2-{name}"
    )


def measured(recipe: Recipe, out: Path) -> dict[str, Any]:
    """One run: accuracy and area under the curve with intervals, the share that trained, and what it cost."""
    before = _cpu_seconds()
    run = fit(recipe, out, report=False)
    seconds = _cpu_seconds() - before
    floor = json.loads((run.folder / "ledger.json").read_text(encoding="utf-8"))["floor"]
    return {
        "test": run.metrics["test"],
        "val": run.metrics["val"],
        "share": _share(run),
        "seconds": seconds,
        "floor": floor and floor["times"],
    }


def table(rows: Mapping[str, Any]) -> str:
    """Markdown, in the order in which the runs were made."""
    lines = [
        "| strategy | rows learnt | accuracy on the 872 | area under the curve | share that trains | CPU-s | times the floor |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for key, row in rows.items():
        name, train = key.split(" | ")
        scores = f"{_ends(row['test']['accuracy'])} | {_ends(row['test'].get('auroc'))}"
        floor = f"{row['floor']:.2f}" if row["floor"] else ""
        lines.append(f"| {name} | {train} | {scores} | {row['share']:.2%} | {row['seconds']:.0f} | {floor} |")
    return "\n".join(lines)


def _share(run: Run) -> float:
    """Of all weights, the most that trained in one phase."""
    lines = (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    most = max((int(event["trainable"]) for event in map(json.loads, lines) if "trainable" in event), default=0)
    return most / sum(weight.numel() for weight in run.model.weights().values())


def _ends(interval: Mapping[str, float] | None) -> str:
    return "n/a" if interval is None else f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
