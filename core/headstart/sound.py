"""Sound numbers: an input or target that is NaN or infinite is refused with its example before it spoils a weight. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import DataError
from headstart.example import Example, Target

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbone import Backbone

SHOWN = 5  # examples that a message names


def refuse_targets(examples: Sequence[Example], target: Target) -> None:
    """Where the targets are numbers: every one that is known is finite.

    Raises:
        DataError: Some are not; the first of them are named.
    """
    if target.kind != "number":
        return
    bad = [example for example in examples if example.target is not None and not _is_finite(example.target)]
    if bad:
        said = ", ".join(f"{example.id} ({example.target})" for example in bad[:SHOWN])
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise DataError(
            f"the target is no finite number in {len(bad):,} of {len(examples):,} examples: {said}{more}; correct them, or "
            "leave their target empty"
        )


def prepare_soundly(
    backbone: Backbone,
    inputs: Sequence[Any],
    examples: Sequence[Example],
    rngs: Sequence[np.random.Generator],
    *,
    train: bool,
) -> dict[str, Tensor]:
    """What the backbone prepares of a batch; where that fails, each example is tried alone to find the one that is at fault.

    Raises:
        DataError: An input cannot be prepared, or becomes NaN or infinite; it is named.
    """
    is_alone = len(inputs) == 1
    try:
        batch = backbone.prepare(inputs, train=train, rngs=rngs)
        if _is_sound(batch):
            return batch
        raise DataError("it holds NaN or infinite values; leave it out, or fill them in")
    except DataError as error:
        for input, example, rng in [] if is_alone else zip(inputs, examples, rngs, strict=True):
            prepare_soundly(backbone, [input], [example], [rng], train=train)
        names = ", ".join(example.id for example in examples)
        if str(error).startswith(f"{names}:"):
            raise
        raise DataError(f"{names}: {error}") from error


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _is_sound(batch: Mapping[str, Tensor]) -> bool:
    floats = (tensor for tensor in batch.values() if tensor.is_floating_point())
    # a sum is finite where every value is, unless it is too large; of 32 pictures it takes 2.5 ms on a core, `isfinite` 37
    return all(math.isfinite(float(tensor.sum())) or bool(tensor.isfinite().all()) for tensor in floats)
