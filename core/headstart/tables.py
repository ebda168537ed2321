"""Tables from files: csv, tsv, jsonl and parquet as columns of plain strings, where "NA" stays a word and 007 keeps its zeros.

Not through `datasets.load_dataset("csv")`: it turns NA, None and null into nothing and 007 into 7.0, and names no line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from headstart.delimited import NAMES, read_delimited
from headstart.encoding import decode, read_bytes
from headstart.errors import DataError

Cell = str | tuple[str, ...] | None
"""A value: text, a list of texts (jsonl and parquet only), or nothing."""

DELIMITED = (".csv", ".tsv", ".tab", ".psv")
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*DELIMITED, *JSON_LINES, *PARQUET)


@dataclass(frozen=True)
class Sheet:
    """A table that was read.

    Attributes:
        source: The file, for messages.
        columns: Column name -> its values, all of the same length.
        lines: 1-based line of the file (row, for parquet) where each row begins.
        facts: What was found out while reading: file, format, encoding, separator, rows.
    """

    source: str
    columns: Mapping[str, Sequence[Cell]]
    lines: Sequence[int]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def stem(self) -> str:
        """The file's name without its suffixes: the first half of the rows' ids."""
        name = Path(self.source).name
        return name.split(".", 1)[0] or name

    def column(self, name: str, option: str) -> Sequence[Cell]:
        """Values of the column that `option` names.

        Raises:
            DataError: There is none of that name; the message holds the nearest one and all there are.
        """
        if name in self.columns:
            return self.columns[name]
        raise DataError(f"{self.source}: no column '{name}' (data.{option}); {_suggestion(name, self.columns)}")


def read_table(
    path: Path,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
    bad: dict[str, str] | None = None,
) -> Sheet:
    """Read a csv, tsv, jsonl or parquet file, told by its suffix; a further `.gz` is unpacked.

    `columns` names the columns of a csv or tsv file that has no header row. `bad` gets the rows that cannot be read, by file
    and line, with the reason; None = the first one is an error.

    Raises:
        DataError: The file is missing, empty, of another kind, or broken; the message names file and line.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name one of its files")
    suffix = format_of(path)
    if suffix in PARQUET:
        return _read_parquet(path)
    text, found = decode(read_bytes(path), source=str(path), encoding=encoding)
    facts: dict[str, Any] = {"file": str(path), "encoding": found}
    if suffix in JSON_LINES:
        return _read_json_lines(text, str(path), facts, bad)
    return _read_delimited(text, str(path), facts, separator, columns, bad=bad)


def format_of(path: Path) -> str:
    """The suffix that says how to read the file, lower case, without `.gz`.

    Raises:
        DataError: It is none that can be read.
    """
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = inner.suffix.lower()
    if suffix not in SUFFIXES:
        advice = "; save the sheet as csv (UTF-8)" if suffix in (".xlsx", ".xls", ".ods") else ""
        raise DataError(f"{path}: cannot read '{suffix or path.name}' as a table; known: {', '.join(SUFFIXES)}{advice}")
    return suffix


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1) or [other for other in names if other.lower() == name.lower()]
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}columns: {', '.join(names)}"


def _read_delimited(
    text: str,
    source: str,
    facts: dict[str, Any],
    separator: str | None,
    columns: Sequence[str] | None,
    *,
    bad: dict[str, str] | None,
) -> Sheet:
    found = read_delimited(text, source=source, separator=separator, header=columns, bad=bad)
    facts |= {"separator": NAMES.get(found.separator, found.separator), "rows": len(found.rows)}
    if not found.is_quoted:
        facts["quotes"] = "ordinary characters"
    values = list(zip(*found.rows, strict=True)) or [()] * len(found.header)
    return _filled(Sheet(source, dict(zip(found.header, values, strict=True)), found.lines, facts))


def _filled(sheet: Sheet) -> Sheet:
    if not len(sheet):
        raise DataError(f"{sheet.source}: has a header ({', '.join(sheet.columns)}) but no rows")
    return sheet


def _read_json_lines(text: str, source: str, facts: dict[str, Any], bad: dict[str, str] | None) -> Sheet:
    lines, records = _records(text, source, bad)
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: tuple(_cell(record.get(name)) for record in records) for name in names}
    return _sheet(source, columns, lines, {**facts, "rows": len(records)})


def _records(text: str, source: str, bad: dict[str, str] | None) -> tuple[list[int], list[dict[str, Any]]]:
    """Objects of a file with one JSON object per line, or of one JSON list."""
    if not text.strip():
        raise DataError(f"{source}: is empty; it needs one JSON object per line")
    if text.lstrip().startswith("["):
        found = _parse(text, source, 1)
        readers = [(line, partial(_object, record, source, line)) for line, record in enumerate(found, 1)]
    else:
        rows = text.split("\n")  # not splitlines(): U+2028 may stand in a JSON string
        readers = [(line, partial(_object_of, row, source, line)) for line, row in enumerate(rows, 1) if row.strip()]
    pairs: list[tuple[int, dict[str, Any]]] = []
    for line, read in readers:
        try:
            pairs.append((line, read()))
        except DataError as error:
            if bad is None:
                raise
            bad[f"{source}:{line}"] = str(error)
    return [line for line, _ in pairs], [record for _, record in pairs]


def _object_of(row: str, source: str, line: int) -> dict[str, Any]:
    return _object(_parse(row, source, line), source, line)


def _object(record: Any, source: str, line: int) -> dict[str, Any]:
    if isinstance(record, dict):
        return record
    raise DataError(f'{source}:{line}: is a {type(record).__name__}, not an object like {{"text": ..., "label": ...}}')


def _parse(row: str, source: str, line: int) -> Any:
    try:
        found = json.loads(row, parse_float=str, parse_int=str, object_pairs_hook=_once)  # numbers keep digits: 1.50 is "1.50"
        if "\\ud" in row or "\\uD" in row:  # half a character, which no encoding can write
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}:{line}: is no JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two values under one key json would keep the last in silence."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key '{name[:40]}' stands twice in one object")
        found[name] = value
    return found


def _read_parquet(path: Path) -> Sheet:
    import pyarrow
    from pyarrow import parquet

    if not path.exists():
        raise DataError(f"{path}: there is no such file (looked from {Path.cwd()})")
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: is no readable parquet file: {error}") from error
    if len(set(table.column_names)) < table.num_columns:
        raise DataError(f"{path}: a column name stands twice: {', '.join(table.column_names)}; rename one of them")
    columns = {name: tuple(_cell(value) for value in table.column(name).to_pylist()) for name in table.column_names}
    return _sheet(
        str(path), columns, range(1, table.num_rows + 1), {"file": str(path), "format": "parquet", "rows": table.num_rows}
    )


def sheet_of_rows(source: str, rows: Mapping[str, Sequence[Any]], facts: Mapping[str, Any]) -> Sheet:
    """A sheet of columns of Python values that came from elsewhere (a hub)."""
    columns = {name: tuple(_cell(value) for value in values) for name, values in rows.items()}
    count = len(next(iter(columns.values()), ()))
    return _sheet(source, columns, range(1, count + 1), facts)


def _sheet(source: str, columns: dict[str, tuple[Cell, ...]], lines: Sequence[int], facts: Mapping[str, Any]) -> Sheet:
    return _filled(Sheet(source, columns, lines, facts))


def _cell(value: Any) -> Cell:
    """A value as text; lists of plain values stay lists, other structures become JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return tuple(item if isinstance(item, str) else str(_cell(item)) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
