"""The verdict: the run's main score with its interval beside every baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report import words
from headstart.report.charts import Spec, finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.scores import LOWER_IS_BETTER


def verdict(evidence: Evidence) -> Figure | None:
    """Dots with 95 % intervals, the run on top; None where there are no test scores."""
    name = evidence.main_score
    if not name:
        return None
    rows = [_row("run", evidence.scores[name])]
    baselines = evidence.files.metrics.get("baselines") or {}
    rows += sorted((_row(model, scores[name]) for model, scores in baselines.items() if name in scores), key=_worst_last(name))
    return Figure("verdict", words.capital(words.score_name(name)), sentence(evidence), rows, (_dots(rows, name),), wide=True)


def sentence(evidence: Evidence) -> str:
    """Better, worse or not shown to be better than the strongest baseline."""
    name = evidence.main_score
    baseline = strongest_baseline(evidence)
    difference = (evidence.files.metrics.get("differences") or {}).get(baseline, {}).get(name) if baseline else None
    if baseline and difference:
        return f"{words.verdict(name, difference, baseline)}{_transfer(evidence, baseline)}"
    found = evidence.scores[name]
    text = f"{words.capital(words.score_name(name))} {words.number(found['value'])} {words.interval(found)}"
    return f"{text} on {words.count(found['n'], 'test example')}; there is no baseline to hold it against."


def _transfer(evidence: Evidence, said: str) -> str:
    """Whether transfer helped, where the same network was also trained from random weights; `said` was told already."""
    difference = (evidence.files.metrics.get("differences") or {}).get("scratch", {}).get(evidence.main_score)
    if not difference or said == "scratch":
        return ""
    return f" Did transfer help? {words.verdict(evidence.main_score, difference, 'scratch')}"


def strongest_baseline(evidence: Evidence) -> str:
    """The baseline with the best main score, "" where there is none."""
    name = evidence.main_score
    scores = {
        model: found[name]["value"] for model, found in (evidence.files.metrics.get("baselines") or {}).items() if name in found
    }
    choose = min if name in LOWER_IS_BETTER else max
    return choose(scores, key=lambda model: scores[model]) if scores else ""


def _row(model: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": words.model_name(model), **{key: found[key] for key in ("value", "low", "high", "n", "method")}}


def _worst_last(name: str) -> Any:
    sign = 1 if name in LOWER_IS_BETTER else -1
    return lambda row: sign * row["value"]


def _dots(rows: list[dict[str, Any]], name: str) -> Spec:
    import altair as alt

    order = [row["model"] for row in rows]
    colour = alt.condition(alt.datum.model == order[0], alt.value(RUN), alt.value(BASE))
    tip = [alt.Tooltip("model:N")] + [alt.Tooltip(f"{key}:Q", format=".4f") for key in ("value", "low", "high")]
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("model:N", sort=order, title=None, axis=alt.Axis(labelLimit=230, labelFontSize=13)), color=colour, tooltip=tip
    )
    title = f"{words.score_name(name)}, 95 % interval"
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(grid=True, tickCount=6))
    bars = base.mark_rule(strokeWidth=3, strokeCap="round").encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=140, opacity=1).encode(x="value:Q")
    return finished(bars + dots, 40 * len(rows) + 8)
