"""Residues: what a sequence may hold, and what is done with everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headstart import errors

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
UNKNOWN = "X"
GAPS = "-."
STOP = "*"

Policy = Literal["X", "drop", "error"]


@dataclass(frozen=True)
class Cleaned:
    """A sequence as the network gets it.

    Attributes:
        sequence: Capital letters of STANDARD and X only.
        kept: Position in the given text of each residue that is left; labels of residues go the same way.
        replaced: How many letters became X.
        unknown: The first letter that is no residue, and its position from 1 on; None = there was none.
    """

    sequence: str
    kept: tuple[int, ...]
    replaced: int = 0
    unknown: tuple[str, int] | None = None


def clean(text: str) -> Cleaned:
    """Blanks, gaps of an alignment (- and .) and a stop (*) at the end go; letters that are no standard residue become X.

    Selenocysteine (U), pyrrolysine (O) and the ambiguous B, Z and J count as no standard residue: few networks have seen
    enough of them. X itself means an unknown residue already and is left alone.
    """
    body = text.rstrip().removesuffix(STOP)
    kept = tuple(at for at, letter in enumerate(body) if not letter.isspace() and letter not in GAPS)
    letters = [body[at].upper() for at in kept]
    strange = [at for at, letter in enumerate(letters) if letter not in STANDARD and letter != UNKNOWN]
    first = (letters[strange[0]], strange[0] + 1) if strange else None
    sequence = "".join(letter if letter in STANDARD else UNKNOWN for letter in letters)
    return Cleaned(sequence, kept, len(strange), first)


def settle(text: str, policy: Policy, where: str) -> Cleaned | None:
    """The clean sequence by the recipe's word; None = it is to be left out.

    Raises:
        DataError: It has no residue, or holds a strange letter and the policy is "error".
    """
    cleaned = clean(text)
    if not cleaned.sequence:
        raise errors.DataError(f"{where}: the sequence is empty")
    if cleaned.unknown is None or policy == "X":
        return cleaned
    if policy == "drop":
        return None
    letter, position = cleaned.unknown
    raise errors.DataError(
        f"{where}: '{letter}' at residue {position} is none of {STANDARD} or X; "
        "correct it, or set unknown: X (read it as an unknown residue) or unknown: drop (leave the sequence out)"
    )
