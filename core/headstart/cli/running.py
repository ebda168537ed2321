"""Commands that train and use runs: run, predict, evaluate."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Any

import click

from headstart.cli.main import PLUGIN_FLAGS


@click.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: --set train.seed=3. Repeatable."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs."
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
    recipe: Path,
    overrides: tuple[str, ...],
    out: Path,
    fail_under: float | None,
    *,
    baseline: str | None,
    schedule: Path | None,
    is_dry: bool,
    as_json: bool,
) -> None:
    """Train, evaluate and report RECIPE; prints the score, the baselines and where the report is."""
    from headstart.errors import QualityGateError
    from headstart.fit import fit
    from headstart.recipe import Recipe

    if schedule is not None and not is_dry:
        raise click.UsageError("--schedule goes with --dry-run")
    context = click.get_current_context()
    asked = Recipe.load(recipe, (*overrides, *([f"baselines={baseline}"] if baseline else [])))
    if is_dry:
        from headstart.cli.dry_run import dry_run

        dry_run(asked, schedule, as_json=as_json)
        return
    try:
        with stopping_in_order():
            finished = fit(asked, out)
    except KeyboardInterrupt as stop:
        click.echo(str(stop) or "interrupted before anything was written", err=True)
        context.exit(stop.exit_code if isinstance(stop, Terminated) else 130)
    metrics = finished.metrics
    lines = summary(finished.folder, metrics, plugins=context.meta.get(PLUGIN_FLAGS, ()))
    click.echo(json.dumps({"run": str(finished.folder), **metrics}) if as_json else "\n".join(lines))
    score = metrics.get("test", {}).get(metrics["selected_by"], {}).get("value")
    if fail_under is not None and score is None:
        raise QualityGateError("--fail-under compares the main test score, but this run has none; set split.test")
    if fail_under is not None and score < fail_under:
        raise QualityGateError(f"{metrics['selected_by']} is {score:.4f}, under --fail-under {fail_under}")


def _ask(context_: click.Context, run: Path, question: str | None, context: str | None, file: Path | None) -> None:
    """Hand one question over to the command `ask` of the plugin that answers questions."""
    group = context_.parent.command if context_.parent else None
    ask = group.get_command(context_, "ask") if isinstance(group, click.Group) else None
    if file is not None or question is None or context is None:
        raise click.UsageError("-q and -c go together, without FILE: headstart predict RUN -q QUESTION -c TEXTFILE")
    if ask is None:
        raise click.UsageError("-q and -c need the plugin headstart-nlp; install it")
    context_.invoke(ask, run=run, question=question, context=context, is_json=False)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Table to write: .csv, .jsonl or .parquet."
)
@click.option("-q", "--question", help="One question in place of FILE, for runs that answer questions.")
@click.option("-c", "--context", metavar="TEXTFILE", help="The text that the question is about; - = standard input.")
@click.pass_context
def predict(  # noqa: PLR0917 - the command's arguments
    context_: click.Context, run: Path, file: Path | None, output: Path | None, question: str | None, context: str | None
) -> None:
    """Predict every example of FILE with RUN: names of classes and probabilities; to stdout as JSON lines without -o."""
    from headstart.build import make_data
    from headstart.files import writing
    from headstart.predictions import write_table
    from headstart.run import load

    if question is not None or context is not None:
        _ask(context_, run, question, context, file)
        return
    if file is None:
        raise click.UsageError("name a FILE, or one question with -q and its text with -c")
    _check_places(file, output)
    opened = load(run)
    examples = make_data(opened.recipe.data).open(file)
    predictions = opened.predict_examples(examples)
    rows = [
        {
            "id": example.id,
            "prediction": prediction.value,
            **{f"p:{label}": value for label, value in (prediction.probabilities or {}).items()},
        }
        for example, prediction in zip(examples, predictions, strict=True)
    ]
    if output is None:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        with writing(output):
            write_table(rows, output)
        click.echo(f"{len(rows)} predictions in {output}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
def evaluate(run: Path, data: Path, *, as_json: bool) -> None:
    """Score RUN on the labelled examples of DATA, with intervals; nothing is fitted to them."""
    from headstart.run import load

    _check_places(data)
    found = load(run).evaluate(data)
    click.echo(json.dumps(found) if as_json else "\n".join([f"n = {found['n']}", *score_lines(found["test"])]))


def _check_places(source: Path, output: Path | None = None) -> None:
    """Before any weights are read.

    Raises:
        DataError: There is no such input. UsageError: The output cannot be written there, or not in that form.
    """
    from headstart.errors import DataError, UsageError
    from headstart.predictions import FORMATS

    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if output is not None and output.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot write '{output}': the name must end with {', '.join(FORMATS)}")
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError(f"cannot write '{output}': there is no folder '{output.parent}'; make it first")


class Terminated(KeyboardInterrupt):
    """SIGTERM, on the way of Ctrl-C: what is open is closed and the log says how the run ended."""

    exit_code = 128 + signal.SIGTERM


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Inside, the first SIGTERM (of `kill`, of a batch system) raises `Terminated`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated("stopped by SIGTERM")

    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def summary(folder: Path, metrics: Mapping[str, Any], *, plugins: Sequence[Path] = ()) -> list[str]:
    """The result of a run in a few lines for people; `plugins` are the files that the next command needs, too."""
    main = metrics["selected_by"]
    lines = _result_lines(metrics)
    for name, scores in metrics["baselines"].items():
        if main in scores:
            difference = metrics["differences"].get(name, {}).get(main)
            against = f"; run minus baseline {interval(difference)}" if difference else ""
            lines.append(f"baseline {name}: {main} {interval(scores[main])}{against}")
    command = " ".join(["headstart", *(f"--plugin {quote(str(file))}" for file in plugins), "predict", quote(str(folder))])
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
