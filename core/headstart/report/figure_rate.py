"""The picture of a learning-rate range test: loss over rate, with both suggestions, as a file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.files import writing
from headstart.report.charts import finished, values
from headstart.report.theme import BASE, FILE_CONFIG, INK, MUTED, RUN, resolved

if TYPE_CHECKING:
    from headstart.lr_finder import Sweep

FORMATS = (".html", ".svg", ".png")


def write_rate(sweep: Sweep, path: Path) -> None:
    """Write the picture; its form follows from the name's ending, one of `FORMATS`."""
    import vl_convert

    spec = resolved(chart(sweep)) | {"config": FILE_CONFIG | {"background": "white"}, "width": 640}
    with writing(path):
        if path.suffix == ".png":
            path.write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
        else:
            convert = vl_convert.vegalite_to_svg if path.suffix == ".svg" else _page
            path.write_text(convert(spec), encoding="utf-8")


def _page(spec: dict[str, Any]) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_html(spec, bundle=True))


def chart(sweep: Sweep) -> dict[str, Any]:
    """Every loss as a dot, the smoothed loss as a line, rates on a logarithmic scale."""
    import altair as alt

    rows = [
        {"rate": rate, "loss": loss, "smoothed": smoothed}
        for rate, loss, smoothed in zip(sweep.rates, sweep.losses, sweep.smoothed, strict=True)
    ]
    # the losses at the end may be thousands of times the first ones: the picture stops at what tells something
    top = 1.6 * max(sweep.smoothed[: max(1, len(rows) // 2)])
    scale = alt.Scale(domain=[min(0.9 * min(sweep.smoothed), *sweep.losses), top], clamp=True)
    base = alt.Chart(values(rows)).encode(x=alt.X("rate:Q", scale=alt.Scale(type="log"), title="learning rate"))
    title = f"training loss, phase {sweep.phase}"
    dots = base.mark_circle(color=BASE, size=18, opacity=0.6).encode(y=alt.Y("loss:Q", scale=scale, title=title))
    line = base.mark_line(color=RUN, strokeWidth=2.5).encode(y=alt.Y("smoothed:Q", scale=scale, title=title))
    said = [
        {"rate": rate, "word": f"{name} {rate:.2g}"} for name, rate in (("valley", sweep.valley), ("steepest", sweep.steepest))
    ]
    marks = alt.Chart(values(said)).encode(x="rate:Q")
    rules = marks.mark_rule(strokeDash=[4, 3], color=INK)
    words = [
        alt.Chart(values([row]))
        .mark_text(align="left", dx=4, dy=8 + 15 * at, color=MUTED)
        .encode(x="rate:Q", y=alt.value(0), text="word:N")
        for at, row in enumerate(said)
    ]
    return finished(alt.layer(dots, line, rules, *words), 320)
