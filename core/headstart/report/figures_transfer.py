"""Transfer against training from scratch: the validation score of both over the computation that they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report import words
from headstart.report.charts import Spec, finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.scores import LOWER_IS_BETTER

SCRATCH = "scratch"
NAMES = ("this run", "random weights")
UNITS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1.0, "FLOP"))
BOUNDS = {
    "work": "Both took the same amount of computation",
    "least": "Random weights took more computation than the run, the least with which training makes sense",
    "time": "Random weights took less computation than the run: their limit in time ended the training",
}

Rows = list[dict[str, Any]]


def transfer(evidence: Evidence) -> Figure | None:
    """Two lines over operations of training; None where there was no baseline "scratch" or nothing to validate on."""
    facts = evidence.files.metrics.get("transfer") or {}
    score = str(evidence.files.metrics.get("selected_by") or "")
    if not score or not facts.get(SCRATCH, {}).get("curve"):
        return None
    ours = run_curve(evidence.files.epochs, facts, score)
    theirs = [{"model": NAMES[1], "operations": point["flops"], score: point["value"]} for point in facts[SCRATCH]["curve"]]
    if not ours:
        return None
    rows = [*ours, *theirs]
    title = "Transfer against training from scratch"
    return Figure("transfer", title, sentence(ours, theirs, facts, score), rows, (_lines(rows, score),), wide=True)


def run_curve(epochs: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], score: str) -> Rows:
    """The run's validation score over the operations that it had taken by then, epoch by epoch, of the fold in `facts`."""
    works, before = {}, 0.0
    for phase in facts["run"]["phases"]:
        works[phase["name"]] = (before + phase["once"], phase)
        before += phase["once"] + phase["steps"] * phase["step"]
    rows = []
    for epoch in epochs:
        if epoch.get("fold") != facts.get("fold") or (epoch.get("val") or {}).get(score) is None:
            continue
        start, phase = works[epoch["phase"]]
        done = start + (epoch["step"] - phase["start_step"]) * phase["step"]
        rows.append({"model": NAMES[0], "operations": round(done), score: epoch["val"][score]})
    return rows


def sentence(ours: Rows, theirs: Rows, facts: Mapping[str, Any], score: str) -> str:
    """Who had what, and how much each needed for the best score of random weights."""
    scratch = facts[SCRATCH]
    sign = -1 if score in LOWER_IS_BETTER else 1
    best = max(theirs, key=lambda row: sign * float(row[score]))
    reached = next((row["operations"] for row in ours if sign * row[score] >= sign * best[score]), None)
    text = (
        f"{BOUNDS[scratch['bound']]}: {operations(facts['run']['flops'])} for the run and {operations(scratch['flops'])} for "
        f"random weights, which is {words.count(scratch['steps'], 'step')} or {scratch['passes']:.2g} passes over the training "
        f"examples. Random weights came to a validation {words.score_name(score)} of {words.number(best[score])} after "
        f"{operations(best['operations'])}"
    )
    if reached is None:
        return f"{text}; the run never came to it."
    return f"{text}; the run had it after {operations(reached)}, at the end of the first epoch that reached it."


def operations(flops: float) -> str:
    """A number of floating-point operations: "3.21 TFLOP"."""
    size, unit = next((pair for pair in UNITS if flops >= pair[0]), UNITS[-1])
    return f"{flops / size:.3g} {unit}"


def _lines(rows: Rows, score: str) -> Spec:
    import altair as alt

    size, unit = next(pair for pair in UNITS if max(row["operations"] for row in rows) >= pair[0] or pair[0] == 1.0)
    scaled = [row | {"work": row["operations"] / size} for row in rows]
    colour = alt.Color("model:N", title=None, sort=list(NAMES), scale=alt.Scale(domain=list(NAMES), range=[RUN, BASE]))
    x = alt.X("work:Q", title=f"computation of training, {unit}", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=8))
    y = alt.Y(f"{score}:Q", scale=alt.Scale(zero=False), title=f"validation {words.score_name(score)}")
    tips = ["model:N", alt.Tooltip("work:Q", title=unit, format=".3g"), alt.Tooltip(f"{score}:Q", format=".4f")]
    line = alt.Chart(values(scaled)).mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36))
    return finished(line.encode(x=x, y=y, color=colour, tooltip=tips), 220)
