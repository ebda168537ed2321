"""Delimited text (csv, tsv): the separator told from the rows, and every fault named with file and line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_SAMPLE_ROWS = 200


@dataclass(frozen=True)
class Delimited:
    """Rows of a delimited file.

    Attributes:
        header: Names of the columns.
        rows: Values, as many per row as the header has.
        lines: 1-based line of the file where each row begins.
        separator: The one character between values.
        is_quoted: False = quotation marks are ordinary characters (tsv exports without quoting, as GLUE's).
    """

    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    separator: str
    is_quoted: bool


def read_delimited(
    text: str,
    *,
    source: str,
    separator: str | None = None,
    header: Sequence[str] | None = None,
    bad: dict[str, str] | None = None,
) -> Delimited:
    """Read a whole file; the first row is the header, unless `header` names the columns. A blank separates in any number.

    Args:
        text: All of it.
        source: The file, for messages.
        separator: One character; None = found out.
        header: Names of the columns.
        bad: Gets the rows with too many or too few fields, by file and line; None = the first one is an error. A broken quote
            is always one: nobody knows where its row ends.

    Raises:
        DataError: Empty, ragged, an unclosed quote, a column name twice; names file and line.
    """
    if not text.strip():
        raise DataError(f"{source}: is empty; a table needs a header row and at least one row")
    if separator is not None and len(separator) != 1:
        raise DataError(f"{source}: `separator` is one character, not {separator!r}; known: , ; | and a tab ('\\t')")
    chosen = separator or sniff_separator(text, source=source)
    try:
        return _read(text, source, chosen, header, is_quoted=True)
    except DataError:
        if chosen != "\t":
            if bad is None:
                raise
            return _read(text, source, chosen, header, is_quoted=True, bad=bad)
        try:  # tabs cannot stand in a text, so many tsv files are written without quoting
            return _read(text, source, chosen, header, is_quoted=False)
        except DataError:
            pass
        if bad is None:
            raise
        return _read(text, source, chosen, header, is_quoted=True, bad=bad)


def sniff_separator(text: str, *, source: str) -> str:
    """The separator that cuts the first rows into as many fields as the header has; a tab wins in a `.tsv`."""
    if ".tsv" in Path(source).suffixes and "\t" in text.split("\n", 1)[0]:
        return "\t"
    fits = {candidate: _fit(text, candidate) for candidate in SEPARATORS}
    several = {candidate: fit for candidate, fit in fits.items() if fit[1] > 1 and fit[0] >= 0.5}
    pool = several or {candidate: fit for candidate, fit in fits.items() if fit[1] == 1} or fits
    return max(pool, key=lambda candidate: pool[candidate])


def _fit(text: str, separator: str) -> tuple[float, int]:
    """Share of the first rows that have as many fields as the header, and that number."""
    widths: list[int] = []
    try:
        for _, row in _records(text, "", separator, is_quoted=True):
            widths.append(len(row))
            if len(widths) > _SAMPLE_ROWS:
                break
    except DataError:
        pass
    if not widths:
        return 0.0, 0
    rows = widths[1:] or widths
    return round(Counter(rows)[widths[0]] / len(rows), 2), widths[0]


def _read(
    text: str,
    source: str,
    separator: str,
    given: Sequence[str] | None,
    *,
    is_quoted: bool,
    bad: dict[str, str] | None = None,
) -> Delimited:
    records = _records(text, source, separator, is_quoted=is_quoted)
    header = _header(list(given) if given is not None else next(records)[1], source)
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, row in records:
        if len(row) != len(header):
            fault = _ragged(source, line, len(row), header, separator)
            if bad is None:
                raise DataError(fault)
            bad[f"{source}:{line}"] = fault
            continue
        rows.append(row)
        lines.append(line)
    return Delimited(header, rows, lines, separator, is_quoted)


def _ragged(source: str, line: int, found: int, header: tuple[str, ...], separator: str) -> str:
    name = NAMES.get(separator, repr(separator))
    return (
        f"{source}:{line}: {found} fields where the header has {len(header)} ({', '.join(header[:8])}), separated by {name}; "
        'put a text that holds the separator or a line break between double quotes, or name the separator with `separator: ";"`'
    )


def _records(text: str, source: str, separator: str, *, is_quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Line and fields of every row that is not blank."""
    csv.field_size_limit(2**31 - 1)  # the module's default of 131,072 characters is shorter than some texts
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    is_blank = separator == " "
    if is_blank:  # tables in columns are padded with blanks, at the end of the lines too
        text = "\n".join(line.strip() for line in text.splitlines())
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=separator, strict=True, quoting=quoting, skipinitialspace=is_blank)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(_broken(source, line, str(error))) from error
        if row:
            yield line, row
        line = reader.line_num + 1


def _broken(source: str, line: int, reason: str) -> str:
    if "unexpected end" in reason:
        return f'{source}:{line}: a double quote opens here and is never closed; close it, or double it ("") where it is meant'
    return f'{source}:{line}: {reason}; inside a quoted text a double quote is written twice ("")'


def _header(row: list[str], source: str) -> tuple[str, ...]:
    names = tuple(name.strip() or f"column {number}" for number, name in enumerate(row, 1))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{source}:1: the column name '{twice[0]}' stands {Counter(names)[twice[0]]} times; rename one of them")
    return names
