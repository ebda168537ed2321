"""Passing: one pass over examples that learns nothing, through the network made quick, as far as is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from headstart.ahead import ahead
from headstart.features import unbatch
from headstart.feed import LiveFeed, pass_batches
from headstart.model import Model
from headstart.optimise import Optimised, optimised
from headstart.prefix import Pattern
from headstart.prefix_feed import PrefixFeed, upto_boundary
from headstart.rows import Row

Pairs = Iterator[tuple[int, Row]]


@dataclass
class Quick:
    """The network that frozen passes go through; made at the first one and kept as long as its weights are true.

    Attributes:
        examples: That will go through it in all: compiling has to pay.
        may_compile: Whether it may be compiled.
        exact: Nothing is done to the network, and each example goes alone.
        made: The quick copy; None = not yet made.
    """

    examples: int
    may_compile: bool = True
    exact: bool = False
    made: Optimised | None = None
    _model: Model | None = field(default=None, repr=False)

    def model(self, live: LiveFeed, batch: dict[str, Tensor]) -> Model:
        """The model that runs; `batch` is one of the pass, on the device."""
        if self.exact:
            return live.model
        if self.made is None or self._model is None:
            live.model.eval()
            with torch.no_grad():
                self.made = optimised(
                    live.model.backbone, batch, compute=live.compute, examples=self.examples, may_compile=self.may_compile
                )
            self._model = Model(self.made.backbone, live.model.head) if self.made.steps else live.model
        return self._model

    def arranged(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch as the quick copy wants it."""
        return batch if self.made is None else self.made.prepare_batch(batch)


@dataclass(frozen=True)
class Pass:
    """A way through the frozen stages for the examples of one split and view.

    Attributes:
        live: Prepares them.
        quick: Runs them.
        begin: Gives the values from which the pass goes on; None = from the input.
        view: Number of the augmented view; None = the plain one.
        among: Examples that are batched, though only some of them may be wanted: what a pass that was stopped left over
            goes through in the batches of that pass, as a sum depends on its batch in the last digits. None = those wanted.
    """

    live: LiveFeed
    quick: Quick
    begin: PrefixFeed | None = None
    view: int | None = None
    among: Sequence[int] | None = None

    def boundary(self, pattern: Pattern, wanted: Sequence[int]) -> Pairs:
        """Index and row of the wanted examples at a boundary; nothing above it runs."""
        for indices, batch in self._batches(wanted):
            model = self.quick.model(self.live, batch)
            with self._beginning(model, indices):
                rows = upto_boundary(self.live, model, pattern, indices, self._arranged(batch))
            self._tell(indices, pattern.prefix.stage)
            yield from self._only(wanted, zip(indices, rows, strict=True))

    def ports(self, ports: Sequence[str], wanted: Sequence[int]) -> Pairs:
        """Index and row of the wanted examples at the backbone's ports."""
        for indices, batch in self._batches(wanted):
            model = self.quick.model(self.live, batch)
            model.backbone.eval()
            with torch.no_grad(), self.live.compute.autocast(), self._beginning(model, indices):
                rows = unbatch(model(self._arranged(batch)), ports)
            if stages := self.live.model.stage_names:
                self._tell(indices, stages[-1])
            yield from self._only(wanted, zip(indices, ([row[port] for port in ports] for row in rows), strict=True))

    def _batches(self, wanted: Sequence[int]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        live, among = self.live, wanted if self.among is None else self.among
        groups = pass_batches([live.sizes[index] for index in among], live.compute)
        batches = [[index] for index in wanted] if live.exact else [[among[at] for at in group] for group in groups]
        asked = set(wanted)
        batches = [indices for indices in batches if not asked.isdisjoint(indices)]
        if self.begin is not None and self.begin.is_blind and (self.quick.made is not None or live.exact):
            yield from ((indices, self.begin.inputs(indices)) for indices in batches)
            return
        prepare = partial(live.prepare_cpu, epoch=self.view)
        for indices, batch in ahead(batches, prepare, workers=live.workers, name=live.named):
            yield indices, live.to_device(batch)

    def _only(self, wanted: Sequence[int], pairs: Iterable[tuple[int, Row]]) -> Pairs:
        asked = set(wanted) if self.among is not None else None
        return (pair for pair in pairs if asked is None or pair[0] in asked)

    def _arranged(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        is_blind = self.begin is not None and self.begin.is_blind
        return batch if is_blind else self.quick.arranged(batch)

    def _beginning(self, model: Model, indices: Sequence[int]) -> AbstractContextManager[None]:
        return nullcontext() if self.begin is None else self.begin.replaying(model, indices, self.view)

    def _tell(self, indices: Sequence[int], upto: str) -> None:
        after = None if self.begin is None else self.begin.stage
        self.live.tally.forward(self.live.units(indices), len(indices), after=after, upto=upto)
