"""Fit: a recipe becomes a run. The main path, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from headstart.checkpoint import save_model
from headstart.data import Data
from headstart.errors import HeadstartError
from headstart.events import Events, Tell
from headstart.faults import reach
from headstart.files import MANIFEST, write_json
from headstart.job import Job, make_job
from headstart.judge import judge
from headstart.locking import compare, lock_of, tell_origin
from headstart.outcome import Outcome
from headstart.predictions import write_predictions
from headstart.progress import trackers
from headstart.ranks import Ranks
from headstart.recipe import Recipe
from headstart.resume_folder import ResumeFolder
from headstart.rounds import FINAL, carry_out_round, follow_round, sizes, train_round
from headstart.run import Run, begun_with, create_folder, point_latest, write_recipe
from headstart.stopping import Stop

__all__ = ["FINAL", "carry_out", "fit", "follow", "naming_the_log", "train_round"]


def fit(
    recipe: Recipe,
    out: Path,
    *,
    data: Data | None = None,
    report: bool = True,
    quiet: bool = False,
    stop: Stop | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Train, evaluate and report one recipe.

    Args:
        recipe: What to run.
        out: Folder that gets the run's own, uniquely named folder.
        data: Examples in memory in place of the recipe's data part; such a run cannot be resumed.
        report: Whether `report.html` is written.
        quiet: Whether nothing is written to stderr; the log files tell it all the same.
        stop: Knows of signals (see `headstart.stopping`); None = an interrupt may come anywhere.
        ranks: The processes that do it together (see `headstart.ranks.opened`); all of them call this. None = this one alone.

    Raises:
        UsageError: Parts do not fit. DataError: Data is unfit or leaks. MissingError: Weights or a package are absent.
        TrainingError, FreezingError: Training failed.
    """
    job = make_job(recipe, data=data, stop=stop, ranks=ranks)
    if not job.ranks.is_first:
        return follow(job)
    lock = lock_of(job)
    doubts = compare(recipe, lock)
    folder = create_folder(out, job.recipe)
    tell = Events(trackers(folder, quiet=quiet))
    kept = ResumeFolder(folder) if data is None and recipe.train.checkpoint != 0 else None
    with naming_the_log(folder, tell), kept or nullcontext():
        write_recipe(folder, job.recipe, lock)
        if kept is not None:
            kept.begin(begun_with(folder, job.fingerprint()))
            job.stop.folder = folder
        tell("start", name=recipe.name, folder=str(folder), backbone=recipe.backbone.use, strategy=recipe.strategy.use)
        tell_origin(job, doubts, tell)
        return carry_out(job, folder, tell, kept, report=report)


def carry_out(job: Job, folder: Path, tell: Tell, kept: ResumeFolder | None, *, report: bool = True) -> Run:
    """Everything from the division of the data to the report, in a folder that is there; `kept` is what was done before."""
    started, built = time.perf_counter(), job.built
    reach("prepare")
    job.introduce(folder, tell)

    outcomes: list[Outcome] = []
    transfer: Mapping[str, Any] = {}  # of the last round that had a test part
    for fold, parts in job.shared.rounds():
        result, model = carry_out_round(job, fold, parts, tell, kept)
        outcomes += result.outcomes
        transfer = result.transfer or transfer

    for message in job.evaluations.warnings():
        tell("warning", message=message)
    found = judge(built.data.target, outcomes, model.head.score, sizes(result, outcomes), seed=job.recipe.train.seed)
    tell("result", selected_by=found.selected_by, **found.values())
    built.strategy.finish(model)
    save_model(model, job.recipe, folder / "model", extra=job.evaluations.save)
    reach("saved")
    write_predictions(outcomes, folder / "predictions.parquet", excerpt=built.data.excerpt)
    write_json(folder / "ledger.json", result.ledger)
    further = {"head": dict(model.head.facts()), "evaluations": job.evaluations.measured, "transfer": transfer}
    reach("metrics")
    write_json(folder / "metrics.json", {**found.as_json(), **further})
    run = Run(folder)
    reach("report")
    if report:
        run.report()
    job.evaluations.guard(folder)
    point_latest(folder)
    reach("end")
    if kept is not None:
        kept.remove()
    tell("end", folder=str(folder), seconds=round(time.perf_counter() - started, 1))
    job.ranks.share(str(folder))
    return run


def follow(job: Job) -> Run:
    """What the processes but the first do: train with it in every round, and wait for its end."""
    for fold, parts in job.shared.rounds():
        follow_round(job, fold, parts)
    return Run(Path(job.ranks.share()))


@contextmanager
def naming_the_log(folder: Path, tell: Tell) -> Iterator[None]:
    """Whatever ends the run inside: the log tells it, and its message tells where the log is and what was kept."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # of a full disk, on which the log lies too
            tell("stopped", error=type(error).__name__, message=str(error))
        note = f"{_what_is_kept(folder)}: {folder / 'events.jsonl'}"
        if isinstance(error, HeadstartError | KeyboardInterrupt):
            error.args = (f"{str(error) or 'interrupted'}; {note}",)
        else:
            error.add_note(note)
        raise


def _what_is_kept(folder: Path) -> str:
    if ResumeFolder(folder).is_filled:
        return "what was done is kept, and the run can go on; its log"
    if (folder / "model" / MANIFEST).exists():
        return "what was finished was kept beside its log"
    return "nothing of this run was kept but its log"
