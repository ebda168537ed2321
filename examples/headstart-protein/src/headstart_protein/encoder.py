"""The backbone `protein/encoder`: a protein language model of transformers with its stages, one vector for each residue."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from headstart import Backbone, Features, Place, errors, locate
from torch import Tensor

from headstart_protein.network import load_network, quietly, stages_of
from headstart_protein.vocabulary import Vocabulary, read_vocabulary
from headstart_protein.weights import card_of, weights_at

SPECIALS = 2  # one token before the sequence, one behind it
USUAL = 1022  # residues that ESM-2 was trained with at most (Lin et al. 2023); its rotary positions know no limit


class ProteinEncoder(Backbone):
    """A protein language model: ESM-2 and ESM-1b, or a BERT, RoBERTa, RoFormer or ELECTRA that was trained on residues.

    The default is AntiBERTy (Ruffolo et al. 2021), a BERT of 26 M parameters for antibodies out of the package antiberty; its
    file is in torch's format and is read with `weights_only=True` after its hash was checked. A protein becomes one vector for
    each residue; X is read as the vocabulary's X or, where it has none, as a masked residue.

    Args:
        weights: A folder with config.json, vocab.txt and model.safetensors (or pytorch_model.bin),
            `package:DISTRIBUTION/FOLDER`, or a hub id with its commit, `facebook/esm2_t6_8M_UR50D@<40 digits>`.
        sha256: Hash that the file of weights must have; "" = the one that is known for the place, where one is known.
        pretrained: false = the folder's architecture with random weights: training from scratch.
        vocabulary: File of tokens, one a line; null = vocab.txt or tokenizer.json in the folder of weights or the one above.
        pooling: How residues become the port "pooled": their "mean", the first token ("cls"), or the "max" of each channel.
        max_residues: Longer proteins are cut there, >= 1; null = what the positions allow, at most 1,022.
    """

    modality = "protein"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask")
    network: Any  # a transformers.PreTrainedModel

    def __init__(
        self,
        *,
        weights: Place = "package:antiberty/antiberty/trained_models/AntiBERTy_md_smooth",
        sha256: str = "",
        pretrained: bool = True,
        vocabulary: Place | None = None,
        pooling: Literal["mean", "cls", "max"] = "mean",
        max_residues: int | None = None,
    ) -> None:
        super().__init__()
        found = weights_at(weights, sha256)
        self.vocabulary = read_vocabulary(found.path.parent, locate(vocabulary) if vocabulary else None)
        self.network = load_network(found, pretrained=pretrained)
        _check_vocabulary(self.network, self.vocabulary, str(found.path.parent))
        self.pooling = pooling
        self.max_residues = _max_residues(self.network, max_residues)
        self.stages = stages_of(self.network)
        width = int(self.network.config.hidden_size)
        self.ports = {"pooled": width, "tokens": width, "mask": 1}
        expects = f"residues of proteins, up to {self.max_residues:,}"
        self.card = card_of(found, expects, pretrained=pretrained)

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Sequences -> input_ids and attention_mask [B, L], int64, padded on the right."""
        rows = [self.vocabulary.ids(sequence[: self.max_residues]) for sequence in map(_checked, inputs)]
        longest = max(len(row) for row in rows)
        padded = [[*row, *[self.vocabulary.padding] * (longest - len(row))] for row in rows]
        lengths = torch.tensor([len(row) for row in rows])
        return {
            "input_ids": torch.tensor(padded),
            "attention_mask": (torch.arange(longest) < lengths.unsqueeze(1)).long(),
        }

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> pooled [B, C], tokens [B, R, C], a row for each residue, and mask [B, R] (bool)."""
        output = self.network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        mask = batch["attention_mask"][:, SPECIALS:].bool()  # as many ones as the row has residues
        tokens = output[:, 1:-1].masked_fill(~mask.unsqueeze(-1), 0.0)  # [B, R, C]; a shorter row's end token is cut
        return {"pooled": self._pooled(output, tokens, mask), "tokens": tokens, "mask": mask}

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Tokens that the network reads of each protein."""
        return [min(len(sequence), self.max_residues) + SPECIALS for sequence in inputs]

    def lost_tokens(self, inputs: Sequence[Any]) -> list[int]:
        """Residues of each protein that are cut away."""
        return [max(0, len(sequence) - self.max_residues) for sequence in inputs]

    def reading(self) -> str:
        """The vocabulary, the network's settings, and how proteins are cut and pooled."""
        return json.dumps([self.vocabulary.tokens, self.pooling, self.max_residues, self.network.config.to_json_string()])

    def untrained(self) -> dict[str, Any]:
        """The same architecture, as transformers initialises it."""
        return {**self.made_with, "pretrained": False}

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors and vocab.txt."""
        folder.mkdir(parents=True, exist_ok=True)
        with quietly():
            self.network.save_pretrained(str(folder))
        (folder / "vocab.txt").write_text("\n".join(self.vocabulary.tokens) + "\n", encoding="utf-8")

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's options, with the saved weights and vocabulary in place of what they started from."""
        return {**options, "weights": str(folder), "sha256": "", "pretrained": True, "vocabulary": None}

    def _pooled(self, output: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return output[:, 0]
        if self.pooling == "max":
            return tokens.masked_fill(~mask.unsqueeze(-1), torch.finfo(tokens.dtype).min).amax(dim=1)
        return tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _checked(sequence: Any) -> str:
    if not isinstance(sequence, str) or not sequence:
        raise errors.DataError(f"a sequence of residues is expected, but an input is {repr(sequence)[:60]}")
    return sequence


def _max_residues(network: Any, wanted: int | None) -> int:
    """The limit that was asked for, held against the network's positions."""
    limit = _position_limit(network)
    if wanted is None:
        return min(USUAL, limit) if limit else USUAL
    if wanted < 1 or (limit is not None and wanted > limit):
        most = f"; these weights have positions for {limit}" if limit else ""
        raise errors.UsageError(f"max_residues is {wanted}; it must be at least 1{most}")
    return wanted


def _position_limit(network: Any) -> int | None:
    """Residues that the network has positions for; None = it turns angles and knows no limit."""
    config = network.config
    if getattr(config, "position_embedding_type", "absolute") == "rotary":
        return None
    table = getattr(network.embeddings, "position_embeddings", None)
    reserved = 0 if table is None or table.padding_idx is None else table.padding_idx + 1  # ESM-1b and RoBERTa begin behind it
    return int(config.max_position_embeddings) - reserved - SPECIALS


def _check_vocabulary(network: Any, vocabulary: Vocabulary, folder: str) -> None:
    known, needed = network.get_input_embeddings().num_embeddings, len(vocabulary.tokens)
    if needed > known:
        raise errors.WeightsError(f"the vocabulary of {folder} has {needed} tokens, but the network knows {known}")
