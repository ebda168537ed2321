"""The command `headstart run`: train, evaluate and report a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from headstart.cli.main import PLUGIN_FLAGS
from headstart.ranks import of_environment, opened
from headstart.stopping import Stop, Terminated, stopping_in_order

if TYPE_CHECKING:
    from headstart.recipe import Recipe
    from headstart.run import Run


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set train.seed=3. Repeatable."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs."
)
@click.option(
    "--resume",
    "stopped",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Let a run that was stopped go on; no RECIPE is needed.",
)
@click.option(
    "--from",
    "parent",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Begin from the model of a finished run: its backbone, and its head where labels and shapes fit.",
)
@click.option("--fail-under", type=float, metavar="SCORE", help="Exit 5 when the main test score is under this.")
@click.option("--baseline", type=click.Choice(["scratch"]), help="Also train the same network from random weights.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Print the phases, what each replays and costs; train nothing.")
@click.option(
    "--schedule",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --dry-run: write the phases as a recipe to edit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the metrics, or the phases of a dry run, as JSON.")
def run(
    recipe: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    fail_under: float | None,
    *,
    stopped: Path | None,
    parent: Path | None,
    baseline: str | None,
    schedule: Path | None,
    is_dry: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and report RECIPE; prints the score, the baselines and where the report is.

    RECIPE may be the recipe.lock.yaml of a run, which is then repeated: data, split and weights are compared first.
    """
    from headstart.errors import QualityGateError
    from headstart.recipe import Recipe

    if recipe is None and stopped is None:
        raise click.UsageError("name a RECIPE, or a run that was stopped with --resume RUN")
    if schedule is not None and not is_dry:
        raise click.UsageError("--schedule goes with --dry-run")
    if parent is not None and (stopped is not None or recipe is None):
        raise click.UsageError("--from RUN goes with a RECIPE; --resume lets a run go on with what it has")
    context = click.get_current_context()
    changes = (*overrides, *([f"baselines={baseline}"] if baseline else []))
    of_run = stopped / "recipe.lock.yaml" if recipe is None and stopped is not None and changes else recipe
    asked = None if of_run is None else Recipe.load(of_run, changes)
    if parent is not None and asked is not None:
        asked = replace(asked, parent=str(parent.resolve()), overrides=(*asked.overrides, f"from={parent}"))
    if is_dry and asked is not None:
        from headstart.cli.dry_run import dry_run

        dry_run(asked, schedule, as_json=as_json)
        return
    plugins = context.meta.get(PLUGIN_FLAGS, ())
    with stopping_in_order() as stop:
        try:
            finished = _carried_out(asked, out, stopped, stop)
        except KeyboardInterrupt as error:
            if of_environment().is_first:  # one of them says it for all
                click.echo(str(error) or "interrupted before anything was written", err=True)
            if stop.folder is not None:
                click.echo(f"resume  {_command(plugins)} run --resume {quote(str(stop.folder))}", err=True)
            context.exit(error.exit_code if isinstance(error, Terminated) else 130)
    if not of_environment().is_first:
        return
    metrics = finished.metrics
    lines = [*summary(finished.folder, metrics, plugins=plugins), *_repeated(asked, finished.folder)]
    click.echo(json.dumps({"run": str(finished.folder), **metrics}) if as_json else "\n".join(lines))
    score = metrics.get("test", {}).get(metrics["selected_by"], {}).get("value")
    if fail_under is not None and score is None:
        raise QualityGateError("--fail-under compares the main test score, but this run has none; set split.test")
    if fail_under is not None and score < fail_under:
        raise QualityGateError(f"{metrics['selected_by']} is {score:.4f}, under --fail-under {fail_under}")


def _carried_out(asked: Recipe | None, out: Path, stopped: Path | None, stop: Stop) -> Run:
    with opened() as ranks:
        if stopped is not None:
            from headstart.resume import resume

            return resume(stopped, asked=asked, stop=stop, ranks=ranks)
        if asked is None:
            raise click.UsageError("name a RECIPE")
        from headstart.fit import fit

        return fit(asked, out, stop=stop, ranks=ranks)


def _repeated(asked: Recipe | None, folder: Path) -> list[str]:
    from headstart.locking import repeated

    return [] if asked is None else repeated(asked, folder)


def _command(plugins: Sequence[Path]) -> str:
    """`headstart` with the plugins that the next command needs, too."""
    return " ".join(["headstart", *(f"--plugin {quote(str(file))}" for file in plugins)])


def summary(folder: Path, metrics: Mapping[str, Any], *, plugins: Sequence[Path] = ()) -> list[str]:
    """The result of a run in a few lines for people; `plugins` are the files that the next command needs, too."""
    main = metrics["selected_by"]
    lines = _result_lines(metrics)
    for name, scores in metrics["baselines"].items():
        if main in scores:
            difference = metrics["differences"].get(name, {}).get(main)
            against = f"; run minus baseline {interval(difference)}" if difference else ""
            lines.append(f"baseline {name}: {main} {interval(scores[main])}{against}")
    command = f"{_command(plugins)} predict {quote(str(folder))}"
    return [*lines, f"report  {folder / 'report.html'}", f"next    {command} NEW_FILE -o labelled.csv"]


def _result_lines(metrics: Mapping[str, Any]) -> list[str]:
    """The scores of the test, or of the validation where nothing was held out for a test."""
    if metrics["n"]["test"]:
        return [f"test (n={metrics['n']['test']})", *score_lines(metrics["test"])]
    if metrics["n"]["val"]:
        said = f"there is no test part; validation (n={metrics['n']['val']}), which also chose the best epoch"
        return [said, *score_lines(metrics["val"])]
    return ["there is neither a test nor a validation part: nothing says how good this model is"]


def score_lines(scores: Mapping[str, Any]) -> list[str]:
    """One line per score, the values below each other."""
    width = max(map(len, scores), default=0)
    return [f"  {name:<{width}}  {interval(score)}" for name, score in scores.items()]


def interval(score: Mapping[str, Any]) -> str:
    """A value with its interval: 0.887 [0.856, 0.913]."""
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
