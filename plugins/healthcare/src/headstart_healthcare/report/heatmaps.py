"""The section of heat maps: drawn from what `headstart explain` has written beside the run."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.files import read_json
from headstart.report.charts import Spec, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure

FOLDER, FILE = "explanations", "explanations.json"
VOLUME = 3  # axes
WIDEST, HIGHEST = 560, 300  # pixels of one case on the page


def heatmaps(evidence: Evidence) -> Sequence[Figure]:
    """One figure with the cases; none where nothing was explained."""
    folder = evidence.files.folder / FOLDER
    if not (folder / FILE).is_file():
        return []
    found: Mapping[str, Any] = read_json(folder / FILE)
    checks = [f"{one['method']} ({one['read']}): {one['check']}" for one in found["methods"]]
    order = " then ".join(["what the network saw,", *(one["method"] for one in found["methods"])])
    way = "Top to bottom, in three planes" if found["axes"] == VOLUME else "Left to right"
    sentence = f"{found['caveat']} {'. '.join(checks)}. {way}: {order}; a colour means the same strength in all cases."
    rows = [
        {
            "case": case["id"],
            "explained": case["label"],
            "probability": case["probability"],
            "truth": case["truth"],
            "why it is here": case["why"],
        }
        for case in found["cases"]
    ]
    files = [folder / case["file"] for case in found["cases"]]
    return [Figure("heatmaps", "What the answers hang on", sentence, rows, [_chart(rows, files)], wide=True)]


def _chart(rows: Sequence[Mapping[str, Any]], files: Sequence[Path]) -> Spec:
    """Pictures below one another, each with its case at the left."""
    import altair as alt

    pictures = [file.read_bytes() for file in files]
    factor = max(max(width / WIDEST, height / HIGHEST) for width, height in map(_size, pictures))
    sizes = [(width / factor, height / factor) for width, height in map(_size, pictures)]
    step = max(height for _, height in sizes) + 12
    data = [
        {"url": "data:image/png;base64," + b64encode(picture).decode(), "case": _caption(row)}
        for picture, row in zip(pictures, rows, strict=True)
    ]
    chart = alt.Chart(values(data)).mark_image(width=sizes[0][0], height=sizes[0][1])
    axis = alt.Axis(labelLimit=220, labelExpr="split(datum.label, '|')", ticks=False, domain=False)
    chart = chart.encode(y=alt.Y("case:N", sort=None, title=None, axis=axis), url="url:N", x=alt.value(sizes[0][0] / 2))
    spec: Spec = chart.properties(width=sizes[0][0], height=step * len(data)).to_dict()
    spec.pop("config", None)
    return spec


def _caption(row: Mapping[str, Any]) -> str:
    share = "" if row["probability"] is None else f" ({row['probability']:.2f})"
    truth = "" if row["truth"] is None else f"|truth: {row['truth']}"
    return f"{row['case']}|{row['explained']}{share}{truth}"


def _size(picture: bytes) -> tuple[int, int]:
    """Width and height out of a PNG's header."""
    width, height = struct.unpack(">II", picture[16:24])
    return width, height
