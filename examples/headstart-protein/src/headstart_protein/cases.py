"""Cases: what the core's conformance kit needs to try the parts of this plugin; `headstart plugins test protein` runs them.

The networks are small ones with random weights, written in the official format into a folder that goes when the process ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from headstart import Target
from headstart.testing import BackboneCase, Case, DataCase, HeadCase

from headstart_protein.alphabet import STANDARD

ESM_TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>")  # ESM-2's
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *STANDARD)  # AntiBERTy's
INPUTS = ("MKTAYIAKQRQ", "GSHMLE", "ACDEFGHIKLMNPQRSTVWY", "MMXKA")
LABELS = ("HHEECC", "CEH", "C", "H-EHC")


def cases() -> Iterator[Case]:
    """Two networks, the head, and both data parts."""
    for folder in small_networks():
        yield BackboneCase(
            use="protein/encoder", options={"weights": str(folder)}, inputs=lambda: INPUTS, smallest=lambda: ("A", "X")
        )
    target = Target("residues", ("C", "E", "H"))
    yield HeadCase(use="protein/residues", target=target, targets=[tuple(label) for label in LABELS], features=_features)
    yield DataCase(use="protein/table", options=_table, source=lambda folder: "MKTAY")
    yield DataCase(use="protein/germlines", options=_genes, source=lambda folder: "MKTAY")


@cache
def small_networks() -> tuple[Path, Path]:
    """Folders with a small ESM-2 and a small BERT."""
    folder = Path(_kept().name)
    return small_esm(folder / "esm"), small_bert(folder / "bert")


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="headstart-protein-")


def small_esm(folder: Path) -> Path:
    """An ESM-2 of two small layers."""
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(
        vocab_size=len(ESM_TOKENS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=1026, pad_token_id=1, mask_token_id=32, position_embedding_type="rotary", token_dropout=True,
        emb_layer_norm_before=False,
    )  # fmt: skip
    return _saved(EsmModel, config, ESM_TOKENS, folder)


def small_bert(folder: Path) -> Path:
    """A BERT of three small layers, with positions for 40 tokens and no token for X."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(BERT_TOKENS), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40,
    )  # fmt: skip
    return _saved(BertModel, config, BERT_TOKENS, folder)


def _saved(network_class: Any, config: Any, tokens: tuple[str, ...], folder: Path) -> Path:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network_class(config).save_pretrained(str(folder))
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    return folder


def _table(folder: Path) -> Mapping[str, Any]:
    rows = [f"{sequence},{'ab'[at % 2]}" for at, sequence in enumerate(INPUTS)]
    (folder / "p.csv").write_text("\n".join(["sequence,label", *rows]) + "\n", encoding="utf-8")
    return {"path": str(folder / "p.csv")}


def _genes(folder: Path) -> Mapping[str, Any]:
    aligned = {f"IGHV{at}*01": (sequence * 18)[:104] for at, sequence in enumerate(INPUTS)}
    text = f"all_germlines = {{'V': {{'H': {{'human': {aligned}}}}}, 'J': {{}}}}\n"
    (folder / "germlines.py").write_text(text, encoding="utf-8")
    return {"table": str(folder / "germlines.py"), "learn": "regions"}


def _features() -> Mapping[str, Any]:
    import torch

    mask = torch.arange(6) < torch.tensor([[6], [3], [1], [5]])
    generator = torch.Generator().manual_seed(0)
    return {"tokens": torch.randn(4, 6, 8, generator=generator).masked_fill(~mask.unsqueeze(-1), 0.0), "mask": mask}
