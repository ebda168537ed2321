"""Side by side: runs of one table, each carried out once and kept, with what it cost."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from headstart import Recipe
from headstart.fit import fit
from headstart.run import Run

Rows = dict[str, Any]


def fill(
    out: Path, wanted: Iterable[tuple[str, Callable[[], Recipe]]], row_of: Callable[[Run], Rows], table: Callable[[Rows], str]
) -> None:
    """Run what FOLDER/results.json does not hold yet, add it there, and print the table after each run.

    `wanted` are keys of rows with what makes their recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.json"
    rows: Rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for key, recipe_of in wanted:
        if key not in rows:
            rows[key] = measured(recipe_of(), out / "runs", row_of)
            file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
            print(table(rows), flush=True)
    print(table(rows))


def measured(recipe: Recipe, out: Path, row_of: Callable[[Run], Rows]) -> Rows:
    """One run: what the table takes from it, what it cost, and the peak of this process so far in GiB."""
    before = _cpu_seconds()
    run = fit(recipe, out, report=False)
    seconds = _cpu_seconds() - before
    floor = json.loads((run.folder / "ledger.json").read_text(encoding="utf-8"))["floor"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**row_of(run), "seconds": seconds, "floor": floor and floor["times"], "peak": peak, "share": share(run)}


def share(run: Run) -> float:
    """Of all weights, the most that trained in one phase."""
    lines = (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    most = max((int(event["trainable"]) for event in map(json.loads, lines) if "trainable" in event), default=0)
    return most / sum(weight.numel() for weight in run.model.weights().values())


def ends(interval: Mapping[str, float] | None, sign: str = "") -> str:
    """A value with its interval: 0.887 [0.856, 0.913]; `sign` is "+" for differences."""
    if interval is None:
        return "n/a"
    return f"{interval['value']:{sign}.3f} [{interval['low']:{sign}.3f}, {interval['high']:{sign}.3f}]"


def cost(row: Mapping[str, Any]) -> str:
    """Two cells: CPU-seconds, and times the floor where it could be counted."""
    return f"{row['seconds']:.0f} | {row['floor']:.2f}" if row["floor"] else f"{row['seconds']:.0f} | "


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
