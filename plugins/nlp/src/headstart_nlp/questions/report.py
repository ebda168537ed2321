"""The section of the report about questions: figures beside plain ways to answer, kinds of error, answers in their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headstart.report.charts import finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import BASE, RUN
from headstart.report.words import number
from headstart_nlp.questions.errors import RIGHT
from headstart_nlp.questions.marking import as_html

NAME = "nlp/squad"
BAR = 26  # pixels


def figures(evidence: Evidence) -> Sequence[Figure]:
    """Figures of what the evaluation `nlp/squad` measured on the test part; none in other runs."""
    measured = (evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}
    found: Mapping[str, Any] = measured.get("test") or {}
    if not found.get("n"):
        return []
    return [
        _against_plain(found),
        _kinds(found),
        _by("question-words", "Score by question word", "question word", found["by_question_word"]),
        _by("text-lengths", "Score by length of the text", "words of the text", _in_order(found["by_words_of_text"])),
        *_examples(found),
    ]


def _against_plain(found: Mapping[str, Any]) -> Figure:
    rows = [{"way": "this run", **{name: score["value"] for name, score in found["scores"].items()}}]
    rows += [{"way": name, **plain["scores"]} for name, plain in found["plain"].items()]
    f1 = found["scores"]["f1"]
    gaps = [(name, plain["run_minus_it"].get("f1")) for name, plain in found["plain"].items()]
    against = "; ".join(
        f"{_signed(gap['value'])} [{_signed(gap['low'])}, {_signed(gap['high'])}] against “{name}”" for name, gap in gaps if gap
    )
    limit = found.get("threshold")
    threshold = f" No answer above log-odds of {number(limit['value'])}: {limit['why']}." if limit else ""
    sentence = (
        f"F1 {number(f1['value'])} [{number(f1['low'])}, {number(f1['high'])}] on {found['n']:,} questions, counted as "
        f"{found['rules']} does; {against}.{threshold}"
    )
    chart = _bars([{"name": row["way"], "value": row["f1"]} for row in rows], "F1", RUN)
    return Figure("answers", "Answers, and plain ways to answer", sentence, rows, (chart,), wide=True)


def _kinds(found: Mapping[str, Any]) -> Figure:
    rows = [{"kind": kind, "questions": count, "share": count / found["n"]} for kind, count in found["kinds"].items()]
    wrong = [row for row in rows if row["kind"] != RIGHT]
    most = max(wrong, key=lambda row: row["questions"], default=None)
    commonest = f"; the commonest error is “{most['kind']}” ({most['questions']:,})" if most else ""
    right = found["n"] - sum(row["questions"] for row in wrong)
    sentence = f"{right:,} of {found['n']:,} answers are right to the letter{commonest}."
    chart = _bars([{"name": row["kind"], "value": row["share"]} for row in rows], "share of questions", BASE)
    return Figure("kinds-of-error", "Kinds of error", sentence, rows, (chart,))


def _by(name: str, title: str, what: str, given: Sequence[Mapping[str, Any]]) -> Figure:
    rows = [{what: row["name"], **{key: row[key] for key in ("n", "f1", "exact_match")}} for row in given]
    usual = [row for row in rows if row["n"] >= min(20, max(row["n"] for row in rows))]
    low, high = min(usual, key=lambda row: row["f1"]), max(usual, key=lambda row: row["f1"])
    ends = f"Highest for “{high[what]}” (F1 {number(high['f1'])}, n = {high['n']:,})"
    sentence = f"{ends}, lowest for “{low[what]}” ({number(low['f1'])}, n = {low['n']:,})." if low is not high else f"{ends}."
    chart = _bars([{"name": f"{row[what]} ({row['n']:,})", "value": row["f1"]} for row in rows], "F1", RUN)
    return Figure(name, title, sentence, rows, (chart,))


def _examples(found: Mapping[str, Any]) -> list[Figure]:
    rows = found.get("examples") or []
    if not rows:
        return []
    shown = [
        {
            "id": row["id"],
            "excerpt": as_html(row["question"], row["context"], row["gold"], row["predicted"]),
            "truth": "; ".join(row["context"][start:end] for start, end in row["gold"]) or "no answer",
            "prediction": f"{row['answer'] or 'no answer'} · {row['kind']}",
        }
        for row in rows
    ]
    kept = ("kind", "question", "answer", "f1")
    plain = [{name: row[name] for name in kept} | {"right": at["truth"]} for row, at in zip(rows, shown, strict=True)]
    sentence = "Right answers are underlined, the run's are marked: some questions of each kind, the first in the test part."
    figure = Figure("answers-in-texts", "Answers in their texts", sentence, plain, html="mistakes", content={"rows": shown})
    return [replace(figure, wide=True)]


def _bars(rows: Sequence[Mapping[str, Any]], title: str, colour: str) -> dict[str, Any]:
    import altair as alt

    y = alt.Y("name:N", sort=[row["name"] for row in rows], title=None, axis=alt.Axis(labelLimit=260))
    x = alt.X("value:Q", scale=alt.Scale(domain=[0, 1]), title=title)
    tips = ["name:N", alt.Tooltip("value:Q", format=".3f")]
    return finished(alt.Chart(values(rows)).mark_bar(color=colour).encode(x=x, y=y, tooltip=tips), BAR * len(rows) + 8)


def _in_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: (row["name"].startswith("over"), int(row["name"].removeprefix("over ").split()[0])))


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
