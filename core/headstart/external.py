"""External evaluation: a finished run on data from elsewhere, written as a folder with predictions, figures and a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.build import make_data
from headstart.events import Events
from headstart.files import write_json
from headstart.infer import Evaluated, evaluated, evaluations_of
from headstart.predictions import write_predictions
from headstart.progress import trackers
from headstart.run import create_folder

if TYPE_CHECKING:
    from headstart.run import Run

COPIED = ("recipe.yaml", "recipe.lock.yaml", "env.json")
"""Files of the run that say what was evaluated."""


def evaluate_external(run: Run, source: Path, out: Path) -> tuple[Path, dict[str, Any]]:
    """Evaluate, and write a folder of its own below `out`; the run's folder stays as it is, and nothing is fitted.

    Returns:
        The folder, and what `headstart.infer.evaluate` gives.

    Raises:
        DataError: No example there has a label, or one that the run does not know. UsageError: There can be no folder.
    """
    started = time.perf_counter()
    found = evaluated(run, source)
    folder = create_folder(out, replace(run.recipe, name=f"{run.recipe.name}-external"))
    tell = Events(trackers(folder, quiet=True))
    tell("start", name=run.recipe.name, folder=str(folder), backbone=run.recipe.backbone.use, strategy="external")
    for name in COPIED:
        shutil.copyfile(run.folder / name, folder / name)
    data = make_data(run.recipe.data)
    write_predictions([found.outcome], folder / "predictions.parquet", excerpt=data.excerpt)
    write_json(folder / "data.json", {"facts": {"research_only": bool(_is_research(run))}})
    write_json(folder / "metrics.json", _metrics(run, found))
    from headstart.report.page import write_report

    write_report(folder)
    evaluations_of(run).guard(folder)
    tell("end", folder=str(folder), seconds=round(time.perf_counter() - started, 1))
    return folder, found.as_json()


def _metrics(run: Run, found: Evaluated) -> dict[str, Any]:
    """In the form of a run's `metrics.json`; "external" says whose it is and what it scored on its own test part."""
    own = run.metrics
    internal = {name: (one.get("test") or {}) for name, one in (own.get("evaluations") or {}).items()}
    return {
        "target": own["target"],
        "selected_by": own["selected_by"],
        "n": {"train": 0, "val": 0, "test": found.n},
        "test": found.scores,
        "baselines": {},
        "differences": {},
        "folds": [],
        "evaluations": {name: {"test": one} for name, one in found.evaluations.items()},
        "external": {"run": run.folder.name, "test": own.get("test") or {}, "evaluations": internal},
    }


def _is_research(run: Run) -> bool:
    from headstart.files import read_json

    path = run.folder / "data.json"
    facts: Mapping[str, Any] = read_json(path).get("facts") or {} if path.exists() else {}
    return bool(facts.get("research_only"))
