"""Abstention: when a model should not answer, settled on validation: unlike training, unsteady, disputed, or no such input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.head import Prediction

LEAST = 20  # validation examples below which no limit can be told
MARGIN = 0.5  # of the range seen in validation, on either side, that is still taken for usual
ABSTAIN = "abstain"
"""Key of a prediction's details: why the model should not be asked, one sentence each."""

TRAITS: Mapping[str, tuple[str, str]] = {
    "brightness": ("darker on average", "brighter on average"),
    "contrast": ("of less contrast", "of more contrast"),
    "proportion": ("narrower", "wider"),
}
"""Trait of a picture -> what it is below and above the usual range."""


def traits_of(input: Any) -> dict[str, float]:
    """What a picture is like before any network sees it; nothing of inputs without `pixels`."""
    if not callable(getattr(input, "pixels", None)):
        return {}
    pixels = np.asarray(input.pixels())
    values = pixels.astype(np.float32) / (255 if pixels.dtype == np.uint8 else 1)
    height, width = pixels.shape[:2]
    return {
        "colour": float(pixels.ndim == 3 and bool((np.ptp(pixels, axis=2) > 0).any())),
        "brightness": round(float(values.mean()), 4),
        "contrast": round(float(values.std()), 4),
        "proportion": round(width / height, 4),
        "side": float(min(height, width)),
    }


def settle_abstention(predictions: Sequence[Prediction], share: float) -> dict[str, Any]:
    """Limits out of the validation part's predictions; empty where there are too few.

    Args:
        predictions: With `distance`, `spread`, `traits` and, of several runs together, `disagreement` among their details.
        share: Of the validation part that is further from the training examples than the limit, of that whose answers
            to slight changes of the input lie further apart, and of that about which the runs disagree more.
    """
    if len(predictions) < LEAST or share <= 0:
        return {}
    distances = [p.details["distance"] for p in predictions if "distance" in p.details]
    found: dict[str, Any] = {"distance": float(np.quantile(distances, 1 - share))} if distances else {}
    for name in ("spread", "disagreement"):
        if values := [p.details[name] for p in predictions if name in p.details]:
            found[name] = float(np.quantile(values, 1 - share))
    traits = [p.details["traits"] for p in predictions if p.details.get("traits")]
    if traits:
        found["colour"] = bool(max(one["colour"] for one in traits))
        found["side"] = min(one["side"] for one in traits) / 2  # pictures half as large show half as much
        found["usual"] = {name: _range([one[name] for one in traits]) for name in TRAITS}
    return found


def reasons(prediction: Prediction, limits: Mapping[str, Any]) -> list[str]:
    """Why the model should not be asked about this example; empty = it may."""
    details, found = prediction.details, []
    distance, limit = details.get("distance"), limits.get("distance")
    if distance is not None and limit is not None and distance > limit:
        found.append(f"it is unlike the training examples (distance {distance:.2f}, usual up to {limit:.2f})")
    spread, most = details.get("spread"), limits.get("spread")
    if spread is not None and most is not None and spread > most:
        found.append(f"its answer hangs on slight changes of the input (probability +- {spread:.2f}, usual up to {most:.2f})")
    apart, widest = details.get("disagreement"), limits.get("disagreement")
    if apart is not None and widest is not None and apart > widest:
        found.append(f"the runs disagree about it (probability +- {apart:.2f}, usual up to {widest:.2f})")
    traits = details.get("traits")
    if traits and "usual" in limits:
        found += _unusual(traits, limits)
    return found


def abstaining(predictions: Sequence[Prediction], limits: Mapping[str, Any]) -> dict[str, Any]:
    """How many examples it would not answer, and why, by kind of reason."""
    every = [reasons(prediction, limits) for prediction in predictions]
    kinds = Counter(_kind(reason) for found in every for reason in found)
    count = sum(bool(found) for found in every)
    return {"n": len(every), "abstained": count, "share": count / len(every) if every else 0.0, "reasons": dict(kinds)}


def _kind(reason: str) -> str:
    kinds = {"unlike the training": "unlike training", "hangs on": "unsteady answer", "disagree": "disputed answer"}
    return next((kind for words, kind in kinds.items() if words in reason), "unusual input")


def _unusual(traits: Mapping[str, float], limits: Mapping[str, Any]) -> list[str]:
    found = []
    if traits["colour"] and not limits["colour"]:
        found.append("it is a colour picture; validation had grey ones only")
    if traits["side"] < limits["side"]:
        found.append(f"its shorter side has {traits['side']:.0f} pixels, less than half of the smallest in validation")
    for name, (below, above) in TRAITS.items():
        low, high = limits["usual"][name]
        if traits[name] < low:
            found.append(f"it is {below} than anything in validation ({traits[name]:.2f}, usual from {low:.2f})")
        if traits[name] > high:
            found.append(f"it is {above} than anything in validation ({traits[name]:.2f}, usual up to {high:.2f})")
    return found


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return low - MARGIN * (high - low) - 1e-6, high + MARGIN * (high - low) + 1e-6
