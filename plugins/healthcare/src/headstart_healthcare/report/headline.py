"""The first page: what happens to 100 patients like these, and every headline figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report.charts import finished, values
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.report.words import number

OUTCOMES = {"tp": "found", "fn": "missed", "fp": "falsely called", "tn": "rightly cleared"}
COLOURS = ("var(--c0)", "var(--c1)", "var(--c4)", "var(--line)")
SIDE = 10
NAMES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
}


def patients(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """A hundred dots, one per patient, at the threshold and the prevalence of the test part."""
    counts = _of_hundred(question)
    if not counts:
        return None
    order = [name for name, count in counts.items() for _ in range(count)]
    rows = [{"column": at % SIDE, "row": at // SIDE, "outcome": OUTCOMES[name]} for at, name in enumerate(order)]
    table = question["at_threshold"]
    sick = counts["tp"] + counts["fn"]
    sentence = (
        f"Of 100 examples like these, {sick} have '{label}': {counts['tp']} are found and {counts['fn']} missed; "
        f"{counts['fp']} of the others are falsely called. "
        f"Threshold {number(table['threshold'])}: {question['rule']}. For research use only."
    )
    title = "In 100 patients like these" if few else f"In 100 patients like these: {label}"
    return Figure(f"patients-{slug(label)}", title, sentence, [{OUTCOMES[k]: v for k, v in counts.items()}], (_dots(rows),))


def headline(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """Discrimination and the shares at the threshold, with 95 % intervals and what they were measured on."""
    found = {**question, **question.get("at_threshold", {})}
    rows = [
        {"measure": NAMES[name], "value": found[name]["value"], "low": found[name]["low"], "high": found[name]["high"],
         "n": found[name]["n"], "method": found[name]["method"]}
        for name in NAMES
        if found.get(name)
    ]  # fmt: skip
    title = "Clinical figures" if few else f"Clinical figures: {label}"
    if not rows:
        return Figure(f"clinical-{slug(label)}", title, f"{question.get('undefined', 'n/a')}: n = {question['n']}.", [])
    return Figure(f"clinical-{slug(label)}", title, _sentence(question), rows, (_intervals(rows),))


def _sentence(question: Mapping[str, Any]) -> str:
    whom = f"{question['n']:,} examples" + (f" of {question['patients']:,} patients" if question["patients"] else "")
    shares = f"prevalence {100 * question['prevalence']:.1f} %"
    area = question.get("auroc")
    against = f" AUPRC is to be held against the prevalence, {number(question['prevalence'])}." if question.get("auprc") else ""
    return (f"AUROC {number(area['value'])}; " if area else "") + f"measured on {whom}, {shares}.{against}"


def _of_hundred(question: Mapping[str, Any]) -> dict[str, int]:
    """The four counts scaled to 100 by largest remainders, so that they add up."""
    table = question.get("at_threshold")
    if not table:
        return {}
    total = sum(table[name] for name in OUTCOMES)
    exact = {name: SIDE * SIDE * table[name] / total for name in OUTCOMES}
    counts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: SIDE * SIDE - sum(counts.values())]:
        counts[name] += 1
    return counts


def _dots(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import altair as alt

    colour = alt.Color(
        "outcome:N",
        title=None,
        sort=list(OUTCOMES.values()),
        scale=alt.Scale(domain=list(OUTCOMES.values()), range=list(COLOURS)),
    )
    shape = alt.Shape(
        "outcome:N",
        title=None,
        sort=list(OUTCOMES.values()),
        scale=alt.Scale(domain=list(OUTCOMES.values()), range=["circle", "cross", "triangle-up", "circle"]),
    )  # shapes, too: the picture must be readable in grey
    marks = alt.Chart(values(rows)).mark_point(filled=True, size=150, opacity=1)
    axis = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    x, y = alt.X("column:O", title=None, axis=axis), alt.Y("row:O", title=None, axis=axis)
    return finished(marks.encode(x=x, y=y, color=colour, shape=shape, tooltip=["outcome:N"]), 240)


def _intervals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import altair as alt

    base = alt.Chart(values(rows))
    order = [row["measure"] for row in rows]
    y = alt.Y("measure:N", sort=order, title=None)
    x = alt.X("value:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(grid=True))
    rule = base.mark_rule(color=BASE, strokeWidth=3).encode(y=y, x=alt.X("low:Q", scale=alt.Scale(domain=[0, 1])), x2="high:Q")
    tips = ["measure:N", *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high")), "n:Q", "method:N"]
    return finished(
        alt.layer(rule, base.mark_circle(color=RUN, size=90, opacity=1).encode(y=y, x=x, tooltip=tips)), 30 * len(rows)
    )


def slug(label: str) -> str:
    """A label as part of a file name."""
    return "".join(letter if letter.isalnum() else "-" for letter in label.lower())
