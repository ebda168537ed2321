"""ROC and precision-recall curves, with a bootstrap band for two classes and one line per label for more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from headstart.intervals import bootstrap_weights
from headstart.ranking import Ranking
from headstart.report import words
from headstart.report.charts import Spec, finished, thinned, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN

MOST_LINES = 8  # as many colours as can be told apart
MOST_POINTS = 300
RESAMPLES = 300
GRID = np.linspace(0, 1, 51)

Curve = Callable[[Ranking, "np.ndarray | None"], tuple[np.ndarray, np.ndarray]]


def roc(evidence: Evidence) -> Figure | None:
    """True against false positive rate."""
    rankings = _rankings(evidence)
    if not rankings:
        return None
    lines = _lines(rankings, _roc_curve, ("false positive rate", "true positive rate"))
    band = _band(evidence, rankings, _roc_curve)
    areas = {label: ranking.auroc() or 0.0 for label, ranking in rankings.items()}
    chart = _chart(lines, band, ("false positive rate", "true positive rate"), diagonal=True)
    return Figure("roc", "ROC curve", _roc_sentence(evidence, areas), [*lines, *_band_rows(band)], (chart,))


def precision_recall(evidence: Evidence) -> Figure | None:
    """Precision against recall."""
    rankings = _rankings(evidence)
    if not rankings:
        return None
    lines = _lines(rankings, _pr_curve, ("recall", "precision"))
    band = _band(evidence, rankings, _pr_curve)
    chart = _chart(lines, band, ("recall", "precision"), diagonal=False)
    rows = [*lines, *_band_rows(band)]
    return Figure("precision-recall", "Precision and recall", _pr_sentence(evidence, rankings), rows, (chart,))


def _rankings(evidence: Evidence) -> dict[str, Ranking]:
    """One question per label that the test holds and lacks; for two labels only that of the positive one."""
    probabilities = evidence.probabilities
    if probabilities is None or not evidence.are_labels_predicted:
        return {}
    labels = [evidence.positive] if len(evidence.labels) == 2 else evidence.labels
    columns = {label: evidence.labels.index(label) for label in labels}
    counts = np.bincount(evidence.truth, minlength=len(evidence.labels))
    usable = [label for label in labels if 0 < counts[columns[label]] < len(evidence.truth)]
    found = {label: Ranking(evidence.truth == columns[label], probabilities[:, columns[label]]) for label in usable}
    hardest = sorted(found, key=lambda label: found[label].auroc() or 0.0)[:MOST_LINES]
    return {label: ranking for label, ranking in found.items() if label in hardest}


def _roc_curve(ranking: Ranking, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    return ranking.roc(weights)


def _pr_curve(ranking: Ranking, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    recall, precision = ranking.precision_recall(weights)
    return np.append(0.0, recall), np.append(precision[:1], precision)


def _lines(rankings: dict[str, Ranking], curve: Curve, names: tuple[str, str]) -> list[dict[str, Any]]:
    rows = []
    for label, ranking in rankings.items():
        x, y = _corners(*curve(ranking, None))
        rows += [
            {"label": label, names[0]: round(float(x[i]), 4), names[1]: round(float(y[i]), 4)}
            for i in thinned(len(x), MOST_POINTS)
        ]
    return rows


def _corners(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the points that lie on a straight horizontal or vertical run."""
    inner = [i for i in range(1, len(x) - 1) if not (x[i - 1] == x[i] == x[i + 1] or y[i - 1] == y[i] == y[i + 1])]
    keep = [0, *inner, len(x) - 1]
    return x[keep], y[keep]


def _band(evidence: Evidence, rankings: dict[str, Ranking], curve: Curve) -> dict[str, np.ndarray]:
    """95 % band of the curve's height over a grid of x, by bootstrap of examples or groups; only for a single curve."""
    if len(rankings) != 1 or len(evidence.labels) != 2:
        return {}
    ranking = next(iter(rankings.values()))
    heights = np.array([_height(curve(ranking, weights)) for weights in _two_class_weights(evidence, ranking)])
    low, high = np.percentile(heights, [2.5, 97.5], axis=0)
    return {"x": GRID, "low": low, "high": high}


