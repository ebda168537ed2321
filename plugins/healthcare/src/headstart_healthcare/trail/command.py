"""`headstart audit`: what a clinical run did and answered, and whether anything of it was changed since."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def audit() -> None:
    """The audit trail of a clinical run: show it, or verify it."""


@audit.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
def verify(run: Path) -> None:
    """Check that no line of RUN's trail, its answers included, and no file of its evidence was changed since the run ended.

    Exit code 3: something was, and which. The seal shows that the trail was not written anew; checking it needs the
    project's key of pseudonyms.
    """
    from headstart.errors import DataError
    from headstart_healthcare.trail.chain import FILE, HASH, read
    from headstart_healthcare.trail.keeping import faults_of

    folder = run.resolve()
    faults = faults_of(folder)
    if faults:
        raise DataError(f"{folder / FILE}: {' '.join(faults)}")
    entries = read(folder / FILE)
    files = [entry for entry in entries if entry["event"] == "end"][-1]["files"]
    click.echo(f"{len(entries)} lines and {len(files)} files are as they were when the run ended")
    if calls := [entry for entry in entries if entry["event"] == "predict"]:
        click.echo(f"{len(calls)} calls of predict since then, {sum(entry['answers'] for entry in calls)} answers")
    click.echo(f"last hash {entries[-1][HASH]}")


@audit.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
def show(run: Path) -> None:
    """Print RUN's trail, a line for each thing that was done."""
    import json

    from headstart_healthcare.trail.chain import BEFORE, FILE, HASH, read

    for entry in read(run / FILE):
        facts = {name: value for name, value in entry.items() if name not in ("number", "event", "time", BEFORE, HASH)}
        click.echo(f"{entry['number']} {entry['time']} {entry['event']} {json.dumps(facts, ensure_ascii=False)}")
