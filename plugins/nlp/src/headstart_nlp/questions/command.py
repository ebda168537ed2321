"""`headstart ask`: one question about one text, answered by a finished run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from headstart.head import Prediction


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-q", "--question", required=True, help="What to ask.")
@click.option("-c", "--context", required=True, metavar="FILE", help="Text file that holds the answer; - = standard input.")
@click.option("--json", "is_json", is_flag=True, help="Print all candidates with probabilities and places as JSON.")
def ask(run: Path, question: str, context: str, *, is_json: bool) -> None:
    """Answer a question about a text with RUN: the answer, its sentence with the answer marked, and what else it may be."""
    import json

    from headstart.run import load

    text = _read(context)
    opened = load(run)
    _check(opened)
    prediction = opened.predict([(question, text)])[0]
    if is_json:
        click.echo(json.dumps({"question": question, "answer": prediction.value, **prediction.details}, ensure_ascii=False))
    else:
        click.echo("\n".join(answer_lines(prediction, text)))


def answer_lines(prediction: Prediction, text: str) -> list[str]:
    """An answer for people."""
    from headstart_nlp.questions.marking import in_sentence

    details = prediction.details
    lines = [prediction.value or "no answer in this text"]
    if prediction.value:
        lines.append(f"  {in_sentence(text, details['start'], details['end'])}")
    else:
        lines.append(f"  nearest: {details['answer']}")
    return [*lines, *(f"  {entry['probability']:.3f}  {entry['text'] or '(no answer)'}" for entry in details["n_best"])]


def _read(place: str) -> str:
    """The text of a file, whatever its encoding.

    Raises:
        DataError: There is no such file, or nothing stands in it.
    """
    from headstart.encoding import decode, read_bytes
    from headstart.errors import DataError

    if place == "-":
        text = sys.stdin.read()
    elif not Path(place).is_file():
        raise DataError(f"{place}: there is no such file")
    else:
        text = decode(read_bytes(Path(place)), source=place)[0]
    if not text.strip():
        raise DataError(f"{place}: the text is empty")
    return text


def _check(run: Any) -> None:
    from headstart.errors import UsageError

    kind = run.metrics.get("target", {}).get("kind")
    if kind != "span":
        raise UsageError(f"{run.folder}: this run predicts targets of kind '{kind}' and answers no questions")