def _two_class_weights(evidence: Evidence, ranking: Ranking) -> Iterator[np.ndarray]:
    for weights in bootstrap_weights(len(evidence.truth), evidence.groups, 0, RESAMPLES):
        if ranking.auroc(weights) is not None:
            yield weights


def _height(points: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    heights: np.ndarray = np.interp(GRID, *points)
    return heights


def _band_rows(band: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    if not band:
        return []
    triples = zip(band["x"], band["low"], band["high"], strict=True)
    return [
        {"band x": round(float(x), 4), "band low": round(float(a), 4), "band high": round(float(b), 4)} for x, a, b in triples
    ]


def _chart(lines: list[dict[str, Any]], band: dict[str, np.ndarray], names: tuple[str, str], *, diagonal: bool) -> Spec:
    import altair as alt

    x_name, y_name = names
    unit = alt.Scale(domain=[0, 1])
    axis = alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1f", grid=True)
    x, y = alt.X(f"{x_name}:Q", scale=unit, title=x_name, axis=axis), alt.Y(f"{y_name}:Q", scale=unit, title=y_name, axis=axis)
    several = len({row["label"] for row in lines}) > 1
    layers = []
    if diagonal:
        ends = values([{x_name: 0, y_name: 0}, {x_name: 1, y_name: 1}])
        layers.append(alt.Chart(ends).mark_line(color=BASE, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y))
    if band:
        area = alt.Chart(values(_band_rows(band))).mark_area(color=RUN, opacity=0.18)
        layers.append(area.encode(x="band x:Q", y="band low:Q", y2="band high:Q"))
    line = alt.Chart(values(lines)).mark_line(strokeWidth=2.5, strokeJoin="round")
    colour = alt.Color("label:N", title=None, sort=None) if several else alt.value(RUN)
    tips = [alt.Tooltip(name, format=".3f") for name in (f"{x_name}:Q", f"{y_name}:Q")]
    layers.append(line.encode(x=x, y=y, order=alt.Order(f"{x_name}:Q"), tooltip=["label:N", *tips], color=colour))
    return finished(alt.layer(*layers), 300)


def _roc_sentence(evidence: Evidence, areas: dict[str, float]) -> str:
    if len(evidence.labels) == 2:
        label, area = next(iter(areas.items()))
        found = evidence.scores.get("auroc")
        ends = f" {words.interval(found)}" if found else ""
        return (
            f"AUROC {words.number(area)}{ends}: of a random “{label}” and a random other example, "
            f"the run ranks the right one higher in {100 * area:.0f} of 100 pairs."
        )
    hardest, easiest = min(areas, key=lambda name: areas[name]), max(areas, key=lambda name: areas[name])
    return (
        f"Hardest to tell from the rest: {hardest} (AUROC {words.number(areas[hardest])}); "
        f"easiest: {easiest} ({words.number(areas[easiest])})."
    )


def _pr_sentence(evidence: Evidence, rankings: dict[str, Ranking]) -> str:
    at = {label: _precision_at(ranking, 0.9) for label, ranking in rankings.items()}
    label = min(at, key=lambda name: at[name])
    share = float(np.mean(evidence.truth == evidence.labels.index(label)))
    who = f"Finding 90 % of “{label}”" if len(at) == 1 else f"Worst at 90 % recall is {label}: finding that many of them"
    return f"{who} costs precision down to {words.percent(at[label])}; guessing would give {words.percent(share)}."


def _precision_at(ranking: Ranking, recall: float) -> float:
    reached, precision = ranking.precision_recall()
    return float(precision[np.searchsorted(reached, recall - 1e-12)])
