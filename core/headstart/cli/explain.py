"""The command `explain`: asks the plugins' explainers what a run's answers hang on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--cases", type=click.IntRange(min=1), default=6, show_default=True, help="Test cases at most.")
@click.option("--method", default="", help="One of the explainer's methods; without it, what it takes to be best.")
def explain(run: Path, inputs: tuple[str, ...], cases: int, method: str) -> None:
    """Show what the answers of RUN hang on: of test cases, chosen by rule, or of each INPUT.

    The result is written into the run's folder, and its report shows it from then on.
    """
    from headstart.errors import UsageError
    from headstart.explaining import Request
    from headstart.plugins import registry
    from headstart.run import load

    opened = load(run)
    explainers = registry().explainers()
    request = Request(inputs, cases, method)
    found = next((answer for component in explainers if (answer := component.load()(opened, request)) is not None), None)
    if found is None:
        known = ", ".join(component.summary for component in explainers) or "none installed"
        raise UsageError(f"nothing explains runs on {opened.recipe.data.use}; explainers: {known}")
    for line in found.lines:
        click.echo(line)
    click.echo(f"{found.file}; {opened.report()}")
