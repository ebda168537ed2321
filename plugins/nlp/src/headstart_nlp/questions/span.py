"""The head `nlp/span`: where an answer begins and ends in a text, or that it is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction
from headstart_nlp.pair_tokens import OPENING, SECOND
from headstart_nlp.questions.answers import Answer
from headstart_nlp.questions.decoding import Candidate, Reading, best_spans, no_answer_score
from headstart_nlp.questions.scores import answer_scores

INITIAL_STD = 0.02  # Devlin et al. 2019


class Span(Head):
    """Start and end of an answer by one linear layer on every token (Devlin et al. 2019, section 4.2).

    One softmax over all windows of a question ("shared normalisation", Clark and Gardner 2018, section 3.3), so that scores
    of different windows compare; each place where a right answer begins counts as right. Where some training question has
    no answer, the opening tokens stand for "no answer" (Devlin et al. 2019, section 4.3).

    Args:
        longest: Tokens of an answer at most, >= 1.
        n_best: Answers that a prediction names with their probabilities, >= 1.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("span",)
    needs: ClassVar[tuple[str, ...]] = ("tokens", "mask", "offsets", "segment", "windows", "characters")
    knows_none: Tensor

    def __init__(
        self, ports: Mapping[str, int], target: Target, *, longest: int = 30, n_best: int = 5, dropout: float = 0.0
    ) -> None:
        super().__init__(ports, target)
        if longest < 1 or n_best < 1:
            raise UsageError(f"the head's options longest ({longest}) and n_best ({n_best}) must be at least 1")
        if not 0 <= dropout < 1:
            raise UsageError(f"the head's option dropout is {dropout}; it must be at least 0 and less than 1")
        self.longest, self.n_best = longest, n_best
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(self.ports["tokens"], 2)
        nn.init.normal_(self.out.weight, std=INITIAL_STD)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("knows_none", torch.zeros(()))  # 1 = some training question had no answer

    def settle(self, targets: Sequence[Any]) -> None:
        """See whether there are questions without an answer."""
        self.knows_none.fill_(float(any(not target for target in targets)))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Minus the log-probability of the right starts and of the right ends, halved; the mean over the batch.

        A question whose answer the network does not see (cut away, or longer than a window) teaches nothing and counts 0.

        Raises:
            DataError: Of a question it is not known whether it has an answer (None).
        """
        if any(target is None for target in targets):
            raise DataError("a question has no target; give its answers, an empty tuple where it has none, or leave it out")
        logs, allowed = self._logs(features)  # [B, L, 2], [B, L]
        right = self._right(features, targets).to(logs.device) & allowed.unsqueeze(-1)  # [B, L, 2]
        is_seen = right.any(dim=1, keepdim=True)  # [B, 1, 2]
        right = torch.where(is_seen, right, allowed.unsqueeze(-1))  # a sum over nothing would have no gradient
        losses = -logs.masked_fill(~right, -torch.inf).logsumexp(dim=1) * is_seen.squeeze(1)  # [B, 2]
        return {"start": losses[:, 0].mean() / 2, "end": losses[:, 1].mean() / 2}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The text of the best span, or "" for no answer; where it stands, what else it may be, and how sure that is.

        `details`: "start", "end" (characters) and "answer" of the best span, "no_answer" (log-odds of no answer against
        it; null = every question of the training had one) and "n_best", the likeliest answers with probabilities
        that add up to 1 among them.
        """
        logs = self._logs(features)[0].double().cpu().numpy()  # [B, L, 2]
        length = logs.shape[1]
        ports = {name: features[name].cpu().numpy() for name in ("segment", "windows", "offsets", "characters")}
        found = []
        for at, row in enumerate(logs):
            places = (ports[name][at, :length] for name in ("segment", "windows", "offsets"))
            text = _text_of(ports["characters"][at])
            found.append(self._prediction(Reading(row[:, 0], row[:, 1], *places), text))
        return found

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """F1 first, then exact match, as the official evaluation counts them, in [0, 1]; see `answer_scores`."""
        return answer_scores(predictions, targets, weights, has_none=bool(self.knows_none) or None)

    def facts(self) -> dict[str, Any]:
        """Whether it can say that there is no answer."""
        return {"knows_no_answer": bool(self.knows_none)}

    def _logs(self, features: Features) -> tuple[Tensor, Tensor]:
        """Log-probabilities of start and end [B, L, 2] in float32, and where they are allowed at all [B, L]."""
        tokens, mask = features["tokens"], features["mask"].bool()
        segment = features["segment"][:, : tokens.shape[1]]
        allowed = mask & ((segment == SECOND) | ((segment == OPENING) & bool(self.knows_none)))
        allowed = torch.where(allowed.any(dim=1, keepdim=True), allowed, mask)  # a text of which no token is left
        logits: Tensor = self.out(self.dropout(tokens.to(self.out.weight.dtype)))
        return logits.float().masked_fill(~allowed.unsqueeze(-1), -torch.inf).log_softmax(dim=1), allowed

    def _right(self, features: Features, targets: Sequence[Any]) -> Tensor:
        """Where right answers begin and end, bool [B, L, 2], on the CPU."""
        length = features["tokens"].shape[1]
        segment, windows = (features[name][:, :length].cpu() for name in ("segment", "windows"))
        offsets = features["offsets"][:, :length].cpu()
        if any(not target for target in targets) and not (segment == OPENING).any():
            raise DataError("this network has no opening token to stand for 'no answer'; write data: {unanswerable: drop}")
        right = torch.zeros(*segment.shape, 2, dtype=torch.bool)
        for at, target in enumerate(targets):
            if not target:
                right[at] = (segment[at] == OPENING).unsqueeze(-1)
            for answer in target:
                right[at] |= _places(answer, segment[at], windows[at], offsets[at])
        return right

    def _prediction(self, reading: Reading, text: str) -> Prediction:
        spans = best_spans(reading, text, most=self.n_best, longest=self.longest)
        none = no_answer_score(reading) if bool(self.knows_none) else -np.inf
        best = spans[0] if spans else Candidate(0, 0, -np.inf)
        odds = none - best.score if np.isfinite(none) and spans else None
        n_best = _listed([*spans, *([Candidate(0, 0, none)] if np.isfinite(none) else [])], text, self.n_best)
        answer = text[best.start : best.end]
        details = {"start": best.start, "end": best.end, "answer": answer, "no_answer": odds, "n_best": n_best}
        return Prediction("" if odds is not None and odds > 0 else answer, details=details)


