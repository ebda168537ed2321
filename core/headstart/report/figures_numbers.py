"""For numbers: predicted against true values, and what is left over."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.report import words
from headstart.report.charts import Spec, finished, thinned, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.figures_classes import shortened
from headstart.report.theme import BASE, RUN

MOST_POINTS = 1500
MOST_ROWS = 12


def predicted_and_true(evidence: Evidence) -> Figure | None:
    """A dot per example; on the diagonal the prediction is right."""
    rows = _rows(evidence)
    if not rows:
        return None
    errors = np.abs([row["residual"] for row in rows])
    spread = float(np.percentile(errors, 90))
    near = f"Nine in ten predictions are within {words.number(spread)} of the truth"
    sentence = f"{near}; the worst is off by {words.number(float(errors.max()))}."
    return Figure("predicted-true", "Predicted and true values", sentence, rows, (_scatter(rows),))


def residuals(evidence: Evidence) -> Figure | None:
    """Prediction minus truth over the prediction."""
    rows = _rows(evidence)
    if not rows:
        return None
    left = np.array([row["residual"] for row in rows])
    mean, deviation = float(left.mean()), float(left.std())
    side = "too high" if mean > 0 else "too low"
    sentence = f"On average {words.number(abs(mean))} {side}, with a spread of {words.number(deviation)}."
    return Figure("residuals", "Residuals", sentence, rows, (_residual_chart(rows),))


def worst_numbers(evidence: Evidence) -> Figure | None:
    """The predictions that are farthest off."""
    rows = sorted(_rows(evidence), key=lambda row: -abs(row["residual"]))[:MOST_ROWS]
    if not rows:
        return None
    sentence = f"The largest error: {words.number(rows[0]['predicted'])} predicted, {words.number(rows[0]['true'])} true."
    return Figure("mistakes", "Largest errors", sentence, rows, html="numbers", content={"rows": rows}, wide=True)


def _rows(evidence: Evidence) -> list[dict[str, Any]]:
    if evidence.kind != "number" or evidence.outcome is None:
        return []
    rows = []
    for example, prediction in zip(evidence.examples, evidence.outcome.predictions, strict=True):
        true, predicted = float(example.target), float(prediction.value)
        row = {"id": example.id, "true": true, "predicted": predicted, "residual": predicted - true}
        rows.append(row | ({"excerpt": shortened(str(example.input))} if example.input else {}))
    return rows


def _points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: rows[i][key] for key in ("id", "true", "predicted", "residual")} for i in thinned(len(rows), MOST_POINTS)]


def _tips() -> list[Any]:
    import altair as alt

    return ["id:N", *(alt.Tooltip(f"{name}:Q", format=".4g") for name in ("true", "predicted", "residual"))]


def _scatter(rows: list[dict[str, Any]]) -> Spec:
    import altair as alt

    low = min(min(row["true"], row["predicted"]) for row in rows)
    high = max(max(row["true"], row["predicted"]) for row in rows)
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    x, y = alt.X("true:Q", scale=scale, axis=alt.Axis(grid=True)), alt.Y("predicted:Q", scale=scale)
    ends = alt.Chart(values([{"true": low, "predicted": low}, {"true": high, "predicted": high}]))
    diagonal = ends.mark_line(color=BASE, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y)
    dots = alt.Chart(values(_points(rows))).mark_circle(color=RUN, opacity=0.45, size=36).encode(x=x, y=y, tooltip=_tips())
    return finished(alt.layer(diagonal, dots), 300)


def _residual_chart(rows: list[dict[str, Any]]) -> Spec:
    import altair as alt

    x = alt.X("predicted:Q", scale=alt.Scale(zero=False), axis=alt.Axis(grid=True))
    y = alt.Y("residual:Q", title="predicted \N{MINUS SIGN} true")
    zero = alt.Chart(values([{"residual": 0}])).mark_rule(color=BASE, strokeDash=[4, 4]).encode(y=y)
    dots = alt.Chart(values(_points(rows))).mark_circle(color=RUN, opacity=0.45, size=36).encode(x=x, y=y, tooltip=_tips())
    return finished(alt.layer(zero, dots), 300)
