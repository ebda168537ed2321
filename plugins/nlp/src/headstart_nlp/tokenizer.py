"""Texts to token ids: one fast tokenizer, its special tokens, its limits and a bounded memory of texts already seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import DataError, WeightsError

REMEMBERED = 200_000
"""Texts whose ids are kept, so that later epochs do not tokenise again; at 25 tokens each about 40 MB."""

FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "spm.model", "sentencepiece.bpe.model")


class TextTokenizer:
    """A folder's own tokenizer, without the truncation and padding that its file may have been saved with."""

    def __init__(self, folder: Path) -> None:
        self.hf = _load(folder)
        self._backend = self.hf.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self.prefix, self.suffix = _specials(self._backend)
        self.filler = _first_known(self.hf.pad_token_id, self.hf.eos_token_id, self.hf.unk_token_id)
        self._seen: dict[str, np.ndarray] = {}

    @property
    def specials(self) -> int:
        """Number of special tokens that each text or window gets."""
        return len(self.prefix) + len(self.suffix)

    @property
    def lowers_case(self) -> bool:
        """Whether capital letters are lost on the way in."""
        normalizer = self._backend.normalizer
        return normalizer is not None and normalizer.normalize_str("A") == "a"

    def ids(self, texts: Sequence[Any]) -> list[list[int]]:
        """Ids of each text, uncut and without special tokens.

        Raises:
            DataError: An input is no text.
        """
        checked = dict.fromkeys(_checked(text) for text in texts)
        new = [text for text in checked if text not in self._seen]
        found = {text: self._seen[text] for text in checked if text in self._seen}
        for text, encoding in zip(new, self._backend.encode_batch_fast(new, add_special_tokens=False), strict=True):
            found[text] = np.asarray(encoding.ids, dtype=np.int32)
        self._remember(found)
        return [found[text].tolist() for text in texts]

    def places(self, text: str) -> list[tuple[int, int]]:
        """First and last character + 1 of each token of a text, uncut and without special tokens."""
        return [(start, end) for start, end in self._backend.encode(_checked(text), add_special_tokens=False).offsets]

    def dress(self, ids: Sequence[int]) -> list[int]:
        """Ids of one text or window with its special tokens; never empty, because attention over nothing is not a number."""
        return [*self.prefix, *ids, *self.suffix] or [self.filler]

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows of ids, padded on the right to the longest: ids and mask, both int64 [B, L]."""
        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self.filler, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[i, : len(row)] = 1
        return ids, mask

    def _remember(self, found: dict[str, np.ndarray]) -> None:
        if len(self._seen) + len(found) > REMEMBERED:
            self._seen.clear()
        self._seen.update(found)


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(f"a text is expected, but an input is a {type(text).__name__}: {repr(text)[:60]}")
    return text


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in FILES):
        raise WeightsError(
            f"{folder} holds no tokenizer (looked for {', '.join(FILES)}); copy the model's tokenizer files into it"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises whatever its parsers raise: OSError, ValueError, KeyError, Exception
        raise WeightsError(f"the tokenizer in {folder} cannot be read: {error}") from error
    if not tokenizer.is_fast:
        raise WeightsError(f"the tokenizer in {folder} has no fast version; save one as tokenizer.json and try again")
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token  # decoders have none; the mask keeps it out of everything
    return tokenizer


def _specials(backend: Any) -> tuple[list[int], list[int]]:
    """The special tokens before and after a single text, asked of the tokenizer itself."""
    encoding = backend.encode("a b c", add_special_tokens=True)
    own = [i for i, is_special in enumerate(encoding.special_tokens_mask) if not is_special]
    if not own:
        return list(encoding.ids), []
    return list(encoding.ids[: own[0]]), list(encoding.ids[own[-1] + 1 :])


def _first_known(*ids: int | None) -> int:
    return next((token for token in ids if token is not None), 0)
