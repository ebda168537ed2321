"""For clusters: which labels each of them holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from headstart.report import words
from headstart.report.charts import finished, values
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.theme import INK


def clusters(evidence: Evidence) -> Figure | None:
    """Share of each label in each cluster."""
    if not evidence.is_clustering or evidence.outcome is None:
        return None
    pairs = [
        (int(p.details["cluster"]), str(t)) for p, t in zip(evidence.outcome.predictions, evidence.outcome.targets, strict=True)
    ]
    counts, sizes = Counter(pairs), Counter(cluster for cluster, _ in pairs)
    labels = evidence.labels or sorted({label for _, label in pairs})
    rows = [
        {
            "cluster": f"{cluster}",
            "label": label,
            "examples": counts[cluster, label],
            "share": round(counts[cluster, label] / size, 4),
        }
        for cluster, size in sorted(sizes.items())
        for label in labels
    ]
    return Figure(
        "clusters",
        "Clusters and labels",
        _sentence(rows, evidence.files.metrics.get("head") or {}),
        rows,
        (_heat_map(rows, len(sizes)),),
        wide=True,
    )


def _sentence(rows: list[dict[str, Any]], learnt: Mapping[str, Any]) -> str:
    purest = max(rows, key=lambda row: (row["share"], row["examples"]))
    named = {"silhouette": "silhouette", "nmi": "NMI", "ari": "ARI"}
    found = [f"{name} {learnt[key]:.2f}" for key, name in named.items() if learnt.get(key) is not None]
    return (
        f"{words.count(len({row['cluster'] for row in rows}), 'cluster')}; the purest is cluster {purest['cluster']}, "
        f"{words.percent(purest['share'])} {purest['label']} ({words.count(purest['examples'], 'example')})."
        + (f" On the training examples: {', '.join(found)}." if found else "")
    )


def _heat_map(rows: list[dict[str, Any]], size: int) -> dict[str, Any]:
    import altair as alt

    base = alt.Chart(values(rows)).encode(
        x=alt.X("label:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelLimit=110)),
        y=alt.Y("cluster:N", sort=None),
        tooltip=["cluster:N", "label:N", "examples:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    opacity = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.03, 0.75]), legend=None)
    cells = base.mark_rect(color="var(--run)", cornerRadius=3).encode(opacity=opacity)
    return finished(cells + base.mark_text(color=INK).encode(text="examples:Q"), 40 * size + 10)
