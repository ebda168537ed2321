"""The vocabulary: one token a residue, looked up; no tokenizer is needed for an alphabet of 21 letters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart import errors

from headstart_protein.alphabet import STANDARD, UNKNOWN

BEGIN, END = ("[CLS]", "<cls>", "<s>"), ("[SEP]", "<eos>", "</s>")
PADDING, MASK, STRANGE = ("[PAD]", "<pad>"), ("[MASK]", "<mask>"), ("[UNK]", "<unk>")


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of tokens.

    Attributes:
        tokens: In the order of their numbers, as the file has them.
        residues: Residue -> number; X is the vocabulary's own X, else its mask (a residue of which nothing is known), else
            its unknown token.
        begin: Stands before each sequence.
        end: Stands behind it.
        padding: Fills shorter rows.
    """

    tokens: tuple[str, ...]
    residues: Mapping[str, int]
    begin: int
    end: int
    padding: int

    def ids(self, sequence: str) -> list[int]:
        """Numbers of a sequence with its two special tokens."""
        unknown = self.residues[UNKNOWN]
        return [self.begin, *(self.residues.get(residue, unknown) for residue in sequence), self.end]


def read_vocabulary(folder: Path, file: Path | None = None) -> Vocabulary:
    """The vocabulary of a model's folder: vocab.txt or tokenizer.json, there or in the folder above it.

    Raises:
        WeightsError: There is none, or it lacks a residue or a special token.
    """
    places = [file] if file else [base / name for base in (folder, folder.parent) for name in ("vocab.txt", "tokenizer.json")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise errors.WeightsError(
            f"{folder} holds no vocab.txt or tokenizer.json, nor does the folder above; name one: vocabulary"
        )
    return vocabulary_of(_tokens(found), str(found))


def vocabulary_of(tokens: Sequence[str], source: str) -> Vocabulary:
    """Tokens in the order of their numbers as a vocabulary."""
    numbers = {token: number for number, token in enumerate(tokens)}
    missing = [residue for residue in STANDARD if residue not in numbers]
    if missing:
        raise errors.WeightsError(f"{source}: has no token for {', '.join(missing)}; is it a vocabulary of single residues?")
    unknown = _first(numbers, (UNKNOWN, *MASK, *STRANGE), source)
    residues = {**{residue: numbers[residue] for residue in STANDARD}, UNKNOWN: unknown}
    begin, end, padding = (_first(numbers, names, source) for names in (BEGIN, END, PADDING))
    return Vocabulary(tuple(tokens), residues, begin, end, padding)


def _first(numbers: Mapping[str, int], names: Sequence[str], source: str) -> int:
    found = next((numbers[name] for name in names if name in numbers), None)
    if found is None:
        raise errors.WeightsError(f"{source}: has none of the tokens {', '.join(names)}")
    return found


def _tokens(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        numbers = json.loads(text)["model"]["vocab"]
        return sorted(numbers, key=numbers.__getitem__)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.WeightsError(f"{file}: holds no vocabulary of token -> number ({error})") from error
