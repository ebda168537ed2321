"""Sets: the labels that cannot be ruled out for an example, so that the true one is missed as rarely as was asked for.

Split conformal prediction for each class by itself (Vovk 2012, section 4: Mondrian; scores of Sadinle, Lei and Wasserman 2019).
For each class alone, since a set that is right for 95 of 100 patients may be wrong for all five who are sick. What is promised
holds where new examples are like those of validation, and on average over validation parts; the validation part also chose
the best epoch, and several pictures of one patient count as if they were of several, so read what was measured on the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from headstart.intervals import wilson

SET = "set"
"""Key of a prediction's details: the labels that cannot be ruled out."""


def least_probability(probability: np.ndarray, share: float) -> float:
    """Probability of a label from which on it is in the set, out of that of validation examples [N] that have the label.

    A further such example is below it with a chance of at most `share`. 0 where N is too small to promise that.
    """
    rank = int(np.floor((len(probability) + 1) * share))
    return float(np.sort(probability)[rank - 1]) if rank >= 1 else 0.0


def settle_sets(truth: Mapping[str, np.ndarray], probability: Mapping[str, np.ndarray], share: float) -> dict[str, Any]:
    """The least probability of each label; empty where no sets are asked for.

    Args:
        truth: Label -> whether a validation example has it [N].
        probability: Label -> its calibrated probability [N].
        share: Of the examples that have a label, that may lack it in their set.
    """
    if share <= 0:
        return {}
    least = {label: least_probability(probability[label][has.astype(bool)], share) for label, has in truth.items()}
    return {"share": share, "least": least}


def set_of(probabilities: Mapping[str, float], settled: Mapping[str, Any]) -> list[str]:
    """The labels that cannot be ruled out, in their order."""
    return [label for label, least in settled["least"].items() if probabilities[label] >= least]


def measure_sets(
    truth: Mapping[str, np.ndarray], probability: Mapping[str, np.ndarray], settled: Mapping[str, Any], sizes: Sequence[int]
) -> dict[str, Any]:
    """How often the set of examples that have a label holds it, with Wilson's interval; and how large the sets are.

    Args:
        truth: Label -> whether a test example has it [N].
        probability: Label -> its calibrated probability [N].
        settled: From `settle_sets`.
        sizes: Labels in the set of each test example.
    """
    covered: dict[str, Any] = {}
    for label, has in truth.items():
        inside = probability[label][has.astype(bool)] >= settled["least"][label]
        covered[label] = asdict(wilson(int(inside.sum()), len(inside))) if len(inside) else None
    counts = Counter(sizes)
    return {"share": settled["share"], "covered": covered, "sizes": {str(size): counts[size] for size in sorted(counts)}}
