"""`headstart sites`: leave one site out; every site is tested once, by a model that was trained on all the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headstart.recipe import Recipe


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set train.seed=3. Repeatable."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def sites(recipe: Path, overrides: tuple[str, ...], out: Path, *, as_json: bool) -> None:
    """Leave one site out: train RECIPE once for each site of its data, on all the others, and test it there.

    Each is a run of its own with calibration and threshold from the other sites; a table over all is written beside them.
    """
    import json

    from headstart.recipe import Recipe
    from headstart_healthcare.clinical.sites import leave_one_site_out

    asked: Recipe = Recipe.load(recipe, overrides)
    found = leave_one_site_out(asked, out)
    click.echo(json.dumps(found.as_json()) if as_json else "\n".join([*found.lines(), f"table   {found.file}"]))
