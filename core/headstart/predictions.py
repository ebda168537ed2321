"""Saved predictions: outcomes to `predictions.parquet` and back, and tables for people (csv, jsonl, parquet)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import DataError, UsageError
from headstart.example import Example

if TYPE_CHECKING:
    import pyarrow as pa

    from headstart.head import Prediction
    from headstart.outcome import Outcome

PROBABILITY = "p:"
FORMATS = (".csv", ".jsonl", ".parquet")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # OWASP, CSV injection: a spreadsheet would run such a cell


@dataclass(frozen=True)
class SavedPrediction:
    """A prediction as it was saved; the fields of `headstart.head.Prediction`, without torch."""

    value: Any
    probabilities: Mapping[str, float] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SavedOutcome:
    """One model's predictions of one split and fold; `Example.input` is the excerpt, the rest of the input is not saved."""

    model: str
    split: str
    fold: int
    examples: Sequence[Example]
    predictions: Sequence[SavedPrediction]

    @property
    def targets(self) -> list[Any]:
        """The truth, in the user's terms."""
        return [example.target for example in self.examples]


def write_predictions(
    outcomes: Iterable[Outcome | SavedOutcome], path: Path, *, excerpt: Callable[[Any], str | None] | None = None
) -> None:
    """Write all outcomes into one parquet file, whole or not at all.

    Args:
        outcomes: In any order; each becomes rows with its model, split and fold.
        path: The file; one that exists is replaced in a single step.
        excerpt: `Data.excerpt`, a short text to recognise the input by; None = nothing of the input is saved.
    """
    import pyarrow.parquet as pq

    table = _as_table(list(outcomes), excerpt)
    _replace(path, lambda temporary: pq.write_table(table, temporary, compression="zstd", write_page_checksum=True))


def read_predictions(path: Path) -> list[SavedOutcome]:
    """The outcomes of a file in the order in which they were written.

    Raises:
        DataError: The file is missing, broken or no table of predictions.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
        names = table.column_names
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(f"{path}: no readable table of predictions ({error})") from error
    missing = {"model", "split", "fold", "id", "target", "prediction"} - set(names)
    if missing:
        raise DataError(f"{path}: no table of predictions, it lacks the columns {', '.join(sorted(missing))}")
    try:
        return _as_outcomes(table)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no table of predictions, a row cannot be read ({error})") from error


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of plain values as .csv, .jsonl or .parquet, by the name's ending, whole or not at all.

    In csv, lists are joined by "; " and a text that a spreadsheet would run as a formula gets a leading apostrophe.

    Raises:
        UsageError: Another ending.
    """
    writers = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise UsageError(f"cannot write '{path}': the name must end with {', '.join(FORMATS)}")
    _replace(path, lambda temporary: writer(rows, temporary))


def _as_table(outcomes: Sequence[Outcome | SavedOutcome], excerpt: Callable[[Any], str | None] | None) -> pa.Table:
    import pyarrow as pa

    rows = [row for outcome in outcomes for row in _rows(outcome)]
    labels = dict.fromkeys(label for _, _, prediction in rows for label in prediction.probabilities or ())
    columns: dict[str, pa.Array] = {
        "model": pa.array([outcome.model for outcome, _, _ in rows], pa.string()),
        "split": pa.array([outcome.split for outcome, _, _ in rows], pa.string()),
        "fold": pa.array([outcome.fold for outcome, _, _ in rows], pa.int32()),
        "id": pa.array([example.id for _, example, _ in rows], pa.string()),
        "group": pa.array([example.group for _, example, _ in rows], pa.string()),
        "target": _value_array([example.target for _, example, _ in rows]),
        "prediction": _value_array([prediction.value for _, _, prediction in rows]),
        "excerpt": pa.array([excerpt(example.input) if excerpt else None for _, example, _ in rows], pa.string()),
        "details": pa.array([json.dumps(dict(prediction.details)) for _, _, prediction in rows], pa.string()),
    }
    if any(example.meta.get("unknown") for _, example, _ in rows):
        unknown = [[str(label) for label in example.meta.get("unknown", ())] for _, example, _ in rows]
        columns["unknown"] = pa.array(unknown, pa.list_(pa.string()))
    for label in labels:
        values = [(prediction.probabilities or {}).get(label) for _, _, prediction in rows]
        columns[PROBABILITY + str(label)] = pa.array(values, pa.float64())
    return pa.table(columns)


def _rows(outcome: Outcome | SavedOutcome) -> list[tuple[Outcome | SavedOutcome, Example, Prediction | SavedPrediction]]:
    predictions: Sequence[Prediction | SavedPrediction] = outcome.predictions
    return [(outcome, example, prediction) for example, prediction in zip(outcome.examples, predictions, strict=True)]


def _value_array(values: Sequence[Any]) -> pa.Array:
    """Text for labels, float for numbers, lists of text for sets of labels; a mixture becomes text."""
    import pyarrow as pa

    given = [value for value in values if value is not None]
    if given and all(isinstance(value, (list, tuple, set, frozenset)) for value in given):
        return pa.array([None if value is None else [str(item) for item in value] for value in values], pa.list_(pa.string()))
    if given and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _as_outcomes(table: pa.Table) -> list[SavedOutcome]:
    names = [name for name in table.column_names if name.startswith(PROBABILITY)]
    found: dict[tuple[str, str, int], tuple[list[Example], list[SavedPrediction]]] = {}
    for row in table.to_pylist():
        examples, predictions = found.setdefault((row["model"], row["split"], row["fold"]), ([], []))
        target = tuple(row["target"]) if isinstance(row["target"], list) else row["target"]
        meta = {"unknown": tuple(row["unknown"])} if row.get("unknown") else {}
        examples.append(Example(row["id"], row.get("excerpt"), target, row.get("group"), meta))
        predictions.append(_saved(row, names))
    return [SavedOutcome(*key, examples, predictions) for key, (examples, predictions) in found.items()]


def _saved(row: Mapping[str, Any], names: Sequence[str]) -> SavedPrediction:
    probabilities = {name.removeprefix(PROBABILITY): row[name] for name in names if row[name] is not None}
    value = tuple(row["prediction"]) if isinstance(row["prediction"], list) else row["prediction"]
    return SavedPrediction(value, probabilities or None, json.loads(row.get("details") or "{}"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, flush to the disk, rename: a reader sees the old file or the new one, never a half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import csv

    columns = _columns(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_cell(column) for column in columns])
        writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        value = "; ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _write_jsonl(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    lines = [json.dumps(dict(row), ensure_ascii=False, default=list) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def _write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    pq.write_table(pa.table(columns), path)
