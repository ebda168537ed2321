"""Own scores: those that only a head knows (of spans, of tags, of grades), found again for saved predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.errors import HeadstartError, UsageError
from headstart.example import Target
from headstart.predictions import SavedOutcome
from headstart.run_files import RunFiles
from headstart.scores import HeadScore


def fitting_score(runs: tuple[RunFiles, RunFiles], generic: HeadScore | None, outcome: SavedOutcome) -> HeadScore:
    """The scores in which two runs are compared: those of the kind of target, or the head's own where it reports more.

    Args:
        runs: Of the same kind of target.
        generic: The scores of that kind; None = there are none.
        outcome: Predictions of one of them, to see what `generic` gives.

    Raises:
        UsageError: No score is known for such targets.
    """
    reported = set(runs[0].metrics.get("test") or {}) & set(runs[1].metrics.get("test") or {})
    if generic is not None and reported <= set(generic(list(outcome.predictions), outcome.targets, None)):
        return generic
    found = own_score(runs[0]) if _head(runs[0])[0] == _head(runs[1])[0] else None
    if found is not None:
        return found
    if generic is None:
        kind = runs[0].metrics.get("target", {}).get("kind")
        raise UsageError(f"there are no scores to compare for targets of kind '{kind}'")
    return generic


def own_score(run: RunFiles) -> HeadScore | None:
    """`score` of the run's head, made without a backbone, as scoring reads predictions and no features; None = it cannot be."""
    from headstart.build import part_class

    name, options = _head(run)
    target = run.metrics["target"]
    try:
        kind = part_class("head", name)
        while getattr(kind, "wraps", None):  # one around another head scores as that one does, and may read ports of its own
            name, options = options.get("main", "linear"), options.get("options") or {}
            kind = part_class("head", name)
        head = kind(
            dict.fromkeys(kind.needs, 1), Target(target["kind"], tuple(target["labels"]), target["positive"]), **options
        )
    except (HeadstartError, TypeError, KeyError):  # another version of the plugin, or none
        return None
    score: HeadScore = head.score
    return score


def _head(run: RunFiles) -> tuple[str, Mapping[str, Any]]:
    """Name and options of the head in the recipe."""
    part = run.lock.get("head") or "linear"
    if isinstance(part, str):
        return part, {}
    return str(part.get("use")), {key: value for key, value in part.items() if key != "use"}
