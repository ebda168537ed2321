"""Calibration and net benefit as curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report.charts import finished, values
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.report.words import number
from headstart_healthcare.report.headline import slug


def calibration_curve(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """Observed share over calibrated probability in bins of equal counts, with slope, intercept and Brier score."""
    found = question.get("calibration")
    if not found:
        return None
    import altair as alt

    rows = [{name: round(value, 4) for name, value in point.items()} for point in found["curve"]]
    one = alt.Scale(domain=[0, 1])
    x, y = alt.X("expected:Q", scale=one, title="probability"), alt.Y("observed:Q", scale=one, title="observed share")
    ends = alt.Chart(values([{"expected": 0, "observed": 0}, {"expected": 1, "observed": 1}]))
    diagonal = ends.mark_line(color=BASE, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y)
    base = alt.Chart(values(rows)).encode(x=x, y=y, tooltip=["expected:Q", "observed:Q", "n:Q"])
    chart = finished(alt.layer(diagonal, base.mark_line(color=RUN), base.mark_circle(color=RUN, size=60, opacity=1)))
    return Figure(
        f"calibration-{slug(label)}", _titled("Calibration", label, few=few), _calibration_words(found), rows, (chart,)
    )


def decision_curve(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """Net benefit of deciding by the model, of treating all and of treating none, over the threshold probability."""
    points = question.get("net_benefit")
    if not points:
        return None
    import altair as alt

    names = {"model": "by the model", "all": "treat all"}
    rows = [
        {"threshold": p["threshold"], "way": way, "benefit": round(p[key], 4)} for p in points for key, way in names.items()
    ]
    rows += [{"threshold": p["threshold"], "way": "treat none", "benefit": 0.0} for p in points]
    top = max(row["benefit"] for row in rows)
    scale = alt.Scale(domain=[-0.1 * top if top > 0 else -0.05, 1.05 * top if top > 0 else 0.05])
    colour = alt.Color("way:N", title=None, scale=alt.Scale(domain=["by the model", "treat all", "treat none"]))
    dash = alt.StrokeDash("way:N", title=None, scale=alt.Scale(domain=["by the model", "treat all", "treat none"]))
    chart = alt.Chart(values(rows)).mark_line(clip=True).encode(
        x=alt.X("threshold:Q", title="threshold probability"), y=alt.Y("benefit:Q", title="net benefit", scale=scale),
        color=colour, strokeDash=dash, tooltip=["way:N", "threshold:Q", "benefit:Q"],
    )  # fmt: skip
    better = [p["threshold"] for p in points if p["model"] > max(p["all"], 0.0) + 1e-9]
    reach = f"between thresholds of {better[0]:g} and {better[-1]:g}" if better else "at no threshold"
    sentence = f"Deciding by the model does more good than treating all or none {reach} (Vickers and Elkin 2006)."
    return Figure(f"net-benefit-{slug(label)}", _titled("Decision curve", label, few=few), sentence, points, (finished(chart),))


def _calibration_words(found: Mapping[str, Any]) -> str:
    after, before = found["after"], found["before"]
    slope = "" if after["slope"] is None else f", slope {number(after['slope'])} (1 is right; {number(before['slope'])} before)"
    shift = "" if after["intercept"] is None else f", intercept {number(after['intercept'])} (0 is right)"
    return (
        f"After calibration on validation: Brier score {number(after['brier'])}, calibration error {number(after['ece'])} "
        f"({number(before['ece'])} before){slope}{shift}."
    )


def _titled(title: str, label: str, *, few: bool) -> str:
    return title if few else f"{title}: {label}"
