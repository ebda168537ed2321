"""A figure: one title, one sentence that reads it, a picture and the table behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.files import write_text
from headstart.predictions import write_table
from headstart.report.theme import FILE_CONFIG, resolved

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One picture of the report.

    Attributes:
        name: File name without ending, also the anchor in the page.
        title: What is shown.
        sentence: What it says, with the numbers of this run.
        rows: The table behind it.
        charts: Vega-Lite specifications, drawn one below the other.
        html: Name of the template block that draws it where it is no chart ("confusion", "timeline", ...).
        content: What that block needs.
        wide: Whether it takes the whole width of the page.
    """

    name: str
    title: str
    sentence: str
    rows: Sequence[Row]
    charts: Sequence[Mapping[str, Any]] = ()
    html: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    wide: bool = False

    @property
    def columns(self) -> list[str]:
        """Columns of the table behind the figure."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    @property
    def label(self) -> str:
        """What a screen reader says in place of the picture."""
        return f"{self.title}. {self.sentence}"

    def write(self, folder: Path) -> None:
        """Write the table as csv and each chart as a Vega-Lite file that opens in the Vega editor."""
        if self.rows:
            write_table(self.rows, folder / f"{self.name}.csv")
        for i, chart in enumerate(self.charts):
            name = self.name if i == 0 else f"{self.name}-{i + 1}"
            spec = {**resolved(dict(chart)), "config": FILE_CONFIG, "width": 600}
            write_text(folder / f"{name}.vl.json", json.dumps(spec, indent=1, ensure_ascii=False))
