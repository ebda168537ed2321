"""Mixing: training examples in pairs, the loss in the same shares; mixup (Zhang et al. 2018), cutmix (Yun et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.errors import UsageError
from headstart.features import Features
from headstart.feed import Feed, LiveFeed
from headstart.freezing import is_backbone_frozen
from headstart.head import Head
from headstart.order import seed_of
from headstart.recipe import TrainPlan

SPATIAL = 4  # dimensions that a tensor has at least where places can be mixed: [batch, channels, height, width]
ALPHA = {"mixup": 0.2, "cutmix": 1.0}  # of ImageNet in both papers


@dataclass(frozen=True)
class Pairing:
    """How one batch is mixed.

    Attributes:
        partners: For each example the place in the batch of the one that is mixed into it.
        share: Of each example's own target in the loss, in [0, 1]; its partner has the rest.
        box: The places that come from the partner, one slice per dimension behind batch and channels; None = every place is
            blended by `share`.
    """

    partners: tuple[int, ...]
    share: float
    box: tuple[slice, ...] | None = None

    def mixed(self, values: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape, each example with its partner."""
        others = values[list(self.partners)]
        if self.box is None:
            return others.mul(1 - self.share).add(values.mul(self.share))
        result, where = values.clone(), (..., *self.box)
        result[where] = others[where]  # type: ignore[index]  # a tuple of slices behind an ellipsis
        return result


def pairing(how: str, ids: Sequence[str], shape: Sequence[int], *, seed: int, epoch: int, alpha: float | None) -> Pairing:
    """The pairing of a batch: a function of the seed, the epoch and the examples in it, and of nothing else.

    Args:
        how: "mixup" or "cutmix".
        ids: Of the batch's examples, in order.
        shape: Sizes of the prepared tensor behind batch and channels: (height, width), (depth, height, width).
        seed: Of the training.
        epoch: Of the phase.
        alpha: Of the beta distribution of the share; None = that of the papers.
    """
    generator = np.random.default_rng(seed_of("mix", seed, epoch, *ids))
    partners = tuple(generator.permutation(len(ids)).tolist())
    share = float(generator.beta(alpha or ALPHA[how], alpha or ALPHA[how]))
    if how == "mixup":
        return Pairing(partners, share)
    centre = [int(generator.integers(size)) for size in shape]
    box = box_of(share, centre, shape)
    taken = np.prod([part.stop - part.start for part in box]) / np.prod(shape)
    return Pairing(partners, float(1 - taken), box)


def box_of(share: float, centre: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The box around `centre` that takes 1 - share of the places, cut off at the borders; algorithm 1 of the cutmix paper."""
    half = 0.5 * (1 - share) ** (1 / len(shape))
    return tuple(
        slice(max(0, at - int(half * size)), min(size, at + int(half * size))) for at, size in zip(centre, shape, strict=True)
    )


def spatial(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a prepared batch whose places can be mixed: pictures [B, C, H, W], volumes [B, C, D, H, W]."""
    return {name: value for name, value in batch.items() if value.is_floating_point() and value.ndim >= SPATIAL}


class MixedFeed:
    """A live feed whose training batches are mixed after they are prepared; others are as they were.

    Attributes:
        last: How the last batch was mixed; None = it was not.
    """

    def __init__(self, live: LiveFeed, plan: TrainPlan) -> None:
        self._live, self._plan = live, plan
        self.examples, self.sizes, self.compute = live.examples, live.sizes, live.compute
        self.last: Pairing | None = None

    def batch(self, indices: Sequence[int], *, epoch: int | None = None) -> Features:
        """Features of the examples, mixed in training.

        Raises:
            UsageError: The backbone prepares nothing that has places.
        """
        self.last = None
        if epoch is None:
            return self._live.batch(indices)
        prepared = self._mixed(self._live.prepare(indices, epoch=epoch), indices, epoch)
        with torch.set_grad_enabled(not is_backbone_frozen(self._live.model)):
            return self._live.run(prepared, indices, epoch=epoch)

    def expect(self, batches: Sequence[Sequence[int]], *, epoch: int | None = None) -> None:
        """They are prepared ahead as they are; mixed when they are asked for."""
        self._live.expect(batches, epoch=epoch)

    def _mixed(self, batch: Mapping[str, Tensor], indices: Sequence[int], epoch: int) -> dict[str, Tensor]:
        values = spatial(batch)
        if not values:
            raise UsageError(
                f"train.mix is '{self._plan.mix}', which mixes pictures and volumes, but this backbone prepares "
                f"{', '.join(batch)} and nothing with places; write mix: none"
            )
        ids = [self.examples[index].id for index in indices]
        shape = next(iter(values.values())).shape[2:]
        self.last = pairing(self._plan.mix, ids, shape, seed=self._plan.seed, epoch=epoch, alpha=self._plan.mix_alpha)
        return {**batch, **{name: self.last.mixed(value) for name, value in values.items()}}


def losses_of(head: Head, features: Features, targets: Sequence[Any], feed: Feed) -> dict[str, Tensor]:
    """The head's losses on a batch of a feed; where it was mixed, in the shares of both targets."""
    own = head.loss(features, targets)
    mix = feed.last if isinstance(feed, MixedFeed) else None
    if mix is None:
        return own
    others = head.loss(features, [targets[partner] for partner in mix.partners])
    return {name: mix.share * loss + (1 - mix.share) * others[name] for name, loss in own.items()}
