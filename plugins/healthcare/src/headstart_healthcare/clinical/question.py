"""One yes-or-no question (pneumonia or not), measured on the test part with what was settled on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart.example import Example
from headstart.intervals import Interval, bootstrap_weights, group_numbers
from headstart.ranking import Ranking
from headstart_healthcare.clinical.calibration import Platt, curve, quality
from headstart_healthcare.clinical.delong import area
from headstart_healthcare.clinical.net_benefit import net_benefit
from headstart_healthcare.clinical.operating_point import Table, sensitivity_at
from headstart_healthcare.clinical.subgroups import LEAST, cells_of, hidden, shown
from headstart_healthcare.clinical.sureness import risk_coverage

RESAMPLES = 2000
RESAMPLES_CROSSED = 500  # there are many crossed cells: 7 in place of 14 s for four subgroups of 624 pictures of 300 patients
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
        least: Examples of each class that a subgroup needs to be shown.
        pairs: Whether two subgroups are crossed, too.
    """

    examples: Sequence[Example]
    is_positive: np.ndarray
    raw: np.ndarray
    platt: Platt
    threshold: float
    least: int = LEAST
    pairs: bool = True

    @property
    def probability(self) -> np.ndarray:
        """Calibrated probability [N]."""
        return self.platt.apply(self.raw)

    def only(self, chosen: np.ndarray) -> Question:
        """The same question to some of the examples, by a mask [N]."""
        examples = [example for example, is_in in zip(self.examples, chosen, strict=True) if is_in]
        return replace(self, examples=examples, is_positive=self.is_positive[chosen], raw=self.raw[chosen])

    def measure(self, *, seed: int = 0) -> dict[str, Any]:
        """Every figure as plain JSON; what cannot be defined is None with a reason beside it, never a number."""
        if len(set(self.is_positive.tolist())) < 2:
            return {**self._counts(), "undefined": "n/a (only one class)"}
        return {
            **self._counts(),
            **self._figures(seed),
            "sensitivity_at_specificity": {
                f"{given:g}": _plain(sensitivity_at(self.is_positive, self.probability, given)) for given in SPECIFICITIES
            },
            "calibration": {
                "before": asdict(quality(self.is_positive, self.raw)),
                "after": asdict(quality(self.is_positive, self.probability)),
                "curve": curve(self.is_positive, self.probability),
            },
            "risk_coverage": risk_coverage(self.is_positive, self.probability, self.threshold),
            "net_benefit": net_benefit(self.is_positive, self.probability),
            **self._subgroups(seed),
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

    def _figures(self, seed: int, *, is_whole: bool = True, is_crossed: bool = False) -> dict[str, Any]:
        """AUROC with DeLong's interval, AUPRC by bootstrap, counts and shares at the threshold with Wilson's intervals; where
        one patient has several pictures, AUROC and shares by the patients' bootstrap too. A part has no AUPRC, and a crossed
        one no F1, as there are many of them.
        """
        ranking, has_patients = Ranking(self.is_positive, self.probability), group_numbers(self.examples) is not None
        found, table = area(self.is_positive, self.probability), Table.at(self.threshold, self.is_positive, self.probability)
        delong = None if found is None else Interval(found.value, found.low, found.high, len(self.examples), "DeLong")
        shares = table.shares()
        measures: dict[str, Weighted] = {} if is_crossed else {"f1": self._share("f1")}
        if is_whole:
            measures["auprc"] = ranking.average_precision
        if has_patients:
            measures.update({"auroc": ranking.auroc, **{name: self._share(name) for name in shares}})
        drawn = self._bootstraps(measures, seed, RESAMPLES_CROSSED if is_crossed else RESAMPLES)
        auroc = drawn["auroc"] if has_patients else delong
        at = {name: drawn[name] if has_patients and share else share for name, share in shares.items()}
        at |= {} if is_crossed else {"f1": drawn["f1"]}
        whole = {"auroc_delong": _plain(delong), "auprc": _plain(drawn["auprc"])} if is_whole else {}
        told = {"threshold": self.threshold, **asdict(table), **{name: _plain(share) for name, share in at.items()}}
        return {"auroc": _plain(auroc), **whole, "at_threshold": told}

    def _share(self, name: str, within: np.ndarray | None = None) -> Weighted:
        """A share at the threshold, of all examples or those within a mask [N]."""
        truth, called = self.is_positive.astype(bool), self.probability >= self.threshold
        tp, fp, fn, tn = truth & called, ~truth & called, truth & ~called, ~truth & ~called
        pairs = {"sensitivity": (tp, fn), "specificity": (tn, fp), "ppv": (tp, fp), "npv": (tn, fn), "f1": (2.0 * tp, fp | fn)}
        right, wrong = (np.asarray(part, dtype=float) * (1.0 if within is None else within) for part in pairs[name])

        def share(weights: np.ndarray | None) -> float | None:
            good, bad = (float(part.sum() if weights is None else weights @ part) for part in (right, wrong))
            return good / (good + bad) if good + bad else None

        return share

    def _bootstraps(self, measures: Mapping[str, Weighted], seed: int, resamples: int) -> dict[str, Interval | None]:
        """Percentiles of each measure over the same resampled patients, or examples where nobody has two."""
        groups, count = group_numbers(self.examples), len(self.examples)
        if not measures:
            return {}
        drawn: dict[str, list[float]] = {name: [] for name in measures}
        for weights in bootstrap_weights(count, groups, seed, resamples):
            for name, measure in measures.items():
                if (one := measure(weights)) is not None:
                    drawn[name].append(one)
        method = "bootstrap" if groups is None else f"bootstrap of {int(groups.max()) + 1} patients"
        found: dict[str, Interval | None] = {}
        for name, measure in measures.items():
            value = measure(None)
            is_defined = value is not None and len(drawn[name]) >= LEAST_DEFINED * resamples
            low, high = np.percentile(drawn[name], [TAIL, 100 - TAIL]) if is_defined else (0.0, 0.0)
            found[name] = Interval(value, float(low), float(high), count, method) if value is not None and is_defined else None
        return found

    def _gaps(self, shown: Mapping[str, np.ndarray], seed: int, resamples: int) -> dict[str, Any]:
        """How much more is missed, and falsely called, in the worst of the subgroups that are shown than in the best."""
        if len(shown) < 2:
            return {}
        ends: dict[str, dict[str, str]] = {}
        measures: dict[str, Weighted] = {}
        for rate, share in (("false_negative_rate", "sensitivity"), ("false_positive_rate", "specificity")):
            right = {value: self._share(share, chosen)(None) or 0.0 for value, chosen in shown.items()}
            worst, best = min(right, key=lambda value: right[value]), max(right, key=lambda value: right[value])
            ends[rate] = {"worst": worst, "best": best}
            measures[rate] = self._difference(share, shown[best], shown[worst])
        gaps = self._bootstraps(measures, seed, resamples)
        return {rate: {**pair, **(_plain(gaps[rate]) or {})} for rate, pair in ends.items()}

    def _difference(self, name: str, first: np.ndarray, second: np.ndarray) -> Weighted:
        shares = self._share(name, first), self._share(name, second)

        def difference(weights: np.ndarray | None) -> float | None:
            one, other = (share(weights) for share in shares)
            return None if one is None or other is None else one - other

        return difference

    def _subgroups(self, seed: int) -> dict[str, Any]:
        """Figures of every subgroup, and of every two crossed, whose cells are large enough; and how far they lie apart."""
        found: dict[str, Any] = {"subgroups": {}, "gaps": {}}
        for name, cells in cells_of(self.examples, pairs=self.pairs).items():
            kept = shown(cells, self.is_positive, self.least)
            found["subgroups"][name] = {
                value: self.only(cell.chosen)._part(seed, is_crossed=cell.is_crossed) if value in kept else hidden(self.least)
                for value, cell in cells.items()
            }
            resamples = RESAMPLES_CROSSED if any(cell.lines for cell in cells.values()) else RESAMPLES
            if gap := self._gaps({value: cells[value].chosen for value in kept}, seed, resamples):
                found["gaps"][name] = gap
        return found

    def _part(self, seed: int, *, is_crossed: bool) -> dict[str, Any]:
        return {**self._counts(), **self._figures(seed, is_whole=False, is_crossed=is_crossed)}


def _plain(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)
