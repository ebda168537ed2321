"""Training a model through all phases of its strategy, with the ledger open and nothing frozen computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.data import Data
from headstart.errors import UsageError
from headstart.example import Example
from headstart.feed import Feed, LiveFeed, StoredFeed
from headstart.freezing import is_backbone_frozen, train_only, trains_batchnorm
from headstart.head import Prediction
from headstart.ledger import Chosen, Ledger
from headstart.loop import Best, Training, predict, run_phase, validate
from headstart.model import HEAD
from headstart.phases import Phase
from headstart.prefix import frozen_prefix
from headstart.prefix_feed import PrefixFeed, store_prefix


@dataclass
class Feeds:
    """One feed per split: what stays frozen is computed once and kept, what trains runs live.

    Attributes:
        passes: Examples sent through the backbone, by split.
    """

    training: Training
    data: Data
    splits: dict[str, Sequence[Example]]
    passes: dict[str, int] = field(default_factory=dict)
    _stored: dict[tuple[str, str], StoredFeed | PrefixFeed] = field(default_factory=dict)

    def get(self, split: str) -> Feed:
        """The feed of a split for the model as it stands and trains now."""
        if self.training.plan.store == "off":
            return self._live(split)
        key = (split, self._boundary())
        if key not in self._stored:
            stored = self._store_ports(split) if is_backbone_frozen(self.training.model) else self._store_prefix(split)
            if stored is None:
                return self._live(split)
            self._stored[key] = stored
        return self._stored[key]

    def stored(self, split: str) -> list[str]:
        """What is stored of a split now: the head's ports, the stage after which values are replayed, or nothing."""
        feed = self._stored.get((split, self._boundary()))
        if feed is None:
            return []
        return [feed.stage] if isinstance(feed, PrefixFeed) else list(self.training.model.head.needs)

    def _boundary(self) -> str:
        """The stage up to which nothing trains: "" = not even the first."""
        if is_backbone_frozen(self.training.model):
            return HEAD
        prefix = frozen_prefix(self.training.model)
        return prefix.stage if prefix else ""

    def _store_ports(self, split: str) -> StoredFeed:
        self.training.model.eval()
        ports = self.training.model.head.needs
        feed = StoredFeed(self._live(split), ports, self.training.compute)
        self.training.tell("stored", split=split, examples=len(self.splits[split]), ports=list(ports))
        return feed

    def _store_prefix(self, split: str) -> PrefixFeed | None:
        """The frozen stages below what trains, computed once; None where there are none or they cannot be replayed."""
        prefix = frozen_prefix(self.training.model)
        if prefix is None or not self.splits[split] or (split == "train" and augments(self.data)):
            return None
        found = store_prefix(self._live(split), prefix)
        if isinstance(found, str):
            self.training.tell("live", split=split, after=prefix.stage, why=found)
            return None
        self.training.tell(
            "stored", split=split, examples=len(self.splits[split]), after=prefix.stage, megabytes=found.megabytes
        )
        return found

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
        UsageError: A BatchNorm trains on batches of one example.
        FreezingError: A frozen tensor moved.
        TrainingError: The loss is not finite.
    """
    model, ledger, overall = training.model, Ledger(training.model), Best()
    model.head.settle([example.target for example in feeds.splits["train"]])
    step = 0
    for phase in training.strategy.phases(model):
        chosen, best = model.select(phase.groups), Best()
        train_only(model, [name for group in chosen for name in group])
        check_batches(training, phase)
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
        if any(entry["drift"][stage] for entry in ledger.entries for stage in model.stage_names):
            feeds.forget()  # the backbone may be that of an earlier phase again
    train_only(model, ())
    return ledger


def check_batches(training: Training, phase: Phase) -> None:
    """Torch stops at a single example with an error that names no option, or learns statistics of nothing.

    Raises:
        UsageError: A BatchNorm trains on single examples.
    """
    plan = training.plan
    name = "batch_size" if plan.batch_size < 2 else "micro_batch"
    if (plan.batch_size < 2 or plan.micro_batch == 1) and trains_batchnorm(training.model):
        raise UsageError(
            f"train.{name} is 1; it must be at least 2, as a BatchNorm trains in phase '{phase.name}' and takes its mean and "
            "variance over a batch"
        )


def answers(training: Training, feeds: Feeds, split: str) -> list[Prediction]:
    """Predictions of the trained model for a split; stored features are used where they are still true."""
    return predict(training.model, feeds.get(split))


def _carry_out(training: Training, phase: Phase, chosen: Chosen, feeds: Feeds, *, best: Best, step: int) -> dict[str, Any]:
    train_feed, val_feed = feeds.get("train"), feeds.get("val") if feeds.splits["val"] else None
    stored = feeds.stored("train")
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


def augments(data: Data) -> bool:
    """Whether training views differ from epoch to epoch; then what comes before the boundary differs too."""
    return type(data).augment is not Data.augment


def _trainable(chosen: Chosen) -> int:
    return sum(weight.numel() for group in chosen for weight in group.values())
