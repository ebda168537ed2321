"""Confusion matrix, most confident mistakes and scores per label."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.report import words
from headstart.report.charts import finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import RUN

MOST_LABELS = 20  # a larger matrix cannot be read; the labels with the most errors are kept
MOST_PER_CELL = 40  # examples that a cell opens; all of them stand in predictions.parquet
MOST_EXAMPLES = 1500
MOST_MISTAKES = 12
EXCERPT = 320


def confusion(evidence: Evidence) -> Figure | None:
    """Counts of truth against prediction; each cell opens its examples."""
    if not evidence.are_labels_predicted or len(evidence.labels) < 2:
        return None
    table = _table(evidence)
    shown = _labels_with_most_errors(table)
    rows = [
        {
            "truth": evidence.labels[i],
            "prediction": evidence.labels[j],
            "count": int(table[i, j]),
            "share of truth": _share(table, i, j),
        }
        for i in shown
        for j in shown
    ]
    content = {"labels": [evidence.labels[i] for i in shown], "lines": [_line(evidence, table, shown, i) for i in shown]}
    sentence = _confusion_sentence(evidence.labels, table)
    if len(shown) < len(table):
        sentence += f" Shown: the {len(shown)} of {len(table)} labels with the most errors."
    content["examples"] = _examples_by_cell(evidence, shown)
    return Figure("confusion", "Confusion matrix", sentence, rows, html="confusion", content=content, wide=len(shown) > 4)


def mistakes(evidence: Evidence) -> Figure | None:
    """The wrong predictions that were surest."""
    if not evidence.are_labels_predicted or evidence.outcome is None:
        return None
    wrong = [i for i in _surest_first(evidence) if evidence.truth[i] != evidence.said[i]]
    if not wrong:
        return None
    rows = [_described(evidence, i) for i in wrong]
    first, n = rows[0], len(evidence.truth)
    sure = f" with {words.percent(first['probability'], 1)}" if "probability" in first else ""
    sentence = (
        f"{words.count(len(wrong), 'mistake')} in {words.count(n, 'test example')}; "
        f"the surest says “{first['prediction']}”{sure} where the truth is “{first['truth']}”."
    )
    title = "Most confident mistakes" if evidence.probabilities is not None else "Mistakes"
    content = {"rows": rows[:MOST_MISTAKES]}
    return Figure("mistakes", title, sentence, rows, html="mistakes", content=content, wide=True)


def label_scores(evidence: Evidence) -> Figure | None:
    """F1 of each label where an example has several."""
    if evidence.kind != "labels" or evidence.outcome is None:
        return None
    rows = [_label_row(evidence, label) for label in evidence.labels]
    rows = sorted((row for row in rows if row["examples"] or row["predicted"]), key=lambda row: row["f1"])
    if not rows:
        return None
    sentence = f"Weakest: {rows[0]['label']} (F1 {words.number(rows[0]['f1'])}, {words.count(rows[0]['examples'], 'example')})"
    sentence += f"; strongest: {rows[-1]['label']} ({words.number(rows[-1]['f1'])})." if len(rows) > 1 else "."
    return Figure("labels", "F1 by label", sentence, rows, (_bars(rows[:40]),), wide=True)


def _table(evidence: Evidence) -> np.ndarray:
    size = len(evidence.labels)
    return np.bincount(evidence.truth * size + evidence.said, minlength=size**2).reshape(size, size)


def _labels_with_most_errors(table: np.ndarray) -> list[int]:
    errors = table.sum(axis=0) + table.sum(axis=1) - 2 * np.diag(table)
    return sorted(np.argsort(-errors, kind="stable")[:MOST_LABELS].tolist())


def _share(table: np.ndarray, i: int, j: int) -> float:
    total = int(table[i].sum())
    return round(float(table[i, j] / total), 4) if total else 0.0


def _line(evidence: Evidence, table: np.ndarray, shown: list[int], i: int) -> dict[str, Any]:
    cells = [{"key": f"{i}-{j}", "count": int(table[i, j]), "share": _share(table, i, j), "right": i == j} for j in shown]
    for j, cell in zip(shown, cells, strict=True):
        cell["label"] = evidence.labels[j]
    return {"label": evidence.labels[i], "total": int(table[i].sum()), "cells": cells}


def _confusion_sentence(labels: list[str], table: np.ndarray) -> str:
    wrong = int(table.sum() - np.trace(table))
    if not wrong:
        return f"No mistake in {words.count(int(table.sum()), 'test example')}."
    off = table - np.diag(np.diag(table))
    i, j = np.unravel_index(int(off.argmax()), off.shape)
    word = "Most errors" if off.max() * 2 > wrong else "Most frequent error"
    return f"{word}: {labels[i]} called {labels[j]}, {off.max()} of {wrong}."


def _surest_first(evidence: Evidence) -> list[int]:
    if evidence.probabilities is None:
        return list(range(len(evidence.truth)))
    chosen = evidence.probabilities[np.arange(len(evidence.said)), evidence.said]
    return [int(i) for i in np.argsort(-chosen, kind="stable")]


def _described(evidence: Evidence, i: int) -> dict[str, Any]:
    example = evidence.examples[i]
    row: dict[str, Any] = {"id": example.id, "truth": evidence.labels[evidence.truth[i]]}
    row["prediction"] = evidence.labels[evidence.said[i]]
    if evidence.probabilities is not None:
        row["probability"] = round(float(evidence.probabilities[i, evidence.said[i]]), 6)
    if example.input:
        row["excerpt"] = shortened(str(example.input))
    return row


def shortened(text: str) -> str:
    """On one line and not longer than a few lines of the page."""
    flat = " ".join(text.split())
    return flat if len(flat) <= EXCERPT else flat[: EXCERPT - 1].rstrip() + "…"


def _examples_by_cell(evidence: Evidence, shown: list[int]) -> dict[str, list[dict[str, Any]]]:
    """Up to 40 examples of each cell, surest first; wrong cells are filled before right ones."""
    order = sorted(_surest_first(evidence), key=lambda i: bool(evidence.truth[i] == evidence.said[i]))
    cells: dict[str, list[dict[str, Any]]] = {}
    left = MOST_EXAMPLES
    for i in order:
        key = f"{evidence.truth[i]}-{evidence.said[i]}"
        is_shown = evidence.truth[i] in shown and evidence.said[i] in shown
        if is_shown and left and len(cells.setdefault(key, [])) < MOST_PER_CELL:
            cells[key].append(_described(evidence, i))
            left -= 1
    return cells


def _label_row(evidence: Evidence, label: str) -> dict[str, Any]:
    outcome = evidence.outcome
    truth = np.array([label in target for target in outcome.targets] if outcome else [], dtype=bool)
    said = np.array([label in prediction.value for prediction in outcome.predictions] if outcome else [], dtype=bool)
    right, size = int((truth & said).sum()), int(truth.sum() + said.sum())
    f1 = round(2 * right / size, 4) if size else 0.0
    return {"label": label, "f1": f1, "examples": int(truth.sum()), "predicted": int(said.sum()), "right": right}


def _bars(rows: list[dict[str, Any]]) -> dict[str, Any]:
    import altair as alt

    y = alt.Y("label:N", sort=[row["label"] for row in reversed(rows)], title=None)
    x = alt.X("f1:Q", scale=alt.Scale(domain=[0, 1]), title="F1", axis=alt.Axis(grid=True, tickCount=5))
    tips = ["label:N", alt.Tooltip("f1:Q", format=".3f"), "examples:Q", "predicted:Q", "right:Q"]
    return finished(
        alt.Chart(values(rows)).mark_bar(color=RUN, cornerRadiusEnd=3).encode(x=x, y=y, tooltip=tips), 24 * len(rows) + 8
    )
