"""Subgroups side by side: AUROC with its interval for each, small cells not shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report.charts import finished, values
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart_healthcare.report.headline import slug


def subgroups(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """A forest of intervals; None where the data name no subgroups."""
    found = question.get("subgroups") or {}
    cells = [(f"{name}: {value}", cell) for name, by_value in found.items() for value, cell in by_value.items()]
    rows = [
        {"subgroup": name, "n": cell["n"], **{end: round(cell["auroc"][end], 4) for end in ("value", "low", "high")}}
        for name, cell in cells
        if not cell.get("hidden") and cell.get("auroc")
    ]
    if not cells:
        return None
    hidden = [name for name, cell in cells if cell.get("hidden")]
    gaps = _gaps(question.get("gaps") or {})
    return Figure(
        f"subgroups-{slug(label)}",
        "Subgroups" if few else f"Subgroups: {label}",
        " ".join([_sentence(rows, hidden), *gaps]),
        [*rows, *({"subgroup": name, "n": "not shown"} for name in hidden)],
        (_forest(rows),) if rows else (),
    )


def _sentence(rows: list[dict[str, Any]], hidden: list[str]) -> str:
    said = []
    if len(rows) > 1:
        low, high = min(rows, key=lambda row: row["value"]), max(rows, key=lambda row: row["value"])
        said.append(
            f"AUROC is lowest for {low['subgroup']} ({low['value']:.3f}) "
            f"and highest for {high['subgroup']} ({high['value']:.3f})."
        )
    if hidden:
        said.append(f"Not shown, as they have too few examples or would tell of one that has: {', '.join(hidden)}.")
    return " ".join(said) or "Only one subgroup is large enough to be shown."


def _gaps(found: Mapping[str, Any]) -> list[str]:
    """How far error rates lie apart, one sentence each."""
    words = {"false_negative_rate": "missed", "false_positive_rate": "falsely called"}
    return [
        f"Of {name} {gap['worst']} {100 * gap['value']:.0f} points [{100 * gap['low']:.0f}, {100 * gap['high']:.0f}] more are "
        f"{words[rate]} than of {name} {gap['best']}."
        for name, rates in found.items()
        for rate, gap in rates.items()
        if gap.get("value")
    ]


def _forest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import altair as alt

    y = alt.Y("subgroup:N", sort=None, title=None, axis=alt.Axis(labelLimit=260))
    x = alt.Scale(domain=[min(0.5, *(row["low"] for row in rows)), 1])
    base = alt.Chart(values(rows))
    rule = base.mark_rule(color=BASE, strokeWidth=3).encode(y=y, x=alt.X("low:Q", scale=x, title="AUROC"), x2="high:Q")
    dots = base.mark_circle(color=RUN, size=90, opacity=1)
    dots = dots.encode(y=y, x=alt.X("value:Q", scale=x), tooltip=["subgroup:N", "n:Q", "value:Q", "low:Q", "high:Q"])
    return finished(alt.layer(rule, dots), 30 * len(rows) + 20)
