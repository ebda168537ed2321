"""Sequences from files: FASTA and csv as records of one kind, each with the line where it begins."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from headstart import Sheet, errors, read_table

FASTA = (".fasta", ".fa", ".faa", ".fas")
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
SEPARATOR = "|"  # between the labels of a set
SEQUENCE_NAMES = ("sequence", "seq", "protein", "aa", "aa_sequence", "residues")


@dataclass(frozen=True)
class Record:
    """One sequence as it stands in a file.

    Attributes:
        where: File and line, for messages.
        id: The first word behind `>`, or the column of ids; "" = it has none.
        sequence: As given.
        values: Columns of a table, or the `key=value` words of a FASTA header.
    """

    where: str
    id: str
    sequence: str
    values: Mapping[str, str] = field(default_factory=dict)


def read_records(path: Path, *, sequence: str | None = None, id: str | None = None) -> list[Record]:
    """Records of a file in its order, told by its suffix; a further `.gz` is unpacked.

    Args:
        path: .fasta, .fa, .faa, .fas, .csv, .tsv, .jsonl or .parquet.
        sequence: Column of the sequence; None = the one whose name says so. Of no use to FASTA.
        id: Column of ids; None = "id" where there is one. Of no use to FASTA.

    Raises:
        DataError: The file is missing, empty, of another kind or broken; the message names file and line.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in (*FASTA, *TABLES):
        raise errors.DataError(f"{path}: cannot read '{suffix or path.name}'; known: {', '.join((*FASTA, *TABLES))}, also .gz")
    found = list(_of_fasta(_text_of(path), path) if suffix in FASTA else _of_table(read_table(path), sequence, id))
    if not found:
        raise errors.DataError(f"{path}: holds no sequence")
    return found


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise errors.DataError(f"{path}: cannot be read: {error}") from error


def _of_fasta(text: str, path: Path) -> Iterator[Record]:
    header, begin, lines = "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(">"):
            if begin:
                yield _record(header, "".join(lines), f"{path}:{begin}")
            header, begin, lines = line[1:], number, []
        elif line.strip() and not line.startswith(";"):
            if not begin:
                raise errors.DataError(f"{path}:{number}: stands before the first header; a record begins with '>'")
            lines.append(line.strip())
    if begin:
        yield _record(header, "".join(lines), f"{path}:{begin}")


def _record(header: str, sequence: str, where: str) -> Record:
    words = header.split()
    pairs = [(key, value) for key, sign, value in (word.partition("=") for word in words[1:]) if sign]
    return Record(where, words[0] if words else "", sequence, dict(pairs))


def _of_table(sheet: Sheet, sequence: str | None, id: str | None) -> Iterator[Record]:
    names, path = list(sheet.columns), Path(sheet.source)
    column = column_named(sequence, names, path, "sequence") if sequence else guessed(names, path)
    ids = column_named(id, names, path, "id") if id else next((name for name in names if name.lower() == "id"), None)
    rows = zip(*sheet.columns.values(), strict=True)
    for line, cells in zip(sheet.lines, rows, strict=True):
        row = {name: _text(cell) for name, cell in zip(names, cells, strict=True)}
        yield Record(f"{path}:{line}", row[ids].strip() if ids else "", row[column], row)


def _text(cell: str | tuple[str, ...] | None) -> str:
    """A cell as a csv would have it: a list of labels with "|" between them, nothing as an empty text."""
    return SEPARATOR.join(cell) if isinstance(cell, tuple) else cell or ""


def guessed(names: Sequence[str], path: Path) -> str:
    """The column of the sequences, by its name."""
    found = next((name for known in SEQUENCE_NAMES for name in names if name.strip().lower() == known), None)
    if found is None:
        raise errors.DataError(f"{path}: no column looks like a sequence ({', '.join(names)}); name it with `sequence: COLUMN`")
    return found


def column_named(name: str, names: Sequence[str], path: Path, option: str) -> str:
    """The column that an option names.

    Raises:
        DataError: There is none of that name; the message holds the nearest one and all there are.
    """
    if name in names:
        return name
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise errors.DataError(f"{path}: no '{name}' (data.{option}); {hint}there are: {', '.join(names) or 'none'}")
