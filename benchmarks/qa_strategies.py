"""Question answering from few questions: strategies side by side on articles that none of them has seen.

    python benchmarks/qa_strategies.py --out FOLDER [--train 1000] [--only full --only probe ...]

Trains MiniLM-L6, which has learnt nothing about answering, on answerable questions of ../shared/data/squad's part of SQuAD
2.0 and tests on the 838 questions of the 32 XQuAD articles that do not stand in it; "squad2" learns and tests on questions
with and without an answer, articles apart. One CPU thread. Intervals are over whole articles; "minus" is the run's F1 less
that of a plain way to answer, paired. Finished runs are kept in FOLDER/results.json and not run again; the table is
printed after each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contest import DATA
from side_by_side import cost, ends, fill

from headstart import Recipe
from headstart.recipe import Part, SplitPlan, TrainPlan
from headstart.run import Run

TRAINED = DATA / "squad/squad-v2-half-dev.json"
TESTED = DATA / "squad/xquad.en.json"
SENTENCE = "sentence with most shared words"
BATCH = 8  # questions; with a thousand of them larger batches leave too few steps
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "probe": ("probe", {"epochs": 10}),
    "full": ("full", {"epochs": 2, "lr": 2e-4}),
    "last 3 stages": ("last-stages", {"stages": 3, "epochs": 2, "lr": 2e-4}),
    "gradual": ("gradual", {"head_epochs": 3, "head_lr": 1e-3, "epochs": 1, "lr": 2e-4, "layer_decay": 0.95}),
    "lora": ("lora", {"epochs": 2, "lr": 2e-3, "rank": 16}),
    "squad2": ("full", {"epochs": 2, "lr": 2e-4}),
}
"""Name of the row -> strategy and what differs from its defaults."""


def main() -> None:
    """Run what is missing and print the table after each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=1000, help="questions")
    parser.add_argument("--only", action="append", choices=STRATEGIES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.only or STRATEGIES
    wanted = [(f"{name} | {given.train}", partial(recipe_of, name, given.train, given.out)) for name in names]
    fill(given.out, wanted, row_of, table)


def recipe_of(name: str, train: int, out: Path) -> Recipe:
    """The recipe of one row; nothing is kept for later runs, so that each pays for all that it needs."""
    use, options = STRATEGIES[name]
    data: dict[str, Any] = {"path": str(TRAINED)}
    split = SplitPlan(val=0.1, train=train, near=False)
    if name == "squad2":
        split = SplitPlan(test=0.25, val=0.15, train=train, near=False)
    else:
        data |= {"test_path": str(unseen_articles(out)), "unanswerable": "drop"}
    return Recipe(
        data=Part("nlp/squad", data),
        backbone=Part("nlp/pair-encoder"),
        head=Part("nlp/span"),
        strategy=Part(use, options),
        split=split,
        train=TrainPlan(batch_size=BATCH, store="memory"),
        name=f"qa-{name.replace(' ', '-')}",
    )


def unseen_articles(out: Path) -> Path:
    """XQuAD without the articles that the training file holds, too."""
    known = {article["title"] for article in json.loads(TRAINED.read_text(encoding="utf-8"))["data"]}
    tested = json.loads(TESTED.read_text(encoding="utf-8"))
    tested["data"] = [article for article in tested["data"] if article["title"] not in known]
    path = out / "xquad-unseen.json"
    path.write_text(json.dumps(tested), encoding="utf-8")
    return path


def row_of(run: Run) -> dict[str, Any]:
    """The figures of one run on the test, and what the plain ways get there."""
    test = run.metrics["evaluations"]["nlp/squad"]["test"]
    names = ("rules", "n", "no_answer", "threshold", "scores", "plain", "kinds")
    return {**{name: test[name] for name in names}, "val": run.metrics["val"]}


def table(rows: Mapping[str, Any]) -> str:
    """Markdown: a line for each run, and one for each plain way beside the first run with the same test."""
    lines = [
        "| way | questions learnt | F1 | exact match | F1 minus most shared words | CPU-s | times the floor |",
        "|---|---:|---|---|---|---:|---:|",
    ]
    seen: set[tuple[str, int]] = set()
    for key, row in rows.items():
        name, train = key.split(" | ")
        test = (row["rules"], row["n"])
        if test not in seen:
            for plain, found in row["plain"].items():
                lines.append(
                    f"| {plain} ({row['rules']}, n = {row['n']}) | 0 | {found['scores']['f1']:.3f} | "
                    f"{found['scores']['exact_match']:.3f} | | | |"
                )
            seen.add(test)
        gap = ends(row["plain"][SENTENCE]["run_minus_it"].get("f1"), sign="+")
        figures = f"{ends(row['scores']['f1'])} | {ends(row['scores']['exact_match'])} | {gap}"
        lines.append(f"| {name} | {train} | {figures} | {cost(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
