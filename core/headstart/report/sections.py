"""Sections that plugins bring: drawn from the same evidence, and a faulty one is said in its place and stops nothing."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.components import Component
from headstart.plugins import registry
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure

Section = tuple[str, list[Figure]]


def plugin_sections(evidence: Evidence) -> list[Section]:
    """Title and figures of each section that has something to show."""
    drawn = [(component.summary, _drawn(component, evidence)) for component in registry().sections()]
    return [(title, figures) for title, figures in drawn if figures]


def _drawn(component: Component, evidence: Evidence) -> list[Figure]:
    try:
        figures: Sequence[Figure] = component.load()(evidence)
        return list(figures)
    except Exception as error:  # a report without one section is better than none
        words = f"The plugin's section '{component.name}' could not be drawn: {type(error).__name__}: {error}"
        return [Figure(component.name.replace("/", "-"), "Not drawn", words, [])]
