"""Resuming: a run that was stopped goes on where it stood, and ends as if nothing had been."""

from __future__ import annotations

import shutil
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path
from typing import Any

from headstart.errors import DataError, UsageError
from headstart.events import Events, Tell
from headstart.faults import reach
from headstart.fit import carry_out, follow, naming_the_log
from headstart.job import make_job
from headstart.locking import still_the_same
from headstart.progress import trackers
from headstart.ranks import Ranks
from headstart.recipe import Recipe
from headstart.recipe_file import dump_recipe
from headstart.resume_folder import ResumeFolder
from headstart.run import LOCK, Run, environment
from headstart.stopping import Stop

FREE = ("workers", "checkpoint")  # of `train`: what may be another when a run goes on, the result is the same


def resume(
    folder: Path,
    *,
    asked: Recipe | None = None,
    report: bool = True,
    quiet: bool = False,
    stop: Stop | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Let a run that was stopped, in whatever way, go on to its end.

    Args:
        folder: Of the run.
        asked: A recipe that must be the run's, but for `train.workers` and `train.checkpoint`; None = the run's own.
        report: Whether `report.html` is written.
        quiet: Whether nothing is written to stderr.
        stop: Knows of signals.
        ranks: The processes that do it together, as many as one likes; all of them call this. None = this one alone.

    Raises:
        UsageError: The run has finished, cannot be resumed, is worked on, or its recipe is another one by now.
        DataError: The data have changed.
    """
    folder, ranks = folder.expanduser().resolve(), ranks or Ranks()
    if not ranks.is_first:
        return follow(make_job(_same_recipe(folder, ranks.share()["recipe"], asked), stop=stop, ranks=ranks))
    with _opened(folder) as kept:
        reach("restore")
        began = ranks.share(kept.began_with())
        job = make_job(_same_recipe(folder, began["recipe"], asked), stop=stop, ranks=ranks)
        if job.fingerprint() != began["data"]:
            raise DataError(
                f"{folder}: the data are not those that the run began with (other examples, targets or texts); a run goes on "
                "with the same data only; begin a new one"
            )
        still_the_same(job)
        job.stop.folder = folder
        _mend(folder / "events.jsonl")
        tell = Events(trackers(folder, quiet=quiet))
        with naming_the_log(folder, tell):
            _tell_versions(began["versions"], tell)
            return carry_out(job, folder, tell, kept, report=report)


def _opened(folder: Path) -> ResumeFolder:
    kept = ResumeFolder(folder)
    if kept.exists:
        kept.lock()
        _remove_halves(folder)
        return kept
    if not (folder / LOCK).exists():
        raise UsageError(f"{folder}: not a run (no {LOCK}); runs are folders like runs/latest")
    if (folder / "metrics.json").exists():
        kept.remove()  # what is left where the process was killed while it cleared up
        raise UsageError(
            f"{folder}: this run has finished, there is nothing to resume; see its report.html, or begin a new run: "
            f"headstart run {folder / LOCK}"
        )
    raise UsageError(
        f"{folder}: this run kept nothing to go on from (no checkpoints/; it was stopped before it began, or train.checkpoint "
        f"is 0); run it anew: headstart run {folder / LOCK}"
    )


def _same_recipe(folder: Path, began: str, asked: Recipe | None) -> Recipe:
    """The run's recipe, with what may be another taken from the one that was asked for.

    Raises:
        UsageError: It is another one, or is not there; the message holds the difference.
    """
    if not (folder / LOCK).exists():
        raise UsageError(f"{folder / LOCK}: not found; a run goes on with its own recipe only, put the file back from a copy")
    now = (folder / LOCK).read_text(encoding="utf-8", errors="replace")
    if now != began:
        raise UsageError(_difference(folder / LOCK, began, now, "was changed since the run began"))
    recipe = Recipe.load(folder / LOCK)
    if asked is None:
        return recipe
    free = {name: getattr(asked.train, name) for name in FREE}
    changed = replace(recipe, train=replace(recipe.train, **free))
    pinned = replace(asked, data=replace(asked.data, options={**recipe.data.options, **asked.data.options}))
    if dump_recipe(pinned) != dump_recipe(changed):
        raise UsageError(
            _difference(asked.file or Path("recipe"), dump_recipe(changed), dump_recipe(pinned), "is not the run's recipe")
        )
    return changed


def _difference(path: Path, began: str, now: str, what: str) -> str:
    lines = unified_diff(began.splitlines(), now.splitlines(), "the run", str(path), lineterm="", n=0)
    shown = "\n".join(line for line in lines if not line.startswith("@@"))
    return f"{path} {what}; a run goes on with its own recipe only, begin a new one for another:\n{shown}"


def _tell_versions(began: dict[str, Any], tell: Tell) -> None:
    now = environment()["versions"]
    other = [f"{name} {began.get(name)} -> {now.get(name)}" for name in {**began, **now} if began.get(name) != now.get(name)]
    if other:
        message = f"versions changed since the run began, so the result may differ in the last digits: {', '.join(other)}"
        tell("warning", message=message)


def _remove_halves(folder: Path) -> None:
    """Remove what a kill left behind under a temporary name."""
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _mend(path: Path) -> None:
    """Cut off the half line that a kill may have left."""
    if path.exists():
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            with path.open("rb+") as file:
                file.truncate(end)
