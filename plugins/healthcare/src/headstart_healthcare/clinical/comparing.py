"""Comparing two runs on the same patients: DeLong's paired test for every question, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from headstart.example import Target
from headstart.predictions import SavedOutcome
from headstart_healthcare.clinical.delong import difference

LEVEL = 0.05
METHOD = "DeLong, paired; takes examples as independent"


def compare_areas(
    first: SavedOutcome, second: SavedOutcome, target: Target, measured: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, Any]:
    """First minus second AUROC of each question, over the examples of which the truth is known.

    Runs of older versions did not save of which it is not; there a finding that is not known of all has no test.

    Args:
        first: Calibrated predictions; calibration keeps their order, so that the area is that of the head.
        second: Of the other run, for the same examples in the same order.
        target: Of both runs.
        measured: Clinical figures on the test part of each.
    """
    found: dict[str, Any] = {}
    for label in _labels(target):
        kept = [i for i, example in enumerate(first.examples) if label not in example.meta.get("unknown", ())]
        known = [(one.get("questions") or {}).get(label, {}).get("n") for one in measured]
        if target.kind == "labels" and any(n is not None and n < len(kept) for n in known):
            found[label] = {"undefined": "n/a (unknown for some examples, and saved predictions do not say for which)"}
            continue
        truth = np.array([_has(value, label) for value in first.targets], dtype=int)
        gap = difference(truth[kept], _scores(first, label)[kept], _scores(second, label)[kept])
        found[label] = (
            {"undefined": "n/a (only one class)"}
            if gap is None
            else {**asdict(gap), "method": "DeLong, paired; takes examples as independent"}
        )
    return _corrected(found)


def lines(found: Mapping[str, Any]) -> list[str]:
    """For a terminal."""
    told = []
    for label, one in found.items():
        if "undefined" in one:
            told.append(f"AUROC of {label}: {one['undefined']}")
            continue
        holm = f", {one['holm']:.3g} by Holm" if one["holm"] != one["p"] else ""
        ends = f"{one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"
        within = f"; equivalent within a margin of {one['within']:.4f} or more" if "within" in one else ""
        told.append(f"AUROC of {label}, DeLong's paired test: first minus second {ends}, p = {one['p']:.3g}{holm}{within}")
    return told


def holm(values: Sequence[float]) -> list[float]:
    """P values corrected for their number, in their order (Holm 1979)."""
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate([(len(values) - rank) * values[at] for rank, at in enumerate(order)])
    found = np.empty(len(values))
    found[order] = np.minimum(raised, 1.0)
    return [float(value) for value in found]


def _corrected(found: dict[str, Any]) -> dict[str, Any]:
    tested = [label for label, one in found.items() if "p" in one]
    for label, value in zip(tested, holm([found[label]["p"] for label in tested]), strict=True):
        found[label] |= {"holm": value, "differs": value < LEVEL}
    return found


def _labels(target: Target) -> Sequence[str]:
    if target.kind == "class" and len(target.labels) == 2:
        return (str(target.positive or target.labels[-1]),)
    return target.labels


def _has(value: Any, label: str) -> bool:
    return label in value if isinstance(value, (tuple, list, set, frozenset)) else bool(value == label)


def _scores(outcome: SavedOutcome, label: str) -> np.ndarray:
    return np.array([(prediction.probabilities or {})[label] for prediction in outcome.predictions], dtype=float)
