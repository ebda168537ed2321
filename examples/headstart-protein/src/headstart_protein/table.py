"""The data part `protein/table`: sequences with labels from FASTA or csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from headstart import Data, Example, Place, Target, errors, locate

from headstart_protein.alphabet import settle
from headstart_protein.clusters import check_identity, in_families
from headstart_protein.duplicates import without_duplicates
from headstart_protein.fasta import SEQUENCE_NAMES, Record, column_named, read_records
from headstart_protein.targets import read_target, target_of

EXCERPT = 60
LABEL_NAMES = ("label", "class", "target", "y")


@dataclass
class Read:
    """Examples of a file, and what became of the others.

    Attributes:
        replaced: Letters that are read as X.
        left_out: Reason -> sequences.
    """

    examples: list[Example] = field(default_factory=list)
    replaced: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class ProteinTable(Data):
    """Sequences with labels from FASTA (.fasta, .fa, .faa, .fas) or a table (.csv, .tsv, .jsonl, .parquet), also
    packed as .gz.

    In FASTA a label is a word `key=value` of the header: `>P12345 class=enzyme`. For a label of each residue it is a text as
    long as the sequence, one letter a residue, "-" where nothing is known. Gaps and a stop at the end are removed, with their
    labels. Sequences that are alike go into one group, and no group stands in two splits.

    Args:
        path: The file.
        label: Column, or key in the FASTA headers. null = "label", "class", "target" or "y".
        kind: What a label is: one "class" of several, a set of "labels" with "|" between them, a "number", or one letter for
            each of the "residues".
        sequence: Column of the sequence. null = the one whose name says so. Of no use to FASTA.
        id: Column of unique ids. null = "id" where there is one, else file name and number. In FASTA the header's first word.
        group: Column or key that says which sequences belong together. null = families by `identity`.
        split: Column or key that says train, val or test. null = the recipe divides.
        identity: Sequences with at least this share of equal residues, estimated from words of four, are of one family (single
            linkage), in [0.4, 1]; null = no families, each sequence stands alone. Of no use beside `group`.
        unknown: What happens to a sequence with a letter that is none of the 20 residues or X: the letter becomes "X", the
            sequence is left out ("drop"), or the run stops ("error").
        duplicates: Of equal sequences with equal labels "drop" keeps the first; equal sequences with different labels are all
            left out, for nobody knows which is right. "keep" leaves everything; families keep copies in one split.
    """

    modality = "protein"
    target_kinds = ("class", "labels", "number", "residues")

    def __init__(
        self,
        *,
        path: Place,
        label: str | None = None,
        kind: Literal["class", "labels", "number", "residues"] = "class",
        sequence: str | None = None,
        id: str | None = None,
        group: str | None = None,
        split: str | None = None,
        identity: float | None = 0.5,
        unknown: Literal["X", "drop", "error"] = "X",
        duplicates: Literal["drop", "keep"] = "drop",
    ) -> None:
        self._path, self._label, self._kind = path, label, kind
        self._sequence, self._id, self._group, self._split = sequence, id, group, split
        self._identity = None if identity is None else check_identity(identity)
        self._unknown, self._duplicates = unknown, duplicates

    @cached_property
    def _target(self) -> Target:
        return target_of(self.examples(), self._kind)

    @property
    def target(self) -> Target:
        """The kind, and the labels that occur, in natural order."""
        return self._target

    def examples(self) -> Sequence[Example]:
        """Usable sequences in the order of the file; `input` is the clean sequence."""
        return self._loaded[0]

    def facts(self) -> Mapping[str, Any]:
        """Sequences, residues, what was left out or replaced, and groups."""
        return self._loaded[1]

    def read(self, source: Any) -> str:
        """A sequence as training reads it; of a mapping its column.

        Raises:
            DataError: It is neither, is empty, or holds a letter that `unknown` refuses.
        """
        if isinstance(source, Mapping):
            source = source.get(self._sequence or next((name for name in SEQUENCE_NAMES if name in source), ""))
        if not isinstance(source, str):
            raise errors.DataError(f"an input is a sequence of residues, or has a column of them, not {repr(source)[:60]}")
        cleaned = settle(source, "X" if self._unknown == "X" else "error", f"the input '{source[:20]}'")
        return cleaned.sequence if cleaned else ""

    def open(self, path: Path) -> Sequence[Example]:
        """Sequences of another file, with labels where it holds them; only `unknown: drop` leaves some out."""
        found = self._read(path, training=False).examples
        if not found:
            raise errors.DataError(f"{path}: no sequence is left; unknown: drop leaves out those with strange letters")
        return found

    def excerpt(self, input: Any) -> str:
        """The first 60 residues."""
        return excerpt_of(input)

    def plain_view(self, input: Any) -> str:
        """Words of three residues: what a protein's composition and motifs alone can tell."""
        return words_of(input)

    @cached_property
    def _loaded(self) -> tuple[list[Example], dict[str, Any]]:
        path = locate(self._path)
        read = self._read(path, training=True)
        drops = self._duplicates == "drop"
        kept, copies, conflicts = without_duplicates(read.examples) if drops else (read.examples, 0, 0)
        if not kept:
            raise errors.DataError(
                f"{path}: no usable sequence is left; left out: {dict(read.left_out)}, {conflicts} conflicts"
            )
        if self._group is None and self._identity is not None:
            kept = in_families(kept, self._identity)
        read.left_out.update({"a copy before them": copies, "a copy with another label": conflicts})
        return kept, _facts(path, kept, read)

    def _read(self, path: Path, *, training: bool) -> Read:
        records = read_records(path, sequence=self._sequence, id=self._id)
        label = self._label_name(records, path, training=training)
        for option, name in (("group", self._group), ("split", self._split)):
            if training and name:
                column_named(name, _names(records), path, option)
        found, ids = Read(), set[str]()
        for number, record in enumerate(records, start=1):
            cleaned = settle(record.sequence, self._unknown, record.where)
            target = read_target(record.values.get(label), self._kind, record, cleaned) if cleaned else None
            if cleaned is None or (training and target is None):
                found.left_out["strange letters" if cleaned is None else "no label"] += 1
                continue
            id = _unique(record.id or f"{path.name.split('.')[0]}:{number}", ids, record)
            found.replaced += cleaned.replaced
            found.examples.append(Example(id, cleaned.sequence, target, self._group_of(record), self._meta_of(record)))
        return found

    def _label_name(self, records: Sequence[Record], path: Path, *, training: bool) -> str:
        """The column or key of labels; "" = there is none, which is no fault in a file to predict."""
        known = _names(records)
        if self._label and (training or self._label in known):
            return column_named(self._label, known, path, "label")
        names = {name.lower(): name for name in known}
        found = next((names[name] for name in LABEL_NAMES if name in names), "") if not self._label else ""
        if training and not found:
            raise errors.DataError(f"{path}: nothing looks like a label ({', '.join(known)}); name it with `label: NAME`")
        return found

    def _group_of(self, record: Record) -> str | None:
        return record.values.get(self._group or "", "").strip() or None

    def _meta_of(self, record: Record) -> Mapping[str, Any]:
        split = record.values.get(self._split or "", "").strip()
        return {"split": split} if split else {}


