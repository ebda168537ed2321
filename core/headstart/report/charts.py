"""Small joints between altair and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
HEIGHT = 260


def values(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as altair data, without pandas."""
    import altair as alt

    return alt.InlineData(values=[dict(row) for row in rows])


def finished(chart: Any, height: int = HEIGHT) -> Spec:
    """A checked Vega-Lite specification as wide as its place on the page; colours come from the page."""
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    spec.pop("config", None)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec


def thinned(size: int, most: int) -> list[int]:
    """Evenly spread indices of at most `most` out of `size`, with both ends."""
    import numpy as np

    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(int)).tolist() if size else []
