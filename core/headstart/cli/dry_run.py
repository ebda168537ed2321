"""`headstart run RECIPE --dry-run`: the table of phases, and the same as a recipe that can be edited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headstart.forecast import Forecast, Outlook, PhaseForecast
    from headstart.recipe import Recipe

COLUMNS = ("phase", "trains", "share", "rates", "epochs", "steps", "replayed", "cost of an epoch")
NAMED = 3  # stages that are named one by one


def dry_run(recipe: Recipe, schedule: Path | None, *, as_json: bool) -> None:
    """Print what a run would do, and write its phases as a recipe where one is asked for.

    Raises:
        UsageError: The file is there already, or the strategy is more than its phases.
    """
    from headstart.forecast import look_ahead

    _check_new(schedule)
    outlook = look_ahead(recipe)
    if schedule is not None:
        _write(as_schedule(recipe, outlook), recipe, schedule)
    found = outlook.forecast
    written = {} if schedule is None else {"schedule": str(schedule)}
    click.echo(json.dumps({**found.as_json(), **written}) if as_json else "\n".join([*lines(found), *_next(schedule)]))


def as_schedule(recipe: Recipe, outlook: Outlook) -> Recipe:
    """The same recipe with its phases written out, to be edited; running it trains the same.

    Raises:
        UsageError: The strategy does more than its phases say, so that a schedule would not train the same.
    """
    from headstart.builtin.strategy_schedule import phase_plan
    from headstart.errors import UsageError
    from headstart.recipe import Part
    from headstart.strategy import Strategy

    kind = type(outlook.strategy)
    does = [name for name in ("prepare", "penalty") if getattr(kind, name) is not getattr(Strategy, name)]
    if does or not all(phase.groups for phase in outlook.phases):
        why = "changes the model or the loss as well" if does else "trains nothing by gradient here"
        raise UsageError(
            f"--schedule: strategy '{recipe.strategy.use}' {why}, which a list of phases cannot say; "
            "take full, gradual, layer-decay, probe-then-full or last-stages as the beginning"
        )
    return replace(recipe, strategy=Part("schedule", {"phases": [phase_plan(phase) for phase in outlook.phases]}))


def lines(found: Forecast) -> Iterator[str]:
    """The forecast for people."""
    sizes = ", ".join(f"{name} {count}" for name, count in found.n.items())
    folds = f", and {found.folds} folds before" if found.folds else ""
    what = f"{found.name}: {found.strategy} on {found.backbone}, {found.parameters:,} parameters"
    yield f"{what}; {sizes}{folds}; nothing is trained"
    yield from _table([COLUMNS, *(_row(phase) for phase in found.phases)])
    yield from (f"warning: {message}" for message in found.warnings)
    pass_ = f", one pass of {found.passing:.2f} that fills the store included" if found.passing else ""
    yield f"in all at most {found.total:.2f} times an epoch of full fine-tuning{pass_} (counting products and convolutions)"


def _row(phase: PhaseForecast) -> tuple[str, ...]:
    return (
        phase.name,
        _trains(phase.trains),
        f"{100 * phase.share:.3g} %",
        " .. ".join(f"{rate:.3g}" for rate in phase.rates) or "-",
        str(phase.epochs),
        str(phase.steps),
        phase.replayed or f"nothing: {phase.why}",
        f"{100 * phase.cost:.3g} %",
    )


def _trains(owners: Sequence[str]) -> str:
    if len(owners) <= NAMED + 1:
        return ", ".join(owners) or "-"
    head, *stages = owners
    return f"{head}, {stages[0]} down to {stages[-1]} ({len(stages)} stages)"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _check_new(schedule: Path | None) -> None:
    from headstart.errors import UsageError

    if schedule is not None and schedule.exists():
        raise UsageError(f"--schedule: '{schedule}' is there already, and is not overwritten; name another file")
    if schedule is not None and not schedule.absolute().parent.is_dir():
        raise UsageError(f"--schedule: there is no folder '{schedule.parent}'; make it first")


def _write(scheduled: Recipe, recipe: Recipe, schedule: Path) -> None:
    from headstart.files import write_text
    from headstart.recipe_file import dump_recipe

    origin = recipe.file or recipe.name
    title = f"# The phases of strategy '{recipe.strategy.use}' in {origin}, to be edited.\n# headstart run {schedule}\n"
    write_text(schedule, title + dump_recipe(scheduled))


def _next(schedule: Path | None) -> list[str]:
    return [] if schedule is None else [f"next    edit {schedule}, then headstart run {schedule}"]
