"""The command `headstart evaluate`: a finished run on other labelled data; nothing is fitted to them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from headstart.cli.places import check_places


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--external", "is_external", is_flag=True, help="Also write a folder with predictions and a report.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of runs, for --external.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def evaluate(run: Path, data: Path, *, is_external: bool, out: Path, as_json: bool) -> None:
    """Score RUN on the labelled examples of DATA, with intervals; nothing is fitted to them.

    Calibration, thresholds and what the run would rather not answer are those that it settled on its own validation part.
    """
    from headstart.cli.running import score_lines
    from headstart.infer import evaluate as scored
    from headstart.run import load

    check_places(data)
    opened = load(run)
    if is_external:
        from headstart.external import evaluate_external

        folder, found = evaluate_external(opened, data, out)
        told = [*_beside(opened.metrics.get("test") or {}, found["test"]), f"report  {folder / 'report.html'}"]
        found = {"folder": str(folder), **found}
    else:
        found = scored(opened, data)
        told = score_lines(found["test"])
    click.echo(json.dumps(found) if as_json else "\n".join([f"n = {found['n']}", *told]))


def _beside(internal: dict[str, dict[str, float]], external: dict[str, dict[str, float]]) -> list[str]:
    """One line per score: here, and on the run's own test part."""
    from headstart.cli.running import interval

    width = max(map(len, external), default=0)
    return [
        f"  {name:<{width}}  {interval(score)}" + (f"  (own test part {interval(internal[name])})" if name in internal else "")
        for name, score in external.items()
    ]
