"""What headstart-protein offers; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headstart import Component, hookimpl


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Protein language models."""
    yield Component(
        "protein/encoder",
        "headstart_protein.encoder:ProteinEncoder",
        "ESM-2 and BERT-type protein models from a folder or hub id@commit; default AntiBERTy (26 M); Ruffolo et al. 2021",
        licence="MIT",
        megabytes=104.2,
        requires=("antiberty",),
    )


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of sequences."""
    yield Component(
        "protein/table", "headstart_protein.table:ProteinTable", "sequences with labels from FASTA or csv, grouped by identity"
    )
    yield Component(
        "protein/germlines",
        "headstart_protein.germlines:Germlines",
        "antibody and T-cell receptor genes of seven species, with loci and regions, out of the package anarci",
        requires=("anarci",),
    )


@hookimpl
def headstart_heads() -> Iterator[Component]:
    """Tasks that the core's heads do not cover: classes, numbers and sets of labels of whole proteins are theirs."""
    yield Component("protein/residues", "headstart_protein.residues:Residues", "a label for each residue")


@hookimpl
def headstart_cases() -> Iterator[Component]:
    """What the conformance kit tries the parts above with."""
    yield Component("protein/cases", "headstart_protein.cases:cases", "small networks and made up sequences")


@hookimpl
def headstart_recipes() -> Iterator[Path]:
    """Recipes that run offline."""
    yield Path(__file__).parent / "recipes"
