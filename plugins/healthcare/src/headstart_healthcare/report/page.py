"""The clinical section: one page for the reader who decides about patients, then the curves behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart_healthcare.report.checklist import checklist
from headstart_healthcare.report.curves import calibration_curve, decision_curve
from headstart_healthcare.report.doubt import sets, sureness
from headstart_healthcare.report.elsewhere import abstention, here_and_elsewhere, shift
from headstart_healthcare.report.headline import headline, patients
from headstart_healthcare.report.subgroups import subgroups

NAME = "healthcare/clinical"


def figures(evidence: Evidence) -> Sequence[Figure]:
    """Figures of every question that the clinical evaluation measured on the test part; none in other runs."""
    measured: Mapping[str, Any] = (evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}
    questions = (measured.get("test") or {}).get("questions") or {}
    draws = (patients, headline, calibration_curve, decision_curve, sureness, subgroups)
    found = [draw(label, question, few=len(questions) == 1) for label, question in questions.items() for draw in draws]
    beside = [draw(evidence) for draw in (here_and_elsewhere, abstention, sets, shift, checklist)]
    return [figure for figure in (*found, *beside) if figure is not None]
