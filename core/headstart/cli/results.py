"""Commands that look at finished runs: `report` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--open", "is_opened", is_flag=True, help="Show the page in the browser.")
def report(run: Path, is_opened: bool) -> None:
    """Write the report of RUN (a run folder, or runs/latest) anew and print its path."""
    from headstart.report.page import write_report
    from headstart.run_files import drawn_from, open_run

    folder = open_run(run).folder
    with drawn_from(folder):
        path = write_report(folder)
    click.echo(str(path))
    if is_opened:
        import webbrowser

        # click.launch would ask xdg-open, which prints a line for each browser that it does not find
        if not webbrowser.open(path.as_uri()):
            click.echo("no browser was found; open the page yourself", err=True)


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("second", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON document.")
def compare(first: Path, second: Path, is_json: bool) -> None:
    """Compare two runs on the test examples that they share (first minus second, paired bootstrap)."""
    from headstart.compare import compare as compare_runs
    from headstart.run_files import drawn_from

    with drawn_from(first, second):
        comparison = compare_runs(first, second)
    click.echo(json.dumps(comparison.as_json(), indent=1, default=str) if is_json else "\n".join(comparison.lines()))