def excerpt_of(sequence: str) -> str:
    """The first 60 residues."""
    return sequence if len(sequence) <= EXCERPT else f"{sequence[: EXCERPT - 1]}…"


def words_of(sequence: str) -> str:
    """Every three residues that stand side by side, as words."""
    return " ".join(sequence[at : at + 3] for at in range(max(1, len(sequence) - 2)))


def _names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.values))


def _unique(id: str, ids: set[str], record: Record) -> str:
    if id in ids:
        raise errors.DataError(f"{record.where}: the id '{id}' stands before in the file; ids are unique")
    ids.add(id)
    return id


def _facts(path: Path, examples: Sequence[Example], read: Read) -> dict[str, Any]:
    residues, groups = sum(len(example.input) for example in examples), Counter(example.group for example in examples)
    left_out = {reason: count for reason, count in read.left_out.items() if count}
    notes = [f"{path.name}: {len(examples):,} sequences of {residues:,} residues."]
    if None not in groups:
        most = max(groups.values())
        notes.append(f"{len(groups):,} groups, the largest of {most:,} sequences; no group stands in two splits.")
    warnings = [f"{count:,} sequences have {reason} and are left out." for reason, count in left_out.items()]
    warnings += [f"{read.replaced:,} letters are no standard residue and are read as X."] if read.replaced else []
    counts = {"sequences": len(examples), "residues": residues, "replaced": read.replaced, "groups": len(groups)}
    return {**counts, "left_out": left_out, "notes": notes, "warnings": warnings}
