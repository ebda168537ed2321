"""Training a model through all phases of its strategy, with the ledger open and nothing frozen computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.data import Data
from headstart.example import Example
from headstart.feed import Feed, LiveFeed, StoredFeed
from headstart.freezing import is_backbone_frozen, train_only
from headstart.head import Prediction
from headstart.ledger import Chosen, Ledger
from headstart.loop import Best, Training, predict, run_phase, validate
from headstart.phases import Phase


@dataclass
class Feeds:
    """One feed per split: stored while the backbone stays as it is, live when it trains.

    Attributes:
        passes: Examples sent through the backbone, by split.
    """

    training: Training
    data: Data
    splits: dict[str, Sequence[Example]]
    passes: dict[str, int] = field(default_factory=dict)
    _stored: dict[str, StoredFeed] = field(default_factory=dict)

    def get(self, split: str) -> Feed:
        """The feed of a split for the model as it stands and trains now."""
        if self.training.plan.store == "off" or not is_backbone_frozen(self.training.model):
            return self._live(split)
        if split not in self._stored:
            self.training.model.eval()
            ports = self.training.model.head.needs
            self._stored[split] = StoredFeed(self._live(split), ports, self.training.compute)
            self.training.tell("stored", split=split, examples=len(self.splits[split]), ports=list(ports))
        return self._stored[split]

    def forget(self) -> None:
        """Drop what was stored: the backbone changed."""
        self._stored.clear()

    def _live(self, split: str) -> LiveFeed:
        def count(examples: int) -> None:
            self.passes[split] = self.passes.get(split, 0) + examples

        training, plan = self.training, self.training.plan
        examples = self.splits[split]
        return LiveFeed(training.model, self.data, examples, training.compute, seed=plan.seed, exact=plan.exact, count=count)


def train(training: Training, feeds: Feeds) -> Ledger:
    """Carry out every phase; afterwards the model holds the best weights that validation saw in any of them.

    A phase goes on from the best epoch of the one before it, even where that phase made things worse: thawing often
    loses a little before it gains.

    Raises:
        FreezingError: A frozen tensor moved.
        TrainingError: The loss is not finite.
    """
    model, ledger, overall = training.model, Ledger(training.model), Best()
    model.head.settle([example.target for example in feeds.splits["train"]])
    step = 0
    for phase in training.strategy.phases(model):
        chosen, best = model.select(phase.groups), Best()
        train_only(model, [name for group in chosen for name in group])
        training.tell("phase", phase=phase.name, epochs=phase.epochs, trainable=_trainable(chosen), groups=len(chosen))
        ledger.open(phase, chosen)
        for kept in (best, overall):
            kept.watch(model, chosen)
        ledger.entries[-1].update(_carry_out(training, phase, chosen, feeds, best=best, step=step))
        ledger.prove(chosen)
        step += ledger.entries[-1]["steps"]
        if not is_backbone_frozen(model):
            feeds.forget()
        if model.head.by_gradient:
            best.restore(model)
            overall.consider(best.score, best.loss, phase.name, model)
    if model.head.by_gradient:
        overall.restore(model)
        ledger.kept = str(overall.where)
        if any(not entry["stored"] for entry in ledger.entries):
            feeds.forget()  # the backbone may be that of an earlier phase again
    train_only(model, ())
    return ledger


def answers(training: Training, feeds: Feeds, split: str) -> list[Prediction]:
    """Predictions of the trained model for a split; stored features are used where they are still true."""
    return predict(training.model, feeds.get(split))


def _carry_out(training: Training, phase: Phase, chosen: Chosen, feeds: Feeds, *, best: Best, step: int) -> dict[str, Any]:
    frozen = is_backbone_frozen(training.model)
    stored = list(training.model.head.needs) if frozen and training.plan.store != "off" else []
    train_feed, val_feed = feeds.get("train"), feeds.get("val") if feeds.splits["val"] else None
    if training.model.head.by_gradient:
        return {**run_phase(training, phase, chosen, (train_feed, val_feed), best=best, first_step=step), "stored": stored}
    return {**_fit_closed(training, phase, train_feed, val_feed, step), "stored": stored}


def _fit_closed(training: Training, phase: Phase, train_feed: Feed, val_feed: Feed | None, step: int) -> dict[str, Any]:
    """A head that learns in one go: all features at once, no steps, nothing to choose a best epoch from."""
    head = training.model.head
    head.fit(train_feed.batch(range(len(train_feed.examples))), [example.target for example in train_feed.examples])
    figures = validate(training, val_feed)
    training.tell(
        "epoch", phase=phase.name, epoch=1, epochs=1, step=step, seconds=0.0, train_loss=None, val=figures, lr={}, best=True
    )
    return {"start_step": step, "steps": 0, "epochs": 1, "best_epoch": 1, "schedule": []}


def _trainable(chosen: Chosen) -> int:
    return sum(weight.numel() for group in chosen for weight in group.values())
