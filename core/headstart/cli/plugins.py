"""`headstart plugins`: what is installed; `plugins new` writes one, `plugins test` holds one to the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli.listing import aligned, as_json

if TYPE_CHECKING:
    from headstart.plugins import PluginRecord
    from headstart.testing import Case, Result

MARKS = {"passed": "✓", "failed": "✗", "known": "known", "skipped": "-"}


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def plugins(ctx: click.Context, is_json: bool) -> None:
    """Show the installed plugins, what they offer, how long they take to import, and their errors."""
    if ctx.invoked_subcommand is None:
        _show(is_json=is_json)


def _show(*, is_json: bool) -> None:
    from headstart.plugins import registry

    records = registry().records
    if is_json:
        click.echo(json.dumps([_record_as_json(record) for record in records], indent=1))
        return
    head = ["plugin", "distribution", "version", "offers", "ms", "error"]
    rows = [
        [record.name, record.distribution, record.version, _offers(record), f"{record.milliseconds:.0f}", record.error or ""]
        for record in records
    ]
    click.echo("\n".join(aligned([head, *rows])))


def _record_as_json(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "offers": {kind: [component.name for component in offers] for kind, offers in record.components.items()},
        "recipes": [str(folder) for folder in record.recipe_folders],
        "commands": [command.name for command in record.commands],
        "trackers": len(record.trackers),
        "milliseconds": record.milliseconds,
        "error": record.error,
    }


def _offers(record: PluginRecord) -> str:
    counts = [f"{len(offers)} {kind}" for kind, offers in record.components.items() if offers]
    others = {"recipes": record.recipe_folders, "commands": record.commands, "trackers": record.trackers}
    return ", ".join([*counts, *(name for name, offered in others.items() if offered)]) or "nothing"


@plugins.command()
@click.argument("name")
@click.option("--backbone", is_flag=True, help="With a backbone.")
@click.option("--head", is_flag=True, help="With a head.")
@click.option("--strategy", is_flag=True, help="With a strategy.")
@click.option("--data", is_flag=True, help="With a data part.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write it into; default: here.")
def new(name: str, out: Path | None, **kinds: bool) -> None:
    """Write a plugin package that installs, is listed and passes its tests: NAME like 'headstart-audio'.

    Without an option it has all four kinds of parts, and its recipe is made of them.
    """
    from headstart.scaffold.writing import write_package

    package = write_package(name, [kind for kind, is_asked in kinds.items() if is_asked], out)
    shown = package.relative_to(Path.cwd()) if package.is_relative_to(Path.cwd()) else package
    prefix = name.removeprefix("headstart-")
    click.echo(f"wrote {shown}; next:\n  pip install -e {shown}\n  headstart plugins test {prefix}")


@plugins.command()
@click.argument("names", nargs=-1)
@click.option("--part", "parts", multiple=True, help="Only parts whose name matches, like 'audio/*'. Repeatable.")
@click.option("--check", "checks", multiple=True, help="Only checks whose name matches, like '*replay*'. Repeatable.")
@click.option("--quick", is_flag=True, help="Leave out what its case calls slow.")
@as_json
@click.pass_context
def test(ctx: click.Context, /, names: tuple[str, ...], *, is_json: bool, quick: bool, **wanted: tuple[str, ...]) -> None:
    """Hold plugins to the contract: every check of every part that they offer; exit code 1 where one fails.

    NAMES are names of plugins or of their distributions; without any, all that are installed.
    """
    from headstart.plugins import registry
    from headstart.testing import all_cases

    chosen = names or [record.name for record in registry().records if record.components]
    cases = [case for name in chosen for case in all_cases(name) if _is_wanted(case.name, wanted["parts"])]
    results = []
    for case in cases:
        if not (quick and case.slow):
            found = list(_results(case, wanted["checks"]))
            results += found
            if not is_json and found:
                click.echo(_line(found))
    _conclude(results, is_json=is_json)
    ctx.exit(1 if any(result.outcome == "failed" for result in results) else 0)


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _results(case: Case, wanted: Sequence[str]) -> Iterator[Result]:
    from headstart.testing import checks_for, run_check

    for check in checks_for(case.kind):
        if _is_wanted(check.__name__, wanted):
            yield run_check(case, check)


def _line(results: Sequence[Result]) -> str:
    """One part: its verdicts in numbers, and whatever failed."""
    first = results[0]
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in MARKS}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    lines = [f"{MARKS['failed' if counts['failed'] else 'passed']} {first.kind} {first.part}: {said}"]
    for result in results:
        if result.outcome in ("failed", "known"):
            text = click.wrap_text(result.message, width=112, initial_indent="      ", subsequent_indent="      ")
            lines += [f"    {MARKS[result.outcome]} {result.check}", text]
    return "\n".join(lines)


def _conclude(results: Sequence[Result], *, is_json: bool) -> None:
    """All verdicts as JSON, or in numbers as a table with a row for each part."""
    if is_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=1))
        return
    if not results:
        click.echo("no part and check of these names")
        return
    rows = [[kind, part, *_numbers(results, kind, part)] for kind, part in dict.fromkeys((r.kind, r.part) for r in results)]
    click.echo("\n".join(["", *aligned([["kind", "part", *MARKS, "s"], *rows, ["", "all", *_numbers(results)]])]))


def _numbers(results: Sequence[Result], kind: str = "", part: str = "") -> list[str]:
    """How many of a part, or of all, came out in each way, and how long they took together."""
    own = [result for result in results if not part or (result.kind, result.part) == (kind, part)]
    counts = [sum(result.outcome == outcome for result in own) for outcome in MARKS]
    return [*map(str, counts), f"{sum(result.seconds for result in own):.1f}"]
