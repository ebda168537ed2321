"""Doubt: what giving only the surer answers would change, and how often the sets of possible labels hold the truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report.charts import finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import RUN
from headstart_healthcare.report.headline import slug

NAME = "healthcare/clinical"


def sureness(label: str, question: Mapping[str, Any], *, few: bool) -> Figure | None:
    """Share of wrong answers over the share of examples that are answered, the surest first."""
    found = question.get("risk_coverage")
    if not found:
        return None
    import altair as alt

    rows = [{"answered": point["coverage"], "wrong": round(point["wrong"], 4)} for point in found["points"]]
    x = alt.X("answered:Q", title="share of examples that are answered", axis=alt.Axis(format="%"))
    y = alt.Y("wrong:Q", title="wrong answers among them", axis=alt.Axis(format="%"))
    chart = alt.Chart(values(rows)).mark_line(color=RUN, point=True).encode(x=x, y=y, tooltip=["answered:Q", "wrong:Q"])
    half, whole = rows[0]["wrong"], rows[-1]["wrong"]
    sentence = (
        f"Of all answers {100 * whole:.1f} % are wrong, of the surer half {100 * half:.1f} % (area under the curve "
        f"{found['area']:.4f}). An answer is the surer the further its probability lies from the threshold."
    )
    title = "Answering only where it is sure" if few else f"Answering only where it is sure: {label}"
    return Figure(f"risk-coverage-{slug(label)}", title, sentence, rows, (finished(chart),))


def sets(evidence: Evidence) -> Figure | None:
    """How often the set of an example holds its label, for each label; None where no sets were asked for."""
    measured = ((evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}).get("test") or {}
    found = measured.get("sets")
    if not found:
        return None
    rows = [
        {"label": label, "n": one["n"], **{end: round(one[end], 4) for end in ("value", "low", "high")}}
        for label, one in found["covered"].items()
        if one
    ]
    count = sum(found["sizes"].values())
    sizes = ", ".join(f"{_labels(int(size))}: {100 * n / count:.1f} %" for size, n in found["sizes"].items())
    low = [f"{row['label']} ({100 * row['value']:.1f} %)" for row in rows if row["high"] < 1 - found["share"]]
    short = f" Less than promised, beyond chance: {', '.join(low)}; the test part is not like validation." if low else ""
    sentence = (
        f"Each answer comes with the labels that cannot be ruled out; the true one is to be among them in at least "
        f"{100 * (1 - found['share']):.0f} % of the examples of each label (split conformal, settled on validation).{short} "
        f"Sets by size: {sizes}."
    )
    return Figure("sets", "Labels that cannot be ruled out", sentence, rows)


def _labels(size: int) -> str:
    return "no label" if size == 0 else "one label" if size == 1 else f"{size} labels"
