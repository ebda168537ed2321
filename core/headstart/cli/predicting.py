"""The command `headstart predict`: a finished run on new inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.cli.places import check_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.example import Example
    from headstart.head import Prediction
    from headstart.run import Run

ABSTAIN, SET = "abstain", "set"
"""Keys of a prediction's details: why the model should not be asked, one sentence each; the labels that it cannot rule out."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Table to write: .csv, .jsonl or .parquet."
)
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="A run that answers too. Repeatable.",
)
@click.option("-q", "--question", help="One question in place of FILE, for runs that answer questions.")
@click.option("-c", "--context", metavar="TEXTFILE", help="The text that the question is about; - = standard input.")
@click.pass_context
def predict(  # noqa: PLR0917 - the command's arguments
    context_: click.Context,
    run: Path,
    file: Path | None,
    output: Path | None,
    others: tuple[Path, ...],
    question: str | None,
    context: str | None,
) -> None:
    """Predict every example of FILE with RUN: names of classes and probabilities; to stdout as JSON lines without -o.

    Where RUN would rather not answer, the column `abstain` says why; where it settled that, `set` holds the labels that cannot
    be ruled out.

    With --with RUN all these runs answer together by the mean of their probabilities, and would rather not where they disagree
    more than they did on validation.
    """
    from headstart.build import make_data
    from headstart.files import writing
    from headstart.predictions import write_table
    from headstart.run import load

    if question is not None or context is not None:
        _ask(context_, run, question, context, file)
        return
    if file is None:
        raise click.UsageError("name a FILE, or one question with -q and its text with -c")
    check_places(file, output)
    opened = load(run)
    examples = make_data(opened.recipe.data).open(file)
    predictions = _together(opened, others, examples) if others else opened.predict_examples(examples)
    rows = [_row(example, prediction) for example, prediction in zip(examples, predictions, strict=True)]
    if output is None:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        with writing(output):
            write_table(rows, output)
        click.echo(f"{len(rows)} predictions in {output}")
    if count := sum(ABSTAIN in row for row in rows):
        click.echo(f"{count} of {len(rows)} the run would rather not answer; the column '{ABSTAIN}' says why", err=True)


def _together(run: Run, others: tuple[Path, ...], examples: Sequence[Example]) -> list[Prediction]:
    """What several runs answer together; tells on stderr how that does on the test examples that all of them have."""
    from headstart.cli.running import score_lines
    from headstart.ensemble import Ensemble
    from headstart.run import load

    ensemble = Ensemble((run, *map(load, others)))
    predictions = ensemble.predict_examples(examples)
    found = ensemble.evaluate()
    click.echo(f"{len(ensemble.runs)} runs together, on the {found['n']} test examples that they share:", err=True)
    click.echo("\n".join(score_lines(found["test"])), err=True)
    return predictions


def _row(example: Example, prediction: Prediction) -> dict[str, Any]:
    probabilities = {f"p:{label}": value for label, value in (prediction.probabilities or {}).items()}
    abstains = {ABSTAIN: "; ".join(found)} if (found := prediction.details.get(ABSTAIN)) else {}
    possible = {SET: list(prediction.details[SET])} if SET in prediction.details else {}
    return {"id": example.id, "prediction": prediction.value, **probabilities, **possible, **abstains}


def _ask(context_: click.Context, run: Path, question: str | None, context: str | None, file: Path | None) -> None:
    """Hand one question over to the command `ask` of the plugin that answers questions."""
    group = context_.parent.command if context_.parent else None
    ask = group.get_command(context_, "ask") if isinstance(group, click.Group) else None
    if file is not None or question is None or context is None:
        raise click.UsageError("-q and -c go together, without FILE: headstart predict RUN -q QUESTION -c TEXTFILE")
    if ask is None:
        raise click.UsageError("-q and -c need the plugin headstart-nlp; install it")
    context_.invoke(ask, run=run, question=question, context=context, is_json=False)
