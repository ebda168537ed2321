"""Hiding: which tokens of a text a network has to guess, and what stands in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MASKED, CHANGED = 0.8, 0.1  # of the hidden tokens; the others are left as they are. Devlin et al. 2019, section 3.1
NOTHING, ASKED = 0, -1


@dataclass(frozen=True)
class Hiding:
    """How tokens are hidden.

    Attributes:
        share: Of a text's tokens that are to be guessed, in (0, 1); at least one is.
        mask: Id of the mask token.
        words: Ids of ordinary tokens, from which a false one is drawn.
    """

    share: float
    mask: int
    words: np.ndarray

    def hide(self, ids: Sequence[int], rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Ids as the network sees them, and what it has to guess at each place: the true id + 1, or 0 for nothing.

        A function of the ids and of `rng` alone. In a text that holds mask tokens of its own only those are asked for.
        """
        if self.mask in ids or not ids:
            return self.asked(ids)
        shown, wanted = list(ids), [NOTHING] * len(ids)
        count = max(1, round(self.share * len(ids)))
        for place, roll in zip(rng.choice(len(ids), count, replace=False).tolist(), rng.random(count), strict=True):
            wanted[place] = ids[place] + 1
            if roll < MASKED:
                shown[place] = self.mask
            elif roll < MASKED + CHANGED:
                shown[place] = int(rng.choice(self.words))
        return shown, wanted

    def asked(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """The ids as they are, and -1 where they hold a mask token: asked for, the truth is not known."""
        return list(ids), [ASKED if token == self.mask else NOTHING for token in ids]
