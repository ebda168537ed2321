"""Looking: what an evaluation wants to know of inputs beside predictions: features untouched by training, and distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from headstart.ahead import default_workers
from headstart.evaluating import Evaluating
from headstart.example import Example
from headstart.familiar import MOST, Familiar, joined, learn, sample, vectors_of
from headstart.feed import Feed, LiveFeed, pass_batches
from headstart.feeds import Feeds
from headstart.freezing import train_only
from headstart.head import Prediction
from headstart.loop import Training
from headstart.model import HEAD, Model
from headstart.spread import Asking, with_spread
from headstart.training import answers

MOST_LOOKED = {"train": 600, "val": 300, "test": 300}
"""Examples of each split whose untouched features are looked at: enough to see a shift, less than a tenth of an epoch."""

MOST_LIVE = 1000  # training examples that are computed anew for `familiar_of`; stored ones cost nothing

Traits = Callable[[Any], Mapping[str, float]]
Looked = tuple[np.ndarray, Sequence[Example]]
"""Vectors [N, C] of some examples, and these."""


@dataclass(frozen=True)
class Onlooker:
    """Stands beside one round of training for the evaluations that want to know more than predictions.

    Attributes:
        evaluations: None, or ones that do not look = nothing is done but predicting.
        is_final: Of the round whose model is kept; the others are not looked at.
    """

    evaluations: Evaluating | None
    training: Training
    feeds: Feeds
    is_final: bool

    @property
    def looks(self) -> bool:
        """Whether there is anything to look at, and anybody who wants to."""
        return self.evaluations is not None and self.evaluations.looks and bool(self.feeds.splits["train"])

    def before(self) -> None:
        """Before training: the features that it will change."""
        if self.looks and self.is_final and trains_backbone(self.training):
            self._look(is_frozen=False)

    def after(self) -> None:
        """After training: what is familiar to the model; and the features, where they were stored anyway."""
        if self.evaluations is None or not self.looks:
            return
        is_frozen = not trains_backbone(self.training)
        self.evaluations.familiar = familiar_of(self.training, self.feeds, is_frozen=is_frozen)
        if is_frozen and self.is_final:
            self._look(is_frozen=True)

    def answers(self, split: str) -> list[Prediction]:
        """Predictions of the trained model for a split, with what the evaluations asked for."""
        if self.evaluations is None or not self.looks:
            return answers(self.training, self.feeds, split)
        with self.feeds.tally.timing():
            feed = self.feeds.get(split)
            found = predictions_with(self.training.model, feed, self.evaluations.familiar, self.evaluations.traits)
            return with_spread(found, feed.examples, self.evaluations.views, self._asking) if self.is_final else found

    @property
    def _asking(self) -> Asking:
        training = self.training
        return Asking(training.model, self.feeds.data, training.compute, training.plan.exact, self.feeds.tally)

    def _look(self, *, is_frozen: bool) -> None:
        if self.evaluations is not None and self.feeds.splits["val"] and self.feeds.splits["test"]:
            self.evaluations.look(look(self.training, self.feeds, is_frozen=is_frozen))


def trains_backbone(training: Training) -> bool:
    """Whether some phase trains something of the backbone."""
    model = training.model
    chosen = (model.select(phase.groups) for phase in training.strategy.phases(model))
    return any(model.owner[name] != HEAD for groups in chosen for group in groups for name in group)


def look(training: Training, feeds: Feeds, *, is_frozen: bool) -> dict[str, Looked]:
    """Features of some examples of each split as the backbone gives them now; empty where the head reads no vectors.

    Args:
        is_frozen: Nothing of the backbone trains in any phase, so that stored features may be read.
    """
    found = {}
    for split in feeds.splits:
        seen = _seen(training, feeds, split, MOST_LOOKED[split], is_stored=is_frozen)
        if seen is None:
            return {}
        found[split] = seen
    return found


def familiar_of(training: Training, feeds: Feeds, *, is_frozen: bool) -> Familiar | None:
    """What the features of the training examples, without augmentation, look like to the trained model."""
    is_stored = is_frozen and not feeds.data.augments
    seen = _seen(training, feeds, "train", MOST if is_stored else MOST_LIVE, is_stored=is_frozen)
    return None if seen is None else learn(seen[0])


def predictions_with(model: Model, feed: Feed, familiar: Familiar | None, traits: Traits | None = None) -> list[Prediction]:
    """Predictions of all examples of a feed, with `distance` and `traits` among their details where they can be told."""
    found: dict[int, Prediction] = {}
    model.eval()
    with torch.no_grad():
        batches = pass_batches(feed.sizes, feed.compute)
        feed.expect(batches)
        for indices in batches:
            features = feed.batch(indices)
            vectors = vectors_of(features, model.head.stored_ports[0]) if familiar else None
            distances = familiar.distance(vectors) if familiar and vectors is not None else [None] * len(indices)
            for index, prediction, distance in zip(indices, model.head.predict(features), distances, strict=True):
                found[index] = _with(prediction, distance, traits(feed.examples[index].input) if traits else {})
    return [found[index] for index in range(len(feed.examples))]


def _with(prediction: Prediction, distance: float | None, traits: Mapping[str, float]) -> Prediction:
    told: dict[str, Any] = {} if distance is None else {"distance": round(float(distance), 4)}
    if traits:
        told["traits"] = dict(traits)
    return replace(prediction, details={**prediction.details, **told}) if told else prediction


def _seen(training: Training, feeds: Feeds, split: str, most: int, *, is_stored: bool) -> Looked | None:
    """At most so many examples of a split; augmented views are stored for training, so plain ones are computed anew."""
    examples = feeds.splits[split]
    chosen = sample(len(examples), most)
    if not chosen:
        return None
    if is_stored and not (split == "train" and feeds.data.augments):
        vectors = _vectors(feeds.get(split), training.model, chosen)
        return None if vectors is None else (vectors, [examples[index] for index in chosen])
    train_only(training.model, ())
    some, plan = [examples[index] for index in chosen], training.plan
    workers = default_workers() if plan.workers is None else plan.workers
    live = LiveFeed(training.model, feeds.data, some, training.compute, workers=workers, tally=feeds.tally)
    vectors = _vectors(live, training.model)
    return None if vectors is None else (vectors, some)


def _vectors(feed: Feed, model: Model, chosen: Sequence[int] | None = None) -> np.ndarray | None:
    """Vectors [N, C] of the chosen examples of a feed, in their order."""
    wanted = list(range(len(feed.examples))) if chosen is None else list(chosen)
    port = model.head.stored_ports[0]
    model.eval()
    with torch.no_grad():
        sizes = [feed.sizes[index] for index in wanted]
        batches = [[wanted[at] for at in batch] for batch in pass_batches(sizes, feed.compute)]
        feed.expect(batches)
        parts = [vectors_of(feed.batch(batch), port) for batch in batches]
    together, order = joined(parts), [index for batch in batches for index in batch]
    place = {index: at for at, index in enumerate(wanted)}
    return None if together is None else together[np.argsort([place[index] for index in order])]
