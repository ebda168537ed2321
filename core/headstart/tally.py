"""The tally: how often each stage really ran, and the computation behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from headstart.model import HEAD

if TYPE_CHECKING:
    from headstart.floor import Meter


class Tally:
    """Adds up the passes of one training.

    Attributes:
        executions: Stage -> examples that went through it.
        trains: Names of the parameters that train now.
        meter: Adds up floating-point operations; None = nobody asked.
    """

    def __init__(self, stages: Sequence[str], meter: Meter | None = None) -> None:
        self.executions = dict.fromkeys(stages, 0)
        self.trains: Collection[str] = ()
        self.meter = meter

    def forward(self, units: float, examples: int, *, after: str | None = None, upto: str | None = None) -> None:
        """Examples went through the stages behind `after` (None = from the input) up to `upto` (None = and the head)."""
        names = list(self.executions)
        first = 0 if after is None else len(names) if after == HEAD else names.index(after) + 1
        last = len(names) if upto is None else names.index(upto) + 1
        for name in names[first:last]:
            self.executions[name] += examples
        if self.meter is not None:
            self.meter.forward(units, after=after, upto=upto)

    def timing(self) -> AbstractContextManager[None]:
        """Count the time that the context takes as computation."""
        return nullcontext() if self.meter is None else self.meter.timing()

    def backward(self, units: float) -> None:
        """The loss of so much was differentiated by what trains."""
        if self.meter is not None:
            self.meter.backward(units, self.trains)

    def as_json(self) -> dict[str, Any]:
        """What was counted so far."""
        meter = self.meter
        return {"executions": dict(self.executions), "meter": None if meter is None else [meter.done, meter.seconds]}

    def go_on(self, saved: Mapping[str, Any]) -> None:
        """Count on from what `as_json` gave; what a stopped run has to compute again is counted again."""
        self.executions.update(saved["executions"])
        if self.meter is not None and saved["meter"] is not None:
            self.meter.done, self.meter.seconds = saved["meter"]
