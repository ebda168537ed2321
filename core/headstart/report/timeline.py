"""The stage timeline: what trained when, how fast, what was frozen, what was replayed, and how far each stage moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report import words
from headstart.report.charts import thinned
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure

MOST_STOPS = 24  # of a colour gradient within one phase
HEAD = "head"


def timeline(evidence: Evidence) -> Figure | None:
    """Rows from the head (top) to the input (bottom), optimiser steps to the right; None without a ledger."""
    ledger = evidence.files.ledger
    stages, phases = list(ledger.get("stages") or []), list(ledger.get("phases") or [])
    if not stages or not phases:
        return None
    drift = _drift(ledger)
    spans = _spans(phases)
    ends = _rate_ends(phases)
    lines = [
        {"stage": stage, "cells": [_cell(stage, stages, phase, span, ends) for phase, span in zip(phases, spans, strict=True)]}
        | _bar(stage, drift)
        for stage in reversed(stages)
    ]
    content = {
        "lines": lines,
        "phases": [{"name": phase["name"], **span} for phase, span in zip(phases, spans, strict=True)],
        "ticks": _ticks(sum(int(phase.get("steps") or 0) for phase in phases)),
        "low": words.rate(ends[0]),
        "high": words.rate(ends[1]),
        "is_flat": ends[0] == ends[1],
        "is_replayed": any(phase.get("stored") for phase in phases),
        "has_drift": bool(drift),
    }
    rows = [_row(stage, stages, phase, drift) for phase in phases for stage in reversed(stages)]
    sentence = _sentence(stages, phases, drift)
    return Figure("timeline", "Stage timeline", sentence, rows, html="timeline", content=content, wide=True)


def state(stage: str, stages: Sequence[str], phase: Mapping[str, Any]) -> str:
    """What a stage does in a phase: "trains", "replayed" from the store, or "frozen"."""
    if float((phase.get("rates") or {}).get(stage) or 0) > 0:
        return "trains"
    stored = list(phase.get("stored") or [])
    if not stored or stage == HEAD:
        return "frozen"
    boundary = max((stages.index(name) for name in stored if name in stages), default=len(stages))
    return "replayed" if stages.index(stage) <= boundary else "frozen"  # a stored port stands behind every stage


def _drift(ledger: Mapping[str, Any]) -> dict[str, float]:
    phases = ledger.get("phases") or [{}]
    return dict(ledger.get("drift") or phases[-1].get("drift") or {})


def _spans(phases: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Place of each phase in percent of the width; equal widths where nothing was counted in steps."""
    sizes = [float(phase.get("steps") or 0) for phase in phases]
    if not sum(sizes):
        sizes = [1.0] * len(phases)
    total, start, spans = sum(sizes), 0.0, []
    for size in sizes:
        spans.append({"left": round(100 * start / total, 3), "width": round(100 * size / total, 3)})
        start += size
    return spans


def _rate_ends(phases: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Lowest and highest peak rate; the colour scale reaches one decade further down, where schedules end."""
    rates = [float(rate) for phase in phases for rate in (phase.get("rates") or {}).values() if rate]
    return (min(rates) / 10, max(rates)) if rates else (1.0, 1.0)


def _cell(
    stage: str, stages: Sequence[str], phase: Mapping[str, Any], span: Mapping[str, float], ends: tuple[float, float]
) -> dict[str, Any]:
    kind = state(stage, stages, phase)
    peak = float((phase.get("rates") or {}).get(stage) or 0)
    tip = {"trains": f"trains, peak rate {words.rate(peak)}", "frozen": "frozen", "replayed": "frozen, replayed from store"}[
        kind
    ]
    stops = _stops(phase, peak, ends) if kind == "trains" else []
    return {"state": kind, "tip": f"{stage} in {phase['name']}: {tip}", "stops": stops, **span}


def _stops(phase: Mapping[str, Any], peak: float, ends: tuple[float, float]) -> list[tuple[float, float]]:
    """(place in percent, heat in percent) along the phase: heat is the logarithm of the rate between the ends of the scale."""
    schedule = phase.get("schedule") or [[0, 1.0]]
    first, steps = float(schedule[0][0]), max(float(schedule[-1][0]) - float(schedule[0][0]), 1.0)
    chosen = [schedule[i] for i in thinned(len(schedule), MOST_STOPS)]
    return [(round(100 * (float(step) - first) / steps, 1), _heat(peak * float(factor), ends)) for step, factor in chosen]


def _heat(rate: float, ends: tuple[float, float]) -> float:
    low, high = ends
    if rate <= low or low == high:
        return 0.0 if low != high else 100.0
    return round(min(100.0, 100 * math.log(rate / low) / math.log(high / low)), 1)


def _bar(stage: str, drift: Mapping[str, float]) -> dict[str, Any]:
    """Length of the drift bar in percent of the largest of the backbone; a head that began at random runs off the scale."""
    largest = max((value for name, value in drift.items() if name != HEAD), default=0.0) or max(drift.values(), default=0.0)
    value = drift.get(stage)
    if value is None:
        return {"drift": None, "bar": 0, "is_over": False}
    share = value / largest if largest else 0.0
    return {"drift": value, "text": _moved(value), "bar": round(100 * min(share, 1.0), 1), "is_over": share > 1}


def _moved(value: float) -> str:
    if value == 0:
        return "0"
    return words.percent(value, 1 if value >= 0.001 else 3)


def _ticks(total: int) -> list[dict[str, Any]]:
    if not total:
        return []
    raw = total / 5
    unit = 10 ** math.floor(math.log10(raw)) if raw >= 1 else 1
    step = next(size * unit for size in (1, 2, 5, 10) if size * unit >= raw)
    return [{"at": round(100 * i * step / total, 3), "text": f"{int(i * step):,}"} for i in range(int(total // step) + 1)]


def _row(stage: str, stages: Sequence[str], phase: Mapping[str, Any], drift: Mapping[str, float]) -> dict[str, Any]:
    rate = float((phase.get("rates") or {}).get(stage) or 0)
    row = {"phase": phase["name"], "stage": stage, "state": state(stage, stages, phase), "peak learning rate": rate}
    row |= {"first step": phase.get("start_step"), "steps": phase.get("steps"), "drift over the run": drift.get(stage)}
    return row


def _sentence(stages: Sequence[str], phases: Sequence[Mapping[str, Any]], drift: Mapping[str, float]) -> str:
    backbone = [stage for stage in stages if stage != HEAD]
    trained = [stage for stage in backbone if any(state(stage, stages, phase) == "trains" for phase in phases)]
    text = f"All {words.count(len(backbone), 'stage')} of the backbone stayed frozen; only the head trained."
    if trained:
        never = len(backbone) - len(trained)
        rest = f", {words.count(never, 'stage')} stayed frozen" if never else ""
        text = f"{words.count(len(trained), 'stage')} of {len(backbone)} trained in {words.count(len(phases), 'phase')}{rest}."
        moved = {stage: drift[stage] for stage in trained if drift.get(stage)}
        if moved:
            most = max(moved, key=lambda stage: moved[stage])
            text += f" {most} moved furthest: its weights changed by {_moved(moved[most])}."
    if any(phase.get("stored") for phase in phases):
        replayed = sum(int(phase.get("steps") or 0) for phase in phases if phase.get("stored"))
        total = sum(int(phase.get("steps") or 0) for phase in phases)
        text += f" {replayed:,} of {total:,} steps ran on stored features." if total else " Its features were computed once."
    return text
