"""The head `nlp/masked`: guesses the tokens that the backbone hid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Network, Prediction
from headstart_nlp.masking.encoder import MaskedEncoder
from headstart_nlp.masking.hiding import ASKED, NOTHING
from headstart_nlp.masking.scores import masked_scores

INITIAL_STD = 0.02  # Devlin et al. 2019
GUESSES = 5


class Masked(Head):
    """Masked language modelling (Devlin et al. 2019, section 3.1) with the encoder's own table of tokens.

    A dense layer, GELU, a normalisation, then the products with the network's embeddings and a bias for each token. The
    embeddings stay the network's: they train if their stage trains. Layers that the publisher's file holds are taken from it.
    """

    kinds: ClassVar[tuple[str, ...]] = ("masked",)
    needs: ClassVar[tuple[str, ...]] = ("tokens", "mask", "wanted")

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__(ports, target)
        self._lent: tuple[nn.Embedding, Any] | None = None  # in a tuple, so that they stay the backbone's

    def join(self, backbone: Network) -> None:
        """Borrow the table of tokens, and make the layers in front of it.

        Raises:
            UsageError: The backbone hides nothing.
        """
        if not isinstance(backbone, MaskedEncoder):
            raise UsageError("the head nlp/masked guesses what the backbone nlp/masked-encoder hides; name that backbone")
        table = backbone.network.get_input_embeddings()
        self._lent = (table, backbone.tokenizer.hf)
        self.dense = nn.Linear(self.ports["tokens"], table.embedding_dim)
        nn.init.normal_(self.dense.weight, std=INITIAL_STD)
        nn.init.zeros_(self.dense.bias)
        eps = getattr(backbone.network.config, "layer_norm_eps", 1e-12)  # DistilBERT's config has none, its code 1e-12
        self.norm = nn.LayerNorm(table.embedding_dim, eps=eps)
        self.bias = nn.Parameter(torch.zeros(table.num_embeddings))
        if backbone.saved_head:
            self.load_state_dict(backbone.saved_head)

    def logits(self, features: Features, places: Tensor) -> Tensor:
        """Of every token of the vocabulary at the places that are chosen by a mask [B, L]: [N, V]."""
        chosen = features["tokens"][places].to(self.dense.weight.dtype)  # [N, C]
        table, _ = self._borrowed()
        return F.linear(self.norm(F.gelu(self.dense(chosen))), table.weight.to(chosen.dtype), self.bias).float()

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy, the mean over the hidden tokens of each text and then over texts, so that micro-batches add up.

        `targets` are not read: the truth is what the backbone hid.
        """
        wanted = features["wanted"]
        hidden = wanted > NOTHING
        losses = F.cross_entropy(self.logits(features, hidden), wanted[hidden] - 1, reduction="none")  # [N]
        shares = (hidden / hidden.sum(dim=1, keepdim=True).clamp(min=1))[hidden]
        return {"cross_entropy": (losses * shares).sum() / len(wanted)}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The guessed tokens of each text in their order, as one text; in `details` what scores are made of.

        Where a text asks by mask tokens of its own, "guesses" holds the five likeliest tokens of each with their probabilities.
        """
        wanted = features["wanted"]
        places = wanted != NOTHING
        logs = self.logits(features, places).double().log_softmax(dim=1)  # [N, V]
        truth, owner = wanted[places], places.nonzero()[:, 0].tolist()
        given = logs.gather(1, (truth - 1).clamp(min=0).unsqueeze(1))[:, 0].tolist()
        tops = logs.topk(min(GUESSES, logs.shape[1]), dim=1)
        rows: list[list[int]] = [[] for _ in range(len(wanted))]
        for at, text in enumerate(owner):
            rows[text].append(at)
        best, shares, truths = tops.indices.tolist(), tops.values.exp().tolist(), truth.tolist()
        return [
            self._prediction(
                [truths[at] for at in row], [best[at] for at in row], [shares[at] for at in row], [given[at] for at in row]
            )
            for row in rows
        ]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Share of hidden tokens that were guessed first, then perplexity; see `masked_scores`."""
        return masked_scores(predictions, targets, weights)

    def _prediction(
        self, truths: Sequence[int], best: Sequence[Sequence[int]], shares: Sequence[Sequence[float]], logs: Sequence[float]
    ) -> Prediction:
        _, tokenizer = self._borrowed()
        known = [at for at, truth in enumerate(truths) if truth != ASKED]
        details: dict[str, Any] = {
            "hidden": len(known),
            "right": sum(best[at][0] == truths[at] - 1 for at in known),
            "loss": -sum(logs[at] for at in known),
        }
        if asked := [at for at, truth in enumerate(truths) if truth == ASKED]:
            details["guesses"] = [
                [
                    [tokenizer.convert_ids_to_tokens(token), round(share, 4)]
                    for token, share in zip(best[at], shares[at], strict=True)
                ]
                for at in asked
            ]
        return Prediction(" ".join(tokenizer.convert_ids_to_tokens([row[0] for row in best])), details=details)

    def _borrowed(self) -> tuple[nn.Embedding, Any]:
        if self._lent is None:
            raise UsageError("the head nlp/masked has not met its backbone; build both from a recipe")
        return self._lent
