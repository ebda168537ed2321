"""Quarantine: what was set aside as a table, by pseudonym and reason, beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.predictions import write_table
from headstart_healthcare.reading.errors import REASONS

FILE = "quarantine.csv"
"""In the run's folder, where anything was set aside."""


class Quarantine:
    """Tracker: writes the table of a run when its data were read."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hear where the run is, and what its data told."""
        if event["event"] == "start":
            self._folder = Path(event["folder"])
        if event["event"] == "data" and event.get("research_only") and event.get("quarantined") and self._folder:
            write_quarantine(event["quarantined"], self._folder / FILE)


def write_quarantine(quarantined: Mapping[str, str], path: Path) -> None:
    """One row for each file that was set aside: its pseudonym, the reason's code, and the reason in words."""
    rows = [{"file": name, "reason": code, "words": REASONS.get(code, "")} for name, code in sorted(quarantined.items())]
    write_table(rows, path)