def _listed(candidates: Sequence[Candidate], text: str, most: int) -> list[dict[str, Any]]:
    """The likeliest answers, with probabilities that add up to 1 among them; the empty one is "no answer"."""
    ordered = sorted(candidates, key=lambda candidate: -candidate.score)[:most]
    total = float(np.logaddexp.reduce([candidate.score for candidate in ordered])) if ordered else 0.0
    return [
        {"text": text[c.start : c.end], "start": c.start, "end": c.end, "probability": float(np.exp(c.score - total))}
        for c in ordered
    ]


def _text_of(codes: np.ndarray) -> str:
    """Code points to text, without the padding behind it."""
    length = int(np.flatnonzero(codes)[-1]) + 1 if codes.any() else 0
    return codes[:length].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _places(answer: Answer, segment: Tensor, windows: Tensor, offsets: Tensor) -> Tensor:
    """Where one answer begins and ends, in every window that holds both: bool [L, 2]."""
    is_text = segment == SECOND
    starts = is_text & (offsets[:, 0] <= answer.start) & (offsets[:, 1] > answer.start)
    ends = is_text & (offsets[:, 0] < answer.end) & (offsets[:, 1] >= answer.end)
    whole = set(windows[starts].tolist()) & set(windows[ends].tolist())
    is_whole = torch.isin(windows, torch.tensor(sorted(whole), dtype=windows.dtype))
    return torch.stack([starts & is_whole, ends & is_whole], dim=-1)
