"""One yes-or-no question (pneumonia or not), measured on the test part with what was settled on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headstart.example import Example
from headstart.intervals import Interval, bootstrap_weights, group_numbers
from headstart.ranking import Ranking
from headstart_healthcare.clinical.calibration import Platt, curve, quality
from headstart_healthcare.clinical.delong import area
from headstart_healthcare.clinical.net_benefit import net_benefit
from headstart_healthcare.clinical.operating_point import Table, sensitivity_at
from headstart_healthcare.clinical.subgroups import hidden, is_shown, members, subgroup_names

RESAMPLES = 2000
SPECIFICITIES = (0.8, 0.9, 0.95)
TAIL = 2.5  # per cent on each side of a 95 % interval
LEAST_DEFINED = 0.9  # of the resamples; below, an interval would be of the lucky ones

Weighted = Callable[[np.ndarray | None], float | None]


@dataclass(frozen=True)
class Question:
    """The examples whose answer is known.

    Attributes:
        examples: With groups (patients) and subgroups.
        is_positive: Truth [N].
        raw: Probability of the positive answer as the head gave it [N].
        platt: Calibration, settled on validation.
        threshold: Settled on validation, on calibrated probabilities.
    """

    examples: Sequence[Example]
    is_positive: np.ndarray
    raw: np.ndarray
    platt: Platt
    threshold: float

    @property
    def probability(self) -> np.ndarray:
        """Calibrated probability [N]."""
        return self.platt.apply(self.raw)

    def only(self, chosen: np.ndarray) -> Question:
        """The same question to some of the examples, by a mask [N]."""
        examples = [example for example, is_in in zip(self.examples, chosen, strict=True) if is_in]
        return Question(examples, self.is_positive[chosen], self.raw[chosen], self.platt, self.threshold)

    def measure(self, *, seed: int = 0) -> dict[str, Any]:
        """Every figure as plain JSON; what cannot be defined is None with a reason beside it, never a number."""
        if len(set(self.is_positive.tolist())) < 2:
            return {**self._counts(), "undefined": "n/a (only one class)"}
        return {
            **self._counts(),
            **self._ranking(seed),
            "at_threshold": self._at_threshold(seed),
            "sensitivity_at_specificity": {
                f"{given:g}": _plain(sensitivity_at(self.is_positive, self.probability, given)) for given in SPECIFICITIES
            },
            "calibration": {
                "before": asdict(quality(self.is_positive, self.raw)),
                "after": asdict(quality(self.is_positive, self.probability)),
                "curve": curve(self.is_positive, self.probability),
            },
            "net_benefit": net_benefit(self.is_positive, self.probability),
            "subgroups": {name: self._subgroup(name, seed) for name in subgroup_names(self.examples)},
        }

    def _counts(self) -> dict[str, Any]:
        groups = {example.group for example in self.examples if example.group is not None}
        positives = int(self.is_positive.sum())
        count = len(self.examples)
        return {
            "n": count,
            "patients": len(groups) or None,
            "positives": positives,
            "prevalence": positives / count if count else None,
        }

    def _ranking(self, seed: int) -> dict[str, Any]:
        """AUROC with DeLong's interval, or with the patients' bootstrap where one patient has several; AUPRC by bootstrap."""
        ranking, found = Ranking(self.is_positive, self.probability), area(self.is_positive, self.probability)
        groups = group_numbers(self.examples)
        by_bootstrap = self._bootstrap(ranking.auroc, seed)
        delong = None if found is None else Interval(found.value, found.low, found.high, len(self.examples), "DeLong")
        return {
            "auroc": _plain(delong if groups is None else by_bootstrap),
            "auroc_delong": _plain(delong),
            "auprc": _plain(self._bootstrap(ranking.average_precision, seed)),
        }

    def _at_threshold(self, seed: int) -> dict[str, Any]:
        """Counts and shares; Wilson's intervals, or the patients' bootstrap where one patient has several pictures."""
        table = Table.at(self.threshold, self.is_positive, self.probability)
        shares = table.shares()
        if group_numbers(self.examples) is not None:
            shares = {name: self._bootstrap(self._share(name), seed) if share else None for name, share in shares.items()}
        return {"threshold": self.threshold, **asdict(table), **{name: _plain(share) for name, share in shares.items()}}

    def _share(self, name: str) -> Weighted:
        truth, called = self.is_positive.astype(bool), self.probability >= self.threshold
        of, right = {
            "sensitivity": (truth, called),
            "specificity": (~truth, ~called),
            "ppv": (called, truth),
            "npv": (~called, ~truth),
        }[name]

        def share(weights: np.ndarray | None) -> float | None:
            weight = np.ones(len(truth)) if weights is None else weights
            total = float(weight[of].sum())
            return float(weight[of & right].sum()) / total if total else None

        return share

    def _bootstrap(self, measure: Weighted, seed: int) -> Interval | None:
        """Percentiles over resampled patients, or examples where nobody has two."""
        value, groups = measure(None), group_numbers(self.examples)
        drawn = [measure(weights) for weights in bootstrap_weights(len(self.examples), groups, seed, RESAMPLES)]
        defined = [one for one in drawn if one is not None]
        if value is None or len(defined) < LEAST_DEFINED * RESAMPLES:
            return None
        low, high = np.percentile(defined, [TAIL, 100 - TAIL])
        method = "bootstrap" if groups is None else f"bootstrap of {int(groups.max()) + 1} patients"
        return Interval(value, float(low), float(high), len(self.examples), method)

    def _subgroup(self, name: str, seed: int) -> dict[str, Any]:
        found = {}
        for value, chosen in members(self.examples, name).items():
            part = self.only(chosen)
            if not is_shown(part.is_positive):
                found[value] = hidden(part.is_positive)
                continue
            found[value] = {**part._counts(), "auroc": part._ranking(seed)["auroc"], "at_threshold": part._at_threshold(seed)}
        return found


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)
