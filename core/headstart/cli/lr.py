"""The command `headstart lr`: which learning rate a recipe's phase wants, by a range test with a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headstart.lr_finder import Sweep


@click.command()
@click.argument("recipe")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set train.seed=3. Repeatable."
)
@click.option("--phase", default="", metavar="NAME", help="Phase to look at.  [default: the first]")
@click.option("--steps", type=click.IntRange(min=20), default=100, show_default=True, help="Steps in which the rate rises.")
@click.option("--from", "low", type=float, default=1e-7, show_default=True, help="First learning rate.")
@click.option("--to", "high", type=float, default=1.0, show_default=True, help="Last learning rate.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Picture to write: .html, .svg or .png.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def lr(  # noqa: PLR0917 - click gives them by name
    recipe: str, overrides: tuple[str, ...], phase: str, steps: int, low: float, high: float, out: Path | None, *, is_json: bool
) -> None:
    """Find a learning rate for RECIPE: a throw-away model trains at rising rates until its loss diverges (Smith 2017).

    Nothing of it is kept but the picture. Rates are those of the phase's fastest group; others keep their share of it.
    """
    from headstart.lr_finder import find_rate
    from headstart.recipe_file import load_recipe

    _check_picture(out)
    sweep = find_rate(load_recipe(recipe, overrides), steps, low, high, phase, _bar)
    if out is not None:
        from headstart.report.figure_rate import write_rate

        write_rate(sweep, out)
    click.echo(json.dumps(sweep.as_json()) if is_json else "\n".join(_told(sweep, recipe, out)))


def _check_picture(out: Path | None) -> None:
    """Before anything is computed.

    Raises:
        UsageError: It cannot be written there, or not in that form.
    """
    from headstart.errors import UsageError
    from headstart.report.figure_rate import FORMATS

    if out is not None and out.suffix not in FORMATS:
        raise UsageError(f"cannot write '{out}': the name must end with {', '.join(FORMATS)}")
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"cannot write '{out}': there is no folder '{out.parent}'; make it first")


def _told(sweep: Sweep, recipe: str, out: Path | None) -> list[str]:
    end = "the loss diverged" if sweep.is_diverged else "it never diverged: the best rate may be higher (--to)"
    said = [
        f"phase {sweep.phase}: rates from {sweep.rates[0]:.2g} to {sweep.rates[-1]:.2g} in {len(sweep.rates)} steps; {end}",
        f"valley    {sweep.valley:.2g}  (suggested)",
        f"steepest  {sweep.steepest:.2g}",
    ]
    said += [f"picture   {out}"] if out else []
    if not (lines := sweep.settings()):
        return [*said, "next      set this rate in the phase's group: no option of the strategy is this phase's rate"]
    return [*said, f"next      headstart run {quote(recipe)} {' '.join(f'--set {line}' for line in lines)}"]


def _bar(step: int, steps: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{step}/{steps}" if step < steps else "\r\x1b[K", nl=False, err=True)
