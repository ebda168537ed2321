"""Colours of the charts: CSS variables in the page, so that dark mode and print change them without drawing again."""

from __future__ import annotations

from typing import Any

# Okabe and Ito 2008: eight colours that colour-blind readers tell apart; the page's style defines --c0 ... --c7 from them
CATEGORIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#6B7280")
LIGHT = {
    "ink": "#1b1f24",
    "muted": "#5b6470",
    "grid": "#ebebe6",
    "line": "#c9cbc6",
    "run": "#0072B2",
    "base": "#8a8f98",
    "good": "#00795c",
    "bad": "#c2410c",
    "card": "#ffffff",
} | {f"c{i}": colour for i, colour in enumerate(CATEGORIES)}

RUN, BASE, MUTED, INK = (f"var(--{name})" for name in ("run", "base", "muted", "ink"))


def config(colour: dict[str, str]) -> dict[str, Any]:
    """A Vega-Lite configuration: quiet axes, no frame, the reader's own sans-serif font."""
    text = {"labelColor": colour["muted"], "titleColor": colour["muted"], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": None,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "view": {"stroke": None},
        "axis": text
        | {
            "titleFontWeight": "normal",
            "gridColor": colour["grid"],
            "domainColor": colour["line"],
            "tickColor": colour["line"],
            "labelPadding": 5,
            "titlePadding": 8,
            "tickSize": 4,
        },
        "axisY": {"minExtent": 46, "domain": False, "ticks": False},
        "axisX": {"grid": False, "labelFlush": True},
        "legend": text | {"orient": "top", "titleFontWeight": "normal", "symbolStrokeWidth": 3, "labelLimit": 220, "offset": 4},
        "range": {"category": [colour[f"c{i}"] for i in range(len(CATEGORIES))]},
        "text": {"color": colour["ink"], "fontSize": 12},
        "rule": {"color": colour["base"]},
    }


PAGE_CONFIG = config({name: f"var(--{name})" for name in LIGHT})
FILE_CONFIG = config(LIGHT)


def resolved(value: Any) -> Any:
    """The same specification with the light colours in place of CSS variables, for files that stand alone."""
    if isinstance(value, dict):
        return {key: resolved(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolved(inner) for inner in value]
    is_variable = isinstance(value, str) and value.startswith("var(--")
    return LIGHT.get(value[6:-1], value) if is_variable else value
