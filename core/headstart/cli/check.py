"""`headstart check`: every fault of a recipe, then what its data look like, without training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from headstart.data_check import DataReport
    from headstart.recipe import Recipe


@click.command()
@click.argument("recipe")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one value, like train.seed=3. Repeatable.")
@click.option("--recipe-only", is_flag=True, help="Do not read the data.")
@click.option("--data-only", is_flag=True, help="Print nothing of the recipe unless it is wrong.")
@click.option("--mosaic", "mosaic", metavar="FILE", help="Draw what the network will see into an HTML file.")
@click.option("--open", "is_open", is_flag=True, help="Draw it and show it in the browser.")
@click.option("--quarantine", "quarantine", metavar="FILE", help="Write what is set aside, with reasons, as a table (.csv).")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    recipe: str,
    *,
    overrides: tuple[str, ...],
    recipe_only: bool,
    data_only: bool,
    mosaic: str | None,
    is_open: bool,
    quarantine: str | None,
    is_json: bool,
) -> None:
    """Check RECIPE, a file or a name out of `headstart list recipes`, and its data.

    Exit codes: 0 = sound, 2 = the recipe is wrong, 3 = the data are, 4 = a plugin is missing.
    """
    if recipe_only and data_only:
        raise click.UsageError("--recipe-only and --data-only exclude each other")
    if recipe_only and (mosaic or is_open or quarantine):
        raise click.UsageError("--recipe-only reads no data, so there is nothing to draw or to set aside")
    with _problems_as_json(ctx, is_json=is_json):
        checked, report = _checked(recipe, overrides, is_with_data=not recipe_only)
    if not is_json and not data_only:
        click.echo(f"{checked.file}: sound: {_parts(checked)}")
    if report is None:
        _print_json({"recipe": {"problems": []}}, is_json=is_json)
        return
    if quarantine:
        _write_quarantine(report, Path(quarantine))
    drawn = _drawn(checked, mosaic, is_open=is_open) if mosaic or is_open else None
    told = {"mosaic": str(drawn)} if drawn else {}
    _print_json({"recipe": {"problems": []}, "data": report.as_json(), **told}, is_json=is_json)
    if not is_json:
        click.echo("\n".join(report.lines()))
    if drawn and not is_json:
        click.echo(f"What the network will see: {drawn}")
    if report.has_errors:
        ctx.exit(3)


def _write_quarantine(report: DataReport, path: Path) -> None:
    """What the data part set aside: its name for each file, and the reason; an empty table says that there was nothing."""
    from headstart.predictions import write_table

    found = (report.figures.get("facts") or {}).get("quarantined") or {}
    rows = [{"file": name, "reason": reason} for name, reason in sorted(found.items())]
    write_table(rows or [{"file": "", "reason": "nothing was set aside"}], path)


def _drawn(recipe: Recipe, file: str | None, *, is_open: bool) -> Path:
    """The page with the mosaic; in a new folder for temporary files where none is named."""
    from tempfile import mkdtemp

    from headstart.mosaic import draw_mosaic

    path = draw_mosaic(recipe, Path(file or f"{mkdtemp(prefix='headstart-')}/mosaic.html").absolute())
    if is_open:
        click.launch(path.as_uri())
    return path


def _checked(recipe: str, overrides: tuple[str, ...], *, is_with_data: bool) -> tuple[Recipe, DataReport | None]:
    """The recipe, and what its data look like; its parts are made only where the data are read, since that imports torch."""
    from headstart.recipe_file import load_recipe

    checked = load_recipe(recipe, overrides)
    if not is_with_data:
        return checked, None
    from headstart.data_check import check_data

    return checked, check_data(checked, tokens=True)


@contextmanager
def _problems_as_json(ctx: click.Context, *, is_json: bool) -> Iterator[None]:
    from headstart.errors import RecipeError

    try:
        yield
    except RecipeError as error:
        if not is_json:
            raise
        _print_json({"recipe": {"problems": [asdict(problem) for problem in error.problems]}}, is_json=True)
        ctx.exit(error.exit_code)


def _parts(recipe: Recipe) -> str:
    return " x ".join(part.use for part in (recipe.data, recipe.backbone, recipe.head, recipe.strategy))


def _print_json(value: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(value, indent=1))
