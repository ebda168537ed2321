"""The course of a training: where it stands, from its first phase to its last; everything that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headstart.best import Best
from headstart.ema import Average
from headstart.errors import HeadstartError
from headstart.feeds import Feeds
from headstart.freezing import train_only
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import HEAD
from headstart.order import batch_count
from headstart.outlook import Ahead, look_ahead
from headstart.passage import Passage
from headstart.phases import Phase
from headstart.resume_folder import Saved
from headstart.schedule import factors, lengths
from headstart.step import make_optimizer

NOW, OVERALL = "now", "overall"


@dataclass
class Course:
    """One training.

    Attributes:
        training: The model, and how it trains.
        feeds: Where its features come from.
        phases: All of them.
        ledger: Open since the beginning.
        overall: The best weights of all phases so far.
        number: Of the phase that runs, or comes next.
        step: Optimiser steps of the phases that are over.
        passage: The phase that runs; None = between two.
    """

    training: Training
    feeds: Feeds
    phases: Sequence[Phase] = field(init=False)
    ledger: Ledger = field(init=False)
    overall: Best = field(default_factory=Best)
    number: int = 0
    step: int = 0
    passage: Passage | None = None
    _coming: Sequence[Ahead] = field(init=False)

    def __post_init__(self) -> None:
        model = self.training.model
        self.phases = list(self.training.strategy.phases(model))
        self.ledger = Ledger(model)
        self._coming = look_ahead(model, self.phases)

    @property
    def by_gradient(self) -> bool:
        """Whether there are steps at all: a head that learns in one go learns again where it was stopped."""
        return self.training.model.head.by_gradient

    @property
    def phase(self) -> Phase | None:
        """The one that runs or comes next; None = all are over."""
        return self.phases[self.number] if self.number < len(self.phases) else None

    def thaw(self, phase: Phase) -> Passage:
        """Let exactly the phase's parameters train, and make its optimiser."""
        training, model = self.training, self.training.model
        chosen = model.select(phase.groups)
        train_only(model, [name for group in chosen for name in group])
        examples = len(self.feeds.splits["train"])
        steps, epochs = lengths(phase, batch_count(examples, training.plan.batch_size))
        optimizer = make_optimizer(phase.groups, chosen, training.compute)
        average = Average(chosen, training.plan.ema)
        return Passage(phase, chosen, optimizer, average, Best(), self.step, factors(phase, steps), epochs)

    def look_on(self) -> None:
        """Tell the feeds what comes."""
        self.feeds.begin(self._coming[self.number :])

    def moved(self, passage: Passage) -> set[str]:
        """Stages that a phase trains."""
        owner = self.training.model.owner
        return {owner[name] for group in passage.chosen for name in group} - {HEAD}

    def trained(self) -> list[frozenset[str]]:
        """Stages that each phase trains."""
        return [ahead.trains for ahead in self._coming]

    def end_phase(self) -> None:
        """The next one comes."""
        self.number, self.passage = self.number + 1, None

    # saved and taken up

    def saved(self) -> Saved:
        """The whole of it; between two optimiser steps."""
        model, ledger = self.training.model, self.ledger
        state, weights = model.state(), model.weights()
        names = [name for name in state if name in ledger.touched or name not in weights]
        tensors: dict[str, Tensor] = {f"{NOW}.{name}": state[name] for name in names}
        tensors |= {f"{OVERALL}.{name}": tensor for name, tensor in self.overall.state.items()}
        facts: dict[str, Any] = {
            "number": self.number,
            "step": self.step,
            "overall": self.overall.as_json(),
            "ledger": ledger.as_json(),
            "feeds": self.feeds.as_json(),
            "passage": None if self.passage is None else self.passage.as_json(),
        }
        if self.passage is not None:
            tensors |= self.passage.tensors()
        return Saved(facts, tensors)

    def go_on(self, saved: Saved) -> None:
        """Take up what `saved` gave, in a model as it was before training.

        Raises:
            HeadstartError: The model is another one.
        """
        facts, model = saved.facts, self.training.model
        if facts["number"] > len(self.phases):
            raise HeadstartError(f"the checkpoint stands in phase {facts['number'] + 1}, the strategy has {len(self.phases)}")
        self.number, self.step = facts["number"], facts["step"]
        begun = self.number + (facts["passage"] is not None)
        for at, phase in enumerate(self.phases[:begun]):
            chosen = model.select(phase.groups)
            self.ledger.remember(chosen)
            if at < self.number:
                self.feeds.forget({model.owner[name] for group in chosen for name in group} - {HEAD})
        self._put_back(saved)
        self.ledger.go_on(facts["ledger"])
        device = self.training.compute.device
        state = {name.partition(".")[2]: tensor.to(device) for name, tensor in saved.tensors.items() if _is(name, OVERALL)}
        self.overall = Best(**facts["overall"], state=state)
        if facts["passage"] is not None:
            self.passage = self.thaw(self.phases[self.number])
            self.passage.go_on(facts["passage"], saved.tensors)
            self.look_on()
        self.feeds.go_on(facts["feeds"])

    def _put_back(self, saved: Saved) -> None:
        state = self.training.model.state()
        with torch.no_grad():
            for key, tensor in saved.tensors.items():
                name = key.partition(".")[2]
                if not _is(key, NOW):
                    continue
                if name not in state or state[name].shape != tensor.shape:
                    raise HeadstartError(f"the checkpoint holds '{name}', {tuple(tensor.shape)}, which this model has not")
                state[name].copy_(tensor)


def _is(key: str, prefix: str) -> bool:
    return key.startswith(f"{prefix}.")
