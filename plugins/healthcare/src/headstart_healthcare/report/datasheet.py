"""The datasheet: what is known of the data of a clinical run, by the questions of Gebru et al. 2021; the rest is the author's.

Written as the data are divided, beside the model card; pseudonyms and counts only, and the search for names covers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.files import read_json, write_text
from headstart_healthcare.reading.errors import REASONS

FILE = "datasheet.md"
"""In the run's folder."""

BANNER = "Research use only. Not a medical device."
AUTHOR = "for the author"


class Datasheet:
    """Tracker: writes the sheet of a clinical run when its data are divided."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hear where the run is, and that its division is written down."""
        if event["event"] == "start":
            self._folder = Path(event["folder"])
        if event["event"] != "audit" or self._folder is None:
            return
        told = read_json(self._folder / "data.json")
        if (told.get("facts") or {}).get("research_only"):
            write_text(self._folder / FILE, datasheet(told))


def datasheet(told: Mapping[str, Any]) -> str:
    """Markdown of what `data.json` holds."""
    facts, audit = told["facts"], told["audit"]
    sections = {
        "Motivation": [f"why, by whom and with whose money the data were made: {AUTHOR}"],
        "Composition": [*_composition(facts), *_labels(told["counts"], told.get("unknown") or {})],
        "Collection": [f"where, when, with which devices, from whom, with which consent: {AUTHOR}", *_geometry(facts)],
        "Preparation and labelling": [f"who labelled, by what, how well they agree: {AUTHOR}", *_set_aside(facts)],
        "Division": [*_division(told["groups"]), f"found in two parts: {len(audit['found']):,}, policy {audit['policy']}"],
        "Uses": [f"intended use, and what they must not be used for: {AUTHOR}", BANNER],
        "Distribution and maintenance": [f"licence, who may have them, who keeps them, how errors are told: {AUTHOR}"],
    }
    body = "\n".join(f"## {title}\n\n{_written(lines)}" for title, lines in sections.items())
    return f"# Datasheet\n\n**{BANNER}** After Gebru et al. 2021 (CACM 64:12); filled in where the run knows it.\n\n{body}"


def _written(lines: Sequence[str]) -> str:
    """Sentences as a list, and behind them the rows of a table."""
    told = "".join(f"* {line}\n" for line in lines if not line.startswith("|"))
    rows = "".join(f"{line}\n" for line in lines if line.startswith("|"))
    return f"{told}\n{rows}" if rows else told


def _division(groups: Mapping[str, int]) -> list[str]:
    if not any(groups.values()):
        return ["by picture: no patient is known"]
    return [f"patients in {name}: {count:,}" for name, count in groups.items()]


def _composition(facts: Mapping[str, Any]) -> list[str]:
    flow = facts.get("flow") or {}
    patients = f"{flow.get('patients'):,}" if flow.get("patients") else "not known: pictures of one person may be in two parts"
    found = [f"files listed {flow.get('listed', 0):,}, read {flow.get('read', 0):,}, labelled {flow.get('labelled', 0):,}"]
    return [*found, f"patients: {patients}", f"who may be missing, and which groups are small: {AUTHOR}"]


def _labels(counts: Mapping[str, Mapping[str, int]], unknown: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A table of labels by part; where some are not known, with how many of each part."""
    labels = list(dict.fromkeys(label for part in counts.values() for label in part))
    columns = [(name, part) for name, part in counts.items()]
    if any(unknown.values()):
        columns += [(f"not known in {name}", unknown.get(name, {})) for name in counts]
    head = ["label", *(name for name, _ in columns)]
    rows = [[label, *(f"{part.get(label, 0):,}" for _, part in columns)] for label in labels]
    return ["|" + "|".join(row) + "|" for row in ([str(cell) for cell in head], ["---"] * len(head), *rows)]


def _geometry(facts: Mapping[str, Any]) -> list[str]:
    spacing = facts.get("spacing") or {}
    told = ", ".join(f"{place} {count:,}" for place, count in spacing.items())
    sites = facts.get("site_label_association") or {}
    linked = ", ".join(f"{label} {value:.2f}" for label, value in sites.items())
    return [f"spacing known from: {told or 'nothing'}"] + (
        [f"site and label go together (Cramer's V): {linked}"] if linked else []
    )


def _set_aside(facts: Mapping[str, Any]) -> list[str]:
    excluded = (facts.get("flow") or {}).get("excluded") or {}
    reasons = [f"set aside, {REASONS.get(reason, reason)}: {count:,}" for reason, count in excluded.items()]
    return reasons or ["nothing was set aside"]
