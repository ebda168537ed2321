"""The data part `protein/germlines`: real sequences with real labels that lie in the package `anarci`, read and never imported.

ANARCI (Dunbar and Deane 2016) carries the V genes of antibodies and T-cell receptors of seven species, aligned to the 128
positions of IMGT, where each position belongs to a region by definition (Lefranc et al. 2003).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from headstart import Data, Example, Place, Target, errors, locate

from headstart_protein.alphabet import clean
from headstart_protein.clusters import check_identity, in_families
from headstart_protein.duplicates import without_duplicates
from headstart_protein.fasta import read_records
from headstart_protein.table import excerpt_of, words_of
from headstart_protein.targets import UNLABELLED

FIRST = "*01"  # IMGT's name of the allele that was described first
SIZE = 2_000_000  # bytes; the table of version 2026.2.13.2 has 351,633
LOCI = {"H": "heavy", "K": "kappa", "L": "lambda", "A": "alpha", "B": "beta", "G": "gamma", "D": "delta"}
RECEPTORS = {"antibody": "HKL", "t-cell": "ABGD", "both": "HKLABGD"}
REGIONS = (("FR1", 1, 26), ("CDR1", 27, 38), ("FR2", 39, 55), ("CDR2", 56, 65), ("FR3", 66, 104), ("CDR3", 105, 117))
"""Regions of a V domain by IMGT positions, both ends included (Lefranc et al. 2003, table 1)."""


class Germlines(Data):
    """Germline V genes of antibodies and T-cell receptors out of the package anarci: which locus, which species, or which
    region each residue belongs to.

    Genes that are alike go into one group. Genes with equal proteins are taken once; where the label asked for differs between
    them, not at all. The sequences come from IMGT/GENE-DB, whose terms apply: install the package, do not redistribute it.

    Args:
        table: The file that holds them; read as a table of literals, never run.
        learn: "locus" (heavy, kappa ...), "species", or "regions": FR1, CDR1, FR2, CDR2, FR3 or CDR3 for each residue.
        receptors: Genes of the "antibody", of the "t-cell" receptor, or "both".
        species: Only these: human, mouse, rat, rabbit, rhesus, pig, alpaca, cow; null = all.
        identity: Genes with at least this share of equal residues, estimated from words of four, are of one family, in
            [0.4, 1]; null = each gene stands alone.
        alleles: "first" takes one allele of each gene, *01; "all" takes its variants too.
        least: Shortest gene in residues, >= 1: fragments of genes are left out.
    """

    modality = "protein"
    target_kinds = ("class", "residues")

    def __init__(
        self,
        *,
        table: Place = "package:anarci/anarci/germlines.py",
        learn: Literal["locus", "species", "regions"] = "locus",
        receptors: Literal["antibody", "t-cell", "both"] = "antibody",
        species: list[str] | None = None,
        identity: float | None = 0.8,
        alleles: Literal["first", "all"] = "first",
        least: int = 80,
    ) -> None:
        if least < 1:
            raise errors.UsageError(f"the data's option least is {least}; it must be at least 1")
        self._table, self._learn, self._receptors, self._species = table, learn, receptors, species
        self._identity = None if identity is None else check_identity(identity)
        self._alleles, self._least = alleles, least

    @property
    def target(self) -> Target:
        """Loci, species or regions that occur, in their order."""
        if self._learn == "regions":
            return Target("residues", tuple(name for name, _, _ in REGIONS))
        seen = {example.target for example in self.examples()}
        order = [*LOCI.values(), *sorted(seen - set(LOCI.values()))]
        return Target("class", tuple(label for label in order if label in seen))

    def examples(self) -> Sequence[Example]:
        """Genes in the order of the table."""
        return self._loaded[0]

    def facts(self) -> Mapping[str, Any]:
        """Genes, families, and what was left out."""
        return self._loaded[1]

    def read(self, source: Any) -> str:
        """A sequence of residues.

        Raises:
            DataError: It is no text, or empty.
        """
        if not isinstance(source, str) or not (found := clean(source).sequence):
            raise errors.DataError(f"an input is a sequence of residues, not {repr(source)[:60]}")
        return found

    def open(self, path: Path) -> Sequence[Example]:
        """Sequences of a FASTA or csv file, without labels."""
        return [
            Example(record.id or f"{path.stem}:{number}", self.read(record.sequence))
            for number, record in enumerate(read_records(path), start=1)
        ]

    def excerpt(self, input: Any) -> str:
        """The first 60 residues."""
        return excerpt_of(input)

    def plain_view(self, input: Any) -> str:
        """Words of three residues."""
        return words_of(input)

    @cached_property
    def _loaded(self) -> tuple[list[Example], dict[str, Any]]:
        every = list(self._genes(read_table(locate(self._table))))
        kept, copies, conflicts = without_duplicates(every)
        if not kept:
            raise errors.DataError(f"no germline gene of {self._receptors} is left for the species {self._species}")
        found = in_families(kept, self._identity) if self._identity else kept
        sizes = Counter(example.group or example.id for example in found)
        notes = [
            f"{len(found):,} germline genes; left out: {copies:,} copies, {conflicts:,} with contrary labels.",
            f"{len(sizes):,} families, the largest of {max(sizes.values()):,} genes; no family stands in two splits.",
        ]
        return found, {"genes": len(found), "copies": copies, "conflicts": conflicts, "groups": len(sizes), "notes": notes}

    def _genes(self, table: Mapping[str, Any]) -> Iterator[Example]:
        known = list(dict.fromkeys(name for loci in table["V"].values() for name in loci))
        unknown = [name for name in self._species or () if name not in known]
        if unknown:
            raise errors.DataError(f"no species '{unknown[0]}' (data.species); known: {', '.join(known)}")
        for locus in RECEPTORS[self._receptors]:
            for species in self._species or known:
                for gene, aligned in table["V"].get(locus, {}).get(species, {}).items():
                    if self._is_wanted(gene, aligned):
                        yield self._example(LOCI[locus], species, gene, aligned)

    def _is_wanted(self, gene: str, aligned: str) -> bool:
        return len(clean(aligned).sequence) >= self._least and (self._alleles == "all" or gene.endswith(FIRST))

    def _example(self, locus: str, species: str, gene: str, aligned: str) -> Example:
        targets = {"locus": locus, "species": species}
        target = regions_of(aligned) if self._learn == "regions" else targets[self._learn]
        return Example(f"{species} {gene}", clean(aligned).sequence, target)


def regions_of(aligned: str) -> tuple[str, ...]:
    """Region of each residue of a sequence that is aligned to IMGT's positions."""
    return tuple(region_at(position) for position in (at + 1 for at in clean(aligned).kept))


def region_at(position: int) -> str:
    """Region of an IMGT position, from 1 on; "-" behind the V gene."""
    return next((name for name, first, last in REGIONS if first <= position <= last), UNLABELLED)


def read_table(path: Path) -> Mapping[str, Any]:
    """The table in a Python file that assigns one dictionary of literals; the file is parsed and never run.

    Raises:
        DataError: It is another kind of file.
    """
    try:
        if path.stat().st_size > SIZE:
            raise ValueError(f"larger than {SIZE:,} bytes")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        table = next(ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "all_germlines")
        return {kind: {locus: dict(genes) for locus, genes in table[kind].items()} for kind in ("V", "J")}
    except (OSError, ValueError, SyntaxError, KeyError, AttributeError, StopIteration) as error:
        raise errors.DataError(f"{path}: holds no table of germline genes as the package anarci has it ({error})") from error
