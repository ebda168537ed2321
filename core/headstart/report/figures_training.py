"""Learning curves: the selecting score and the losses over optimiser steps, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report import words
from headstart.report.charts import Spec, finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.figures_verdict import strongest_baseline
from headstart.report.theme import BASE, INK, MUTED, RUN
from headstart.scores import LOWER_IS_BETTER

Rows = list[dict[str, Any]]


def last_round(epochs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Epochs of the last model that was trained: with cross-validation, each fold's say which one they are of."""
    return [epoch for epoch in epochs if epoch.get("fold") == epochs[-1].get("fold")]


def learning_curves(evidence: Evidence) -> Figure | None:
    """Validation score above, losses below; phases shaded, the best epoch marked."""
    epochs = last_round(evidence.files.epochs)
    score = str(evidence.files.metrics.get("selected_by") or "")
    rows = [_row(epoch, score) for epoch in epochs if epoch.get("train_loss") is not None]
    if len(rows) < 2:
        return None
    phases = _phases(rows)
    rules = _baseline(evidence, score)
    charts = [_score_chart(rows, phases, rules, score)] if any(row.get(score) is not None for row in rows) else []
    charts.append(_loss_chart(rows, phases))
    return Figure("learning", "Learning curves", _sentence(rows, score), rows, tuple(charts), wide=True)


def best_row(rows: Rows) -> dict[str, Any] | None:
    """The epoch whose weights were kept: the last one that was marked as best."""
    marked = [row for row in rows if row["best"]]
    return marked[-1] if marked else None


def _row(epoch: Mapping[str, Any], score: str) -> dict[str, Any]:
    val = epoch.get("val") or {}
    row = {"step": epoch["step"], "phase": epoch["phase"], "epoch": epoch["epoch"], score: val.get(score)}
    row |= {"training loss": epoch["train_loss"], "validation loss": val.get("loss"), "best": bool(epoch.get("best"))}
    return {key: value for key, value in row.items() if key}


def _phases(rows: Rows) -> Rows:
    ends: dict[str, int] = {}
    for row in rows:
        ends[row["phase"]] = row["step"]
    starts = [0, *list(ends.values())[:-1]]
    return [
        {"phase": name, "from": start, "to": end, "middle": (start + end) / 2, "odd": i % 2}
        for i, ((name, end), start) in enumerate(zip(ends.items(), starts, strict=True))
    ]


def _baseline(evidence: Evidence, score: str) -> Rows:
    name = strongest_baseline(evidence)
    found = (evidence.files.metrics.get("baselines") or {}).get(name, {}).get(score)
    return [{"level": found["value"], "name": f"{words.model_name(name)} (on the test)"}] if found else []


def _bands(phases: Rows, x: Any, *, named: bool) -> list[Any]:
    import altair as alt

    chart = alt.Chart(values(phases))
    shade = chart.transform_filter("datum.odd == 1").mark_rect(color=MUTED, opacity=0.08).encode(x=x("from"), x2="to:Q")
    if not named:
        return [shade]
    narrowest = min(phase["to"] - phase["from"] for phase in phases) / max(phase["to"] for phase in phases)
    limit = alt.expr(f"max(18, width * {narrowest:.4f} - 4)")
    text = chart.mark_text(baseline="bottom", dy=-4, fontSize=11, color=MUTED, limit=limit)
    return [shade, text.encode(x=x("middle"), y=alt.value(0), text="phase:N", tooltip="phase:N")]


def _score_chart(rows: Rows, phases: Rows, rules: Rows, score: str) -> Spec:
    import altair as alt

    last = max(row["step"] for row in rows)

    def x(name: str) -> Any:
        return alt.X(
            f"{name}:Q", scale=alt.Scale(domain=[0, last], nice=False), title=None, axis=alt.Axis(labels=False, ticks=False)
        )

    y = alt.Y(
        f"{score}:Q", scale=alt.Scale(zero=False), title=f"validation {words.score_name(score)}", axis=alt.Axis(tickCount=5)
    )
    base = alt.Chart(values([row for row in rows if row.get(score) is not None])).encode(x=x("step"), y=y)
    tips = ["phase:N", "epoch:Q", "step:Q", alt.Tooltip(f"{score}:Q", format=".4f")]
    layers = _bands(phases, x, named=True)
    layers += [base.mark_line(color=RUN, strokeWidth=2), base.mark_circle(color=RUN, size=36, opacity=1).encode(tooltip=tips)]
    if rules:
        rule = alt.Chart(values(rules)).encode(y="level:Q")
        layers.append(rule.mark_rule(color=BASE, strokeDash=[5, 4]))
        layers.append(rule.mark_text(align="left", dy=-7, dx=4, color=MUTED, fontSize=11).encode(x=alt.value(0), text="name:N"))
    best = best_row(rows)
    if best and best.get(score) is not None:
        mark = alt.Chart(values([best | {"word": f"kept: epoch {best['epoch']} of {best['phase']}"}])).encode(x=x("step"), y=y)
        layers.append(mark.mark_point(color=INK, size=190, strokeWidth=2).encode(tooltip=["word:N"]))
    return finished(alt.layer(*layers), 220)


def _loss_chart(rows: Rows, phases: Rows) -> Spec:
    import altair as alt

    last = max(row["step"] for row in rows)

    def x(name: str) -> Any:
        return alt.X(
            f"{name}:Q", scale=alt.Scale(domain=[0, last], nice=False), title="optimiser steps", axis=alt.Axis(tickCount=8)
        )

    names = ("training loss", "validation loss")
    long = [
        {"step": row["step"], "phase": row["phase"], "which": name, "loss": row[name]}
        for row in rows
        for name in names
        if row.get(name) is not None
    ]
    line = alt.Chart(values(long)).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24))
    colour = alt.Color("which:N", title=None, sort=list(names), scale=alt.Scale(range=["var(--c4)", "var(--c2)"]))
    tips = ["which:N", "phase:N", "step:Q", alt.Tooltip("loss:Q", format=".4f")]
    y = alt.Y("loss:Q", scale=alt.Scale(zero=False), title="loss", axis=alt.Axis(tickCount=4))
    return finished(alt.layer(*_bands(phases, x, named=False), line.encode(x=x("step"), y=y, color=colour, tooltip=tips)), 140)


def _sentence(rows: Rows, score: str) -> str:
    best = best_row(rows)
    if best is None or best.get(score) is None:
        return f"Training loss fell from {words.number(rows[0]['training loss'])} to {words.number(rows[-1]['training loss'])}."
    after = len(rows) - 1 - rows.index(best)
    end = (
        f"; {words.count(after, 'later epoch')} brought nothing better"
        if after
        else ", the very last one: longer training may help"
    )
    direction = "lowest" if score in LOWER_IS_BETTER else "highest"
    value = f"{words.score_name(score)} {words.number(best[score])}"
    return f"Kept: epoch {best['epoch']} of phase “{best['phase']}”, the {direction} validation {value}{end}."
