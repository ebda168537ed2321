"""Data from elsewhere: the same model on its own test part and outside, what it would not answer, and how test differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart_healthcare.report.headline import NAMES

NAME = "healthcare/clinical"


def here_and_elsewhere(evidence: Evidence) -> Figure | None:
    """Clinical figures on the run's own test part beside those of an external evaluation; None in ordinary runs."""
    external = evidence.files.metrics.get("external")
    if not external:
        return None
    inside = ((external.get("evaluations") or {}).get(NAME) or {}).get("questions") or {}
    outside = _questions(evidence)
    rows = [row for label, found in outside.items() for row in _rows(label, inside.get(label) or {}, found)]
    sentence = (
        f"The model of the run {external['run']} as it is: calibration, threshold and what it would not answer were settled "
        "there, and nothing was fitted to these data."
    )
    return Figure("elsewhere", "Here and elsewhere", sentence, rows)


def abstention(evidence: Evidence) -> Figure | None:
    """How many of the test examples the model would rather not answer, and why."""
    found = _measured(evidence).get("abstention")
    if not found:
        return None
    why = ", ".join(f"{reason}: {count}" for reason, count in found["reasons"].items()) or "no reasons to"
    areas = "; ".join(
        f"AUROC of {label} on the others {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
        for label, one in found["answered"].items()
        if one
    )
    sentence = (
        f"Of {found['n']:,} test examples the model would rather not answer {found['abstained']:,} "
        f"({100 * found['share']:.1f} %; {why}). {areas}. Limits come from validation; `headstart predict` "
        "names the reason in the column `abstain`."
    )
    return Figure(
        "abstention", "What it would rather not answer", sentence, [{"reason": k, "n": n} for k, n in found["reasons"].items()]
    )


def shift(evidence: Evidence) -> Figure | None:
    """What the features say that no training has touched: is the test part like validation?"""
    frozen = ((evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}).get("frozen")
    if not frozen:
        return None
    rows: list[dict[str, Any]] = [
        {"measure": "test examples further away than 95 % of validation's", "value": round(frozen["share"], 3), "alike": 0.05}
    ]
    if apart := frozen.get("told_apart"):
        rows.append({"measure": "AUROC of telling test from validation", "value": round(apart["auroc"], 3), "alike": 0.5})
    if probe := frozen.get("probe"):
        told = {"measure": "probe's AUROC on test", "value": round(probe["test"], 3), "alike": round(probe["val"], 3)}
        rows.append(told)
    said = "; ".join(f"{row['measure']}: {row['value']} ({row['alike']} where both parts are alike)" for row in rows)
    return Figure("shift", "Is the test part like validation?", f"By the features of the untouched backbone: {said}.", rows)


def _rows(label: str, inside: Mapping[str, Any], outside: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    if "undefined" in outside:
        return [{"question": label, "measure": "AUROC", "here": _value(inside, "auroc"), "elsewhere": outside["undefined"]}]
    return [
        {"question": label, "measure": words, "here": _value(inside, name), "elsewhere": _value(outside, name)}
        for name, words in NAMES.items()
    ]


def _value(question: Mapping[str, Any], name: str) -> str:
    found = question.get(name) or (question.get("at_threshold") or {}).get(name)
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "n/a"


def _measured(evidence: Evidence) -> Mapping[str, Any]:
    measured = (evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}
    return measured.get("test") or {}


def _questions(evidence: Evidence) -> Mapping[str, Mapping[str, Any]]:
    return _measured(evidence).get("questions") or {}
