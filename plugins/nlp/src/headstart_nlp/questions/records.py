"""Records: questions as files hold them, SQuAD's JSON or a table with a row for each; nothing is verified yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.encoding import decode, read_bytes
from headstart.errors import DataError
from headstart.tables import Sheet, format_of, read_table

Given = tuple[str, int | None]
"""An answer and where it is said to begin."""


@dataclass(frozen=True)
class Record:
    """One question as it was given.

    Attributes:
        where: File and place in it, for messages.
        answers: None = not labelled; empty = the context does not answer the question.
        group: Title of the article; None = not said.
    """

    id: str
    where: str
    question: str
    context: str
    answers: tuple[Given, ...] | None
    group: str | None = None


def read_records(path: Path) -> list[Record]:
    """Questions of a SQuAD file (.json) or of a table (csv, tsv, jsonl, parquet) with the columns question, context and, as
    far as they are there, answer, offset, id and group or title.

    Raises:
        DataError: The file is missing, broken, of another kind, or holds no question.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    content = _squad(path) if format_of(path) == ".json" else None
    records = list(_from_table(read_table(path)) if content is None else _from_squad(content, path))
    if not records:
        raise DataError(f"{path}: holds no question")
    return records


def _squad(path: Path) -> Mapping[str, Any] | None:
    """The content of SQuAD's form; None = JSON of another form, such as one object a line."""
    text, _ = decode(read_bytes(path), source=str(path))
    try:
        content = json.loads(text)
    except ValueError as error:
        if "\n{" in text.strip():
            return None
        raise DataError(f"{path}: is no JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return content
    if isinstance(content, dict) and "question" in content and "\n" not in text.strip():
        return None
    raise DataError(f'{path}: is no SQuAD file; it would begin with {{"data": [{{"title": ..., "paragraphs": [...]}}]}}')


def _from_squad(content: Mapping[str, Any], path: Path) -> Iterator[Record]:
    for number, article in enumerate(content["data"]):
        group = str(article.get("title") or f"article {number + 1}")
        for paragraph in article.get("paragraphs") or ():
            for entry in paragraph.get("qas") or ():
                where = f"{path.name}, article '{group}', question '{entry.get('id')}'"
                try:
                    yield Record(
                        str(entry["id"]), where, str(entry["question"]), str(paragraph["context"]), _answers(entry), group
                    )
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(f"{where}: {type(error).__name__} {error}; it needs id, question and answers") from error


def _answers(entry: Mapping[str, Any]) -> tuple[Given, ...] | None:
    """`plausible_answers` of SQuAD 2.0 are wrong ones, and not read."""
    if entry.get("is_impossible"):
        return ()
    if "answers" not in entry:
        return None
    return tuple((str(answer["text"]), int(answer["answer_start"])) for answer in entry["answers"])


def _from_table(sheet: Sheet) -> Iterator[Record]:
    questions, contexts = (sheet.column(name, name) for name in ("question", "context"))
    answers = _optional(sheet, "answer", "answers")
    offsets = _optional(sheet, "offset", "answer_start", "start")
    groups, ids = _optional(sheet, "group", "title"), _optional(sheet, "id")
    for at, line in enumerate(sheet.lines):
        where = f"{Path(sheet.source).name}, line {line}"
        given = None
        if answers is not None:
            given = tuple(_paired(_listed(answers[at]), _listed(offsets[at]) if offsets else [], where))
        id = _text(ids[at]) if ids else f"{sheet.stem}:{line}"
        group = (_text(groups[at]) or None) if groups else None
        yield Record(id, where, _text(questions[at]), _text(contexts[at]), given, group)


def _optional(sheet: Sheet, *names: str) -> Sequence[Any] | None:
    return next((sheet.columns[name] for name in names if name in sheet.columns), None)


def _paired(answers: Sequence[str], offsets: Sequence[str], where: str) -> Iterator[Given]:
    if offsets and len(offsets) != len(answers):
        raise DataError(f"{where}: {len(answers)} answers, but {len(offsets)} offsets")
    for at, answer in enumerate(answers):
        try:
            yield answer, int(float(offsets[at])) if offsets else None
        except ValueError as error:
            raise DataError(f"{where}: the offset '{offsets[at]}' is no number of characters") from error


def _listed(cell: Any) -> list[str]:
    values = [cell] if isinstance(cell, str) or cell is None else list(cell)
    return [str(value) for value in values if value is not None and str(value).strip()]


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else "" if cell is None else " ".join(map(str, cell))
