"""AntiBERTy and the germline genes, where their packages are installed (`pip install 'headstart-protein[demo]'`)."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import torch
from headstart import errors

from headstart_protein.encoder import ProteinEncoder
from headstart_protein.germlines import REGIONS, Germlines, read_table, region_at, regions_of
from headstart_protein.weights import ANTIBERTY

PRESENT = {(distribution.metadata["Name"] or "").lower() for distribution in metadata.distributions()}
needs_weights = pytest.mark.skipif("antiberty" not in PRESENT, reason="pip install antiberty==0.1.3")
needs_genes = pytest.mark.skipif("anarci" not in PRESENT, reason="pip install anarci==2026.2.13.2")

HEAVY = "EVQLVQSGPEVKKPGTSVKVSCKASGFTFMSSAVQWVRQARGQRLEWIGWIVIGSGNTNYAQKFQERVTITRDMSTSTAYMELSSLRSEDTAVYYCAA"


@needs_weights
def test_antiberty_is_read_with_its_hash_and_licence():
    backbone = ProteinEncoder()
    assert sum(weight.numel() for weight in backbone.parameters()) == 25_496_064
    assert (backbone.card.sha256, backbone.card.licence, backbone.card.megabytes) == (ANTIBERTY, "MIT", 104.2)
    assert [stage.name for stage in backbone.stages] == ["embeddings", *(f"layer.{at}" for at in range(8))]


@needs_weights
def test_its_weights_know_antibodies():
    """Masked, the two cysteines of an antibody's fold are what the vectors around them say: real weights, not random ones."""
    state = torch.load(_file(), weights_only=True, map_location="cpu")
    backbone = ProteinEncoder().eval()
    masked = "".join("X" if at in (21, 95) else residue for at, residue in enumerate(HEAVY))
    with torch.no_grad():
        tokens = backbone(backbone.prepare([masked]))["tokens"][0]
        hidden = torch.nn.functional.gelu(tokens @ state["cls.predictions.transform.dense.weight"].T
                                          + state["cls.predictions.transform.dense.bias"])  # fmt: skip
        weight, bias = (state[f"cls.predictions.transform.LayerNorm.{name}"] for name in ("weight", "bias"))
        hidden = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], weight, bias, 1e-12)
        logits = hidden @ state["cls.predictions.decoder.weight"].T + state["cls.predictions.bias"]
    said = [backbone.vocabulary.tokens[int(at)] for at in logits.argmax(dim=-1)]
    assert (HEAVY[21], HEAVY[95]) == ("C", "C")
    assert (said[21], said[95]) == ("C", "C")
    assert sum(a == b for a, b in zip(said, HEAVY, strict=True)) > 90


def _file() -> Path:
    return Path(
        str(metadata.distribution("antiberty").locate_file("antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin"))
    )


@needs_genes
def test_germline_genes_have_their_loci_species_and_regions():
    data = Germlines(species=["human"])
    assert data.target.labels == ("heavy", "kappa", "lambda")
    assert {example.id.split()[0] for example in data.examples()} == {"human"}
    assert Germlines(learn="species", species=["human", "mouse"]).target.labels == ("human", "mouse")
    regions = Germlines(learn="regions", species=["human"]).examples()
    assert all(len(example.target) == len(example.input) for example in regions)
    assert {label for example in regions for label in example.target} == {name for name, _, _ in REGIONS}


@needs_genes
def test_genes_of_two_loci_are_left_out_where_the_locus_is_asked_for():
    """Some genes of T-cell receptors serve the alpha and the delta chain (TRAV29/DV5): equal sequences, two labels."""
    assert Germlines(receptors="t-cell").facts()["conflicts"] > 0
    with pytest.raises(errors.DataError, match=r"no species 'dog' \(data.species\); known: human, mouse"):
        Germlines(species=["dog"]).examples()


def test_regions_follow_imgts_positions():
    assert [region_at(at) for at in (1, 26, 27, 38, 39, 55, 56, 65, 66, 104, 105, 117, 118)] == [
        "FR1", "FR1", "CDR1", "CDR1", "FR2", "FR2", "CDR2", "CDR2", "FR3", "FR3", "CDR3", "CDR3", "-",
    ]  # fmt: skip
    assert regions_of("A-C" + "-" * 24 + "DE") == ("FR1", "FR1", "CDR1", "CDR1")


def test_the_table_is_read_and_never_run(tmp_path):
    file = tmp_path / "germlines.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nall_germlines = {{'V': {{'H': {{}}}}, 'J': {{}}}}\n")
    assert read_table(file) == {"V": {"H": {}}, "J": {}}
    assert not (tmp_path / "ran").exists()
    file.write_text("all_germlines = make()\n")
    with pytest.raises(errors.DataError, match="holds no table of germline genes"):
        read_table(file)
