"""Room: how many examples the memory holds at once; a batch that is too large is cut in halves, and the step is the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headstart.memory import is_out_of_memory

__all__ = ["Room", "give_back", "is_out_of_memory"]


@dataclass
class Room:
    """What was learnt about the memory of one training.

    Attributes:
        examples: Per forward and backward pass, at most; None = the memory has never run out.
    """

    examples: int | None = None

    def part(self, wanted: int | None) -> int | None:
        """Examples per pass: what is wanted (None = the whole batch), or what the memory holds, where that is less."""
        given = [size for size in (wanted, self.examples) if size is not None]
        return min(given, default=None)

    def halve(self, used: int, *, least: int) -> bool:
        """The memory ran out with so many examples a pass; False = there is nothing left to halve.

        Args:
            used: Examples of the largest pass of the batch.
            least: Fewest that make sense: 2 where a BatchNorm takes statistics, else 1.
        """
        if used // 2 < least:
            return False
        self.examples = used // 2
        return True


def give_back(device: torch.device) -> None:
    """Return what torch keeps of a device's memory, so that smaller pieces find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
