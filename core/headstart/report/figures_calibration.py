"""Reliability: is a probability of 0.9 right nine times in ten?"""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.report import words
from headstart.report.charts import Spec, finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.scores import BINS, expected_calibration_error


def reliability(evidence: Evidence) -> Figure | None:
    """Accuracy over confidence of the top label in 15 bins, and how many examples each bin holds."""
    probabilities = evidence.probabilities
    if probabilities is None or not evidence.are_labels_predicted:
        return None
    confidence = probabilities.max(axis=1)
    is_right = (probabilities.argmax(axis=1) == evidence.truth).astype(float)
    rows = _bins(confidence, is_right)
    start = 0.5 if len(evidence.labels) == 2 else 0.0  # of two classes the chosen one has at least a half
    charts = (_curve(rows, start), _histogram(rows, start))
    return Figure("reliability", "Reliability", _sentence(confidence, is_right), rows, charts)


def _bins(confidence: np.ndarray, is_right: np.ndarray) -> list[dict[str, Any]]:
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "from": round(b / BINS, 4),
            "to": round((b + 1) / BINS, 4),
            "examples": int((index == b).sum()),
            "confidence": round(float(confidence[index == b].mean()), 4),
            "accuracy": round(float(is_right[index == b].mean()), 4),
        }
        for b in range(BINS)
        if (index == b).any()
    ]


def _curve(rows: list[dict[str, Any]], start: float) -> Spec:
    import altair as alt

    domain = alt.Scale(domain=[start, 1])
    x = alt.X("confidence:Q", scale=domain, title=None, axis=alt.Axis(grid=True, labels=False, tickCount=5))
    y = alt.Y("accuracy:Q", scale=alt.Scale(domain=[0, 1] if start == 0 else [min(start, *(r["accuracy"] for r in rows)), 1]))
    ends = alt.Chart(values([{"confidence": start, "accuracy": start}, {"confidence": 1, "accuracy": 1}]))
    diagonal = ends.mark_line(color=BASE, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y)
    base = alt.Chart(values(rows)).encode(x=x, y=y)
    line = base.mark_line(color=RUN, strokeWidth=2, opacity=0.7)
    size = alt.Size("examples:Q", legend=None, scale=alt.Scale(range=[30, 300]))
    tips = [
        alt.Tooltip(f"{name}:Q", format=form) for name, form in (("confidence", ".3f"), ("accuracy", ".3f"), ("examples", "d"))
    ]
    return finished(alt.layer(diagonal, line, base.mark_circle(color=RUN, opacity=1).encode(size=size, tooltip=tips)), 216)


def _histogram(rows: list[dict[str, Any]], start: float) -> Spec:
    import altair as alt

    title = "confidence (probability of the label it chose)"
    x = alt.X("from:Q", bin="binned", scale=alt.Scale(domain=[start, 1]), title=title, axis=alt.Axis(format=".1f", tickCount=5))
    y = alt.Y("examples:Q", title="examples", axis=alt.Axis(tickCount=2, grid=True))
    bars = alt.Chart(values(rows)).mark_bar(color=RUN, opacity=0.55, binSpacing=1, clip=True)
    return finished(bars.encode(x=x, x2="to:Q", y=y, tooltip=["from:Q", "to:Q", "examples:Q"]), 60)


def _sentence(confidence: np.ndarray, is_right: np.ndarray) -> str:
    gap = float(confidence.mean() - is_right.mean())
    error = expected_calibration_error(confidence, is_right)
    means = f"it is {words.percent(confidence.mean(), 1)} sure on average and right in {words.percent(is_right.mean(), 1)}"
    if abs(gap) < 0.01:
        return f"On the whole it knows how sure to be: {means} (calibration error {words.number(error)})."
    word = "Overconfident" if gap > 0 else "Underconfident"
    return f"{word} by {100 * abs(gap):.1f} points: {means} (calibration error {words.number(error)})."
