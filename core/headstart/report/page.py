"""The page: every section that a run folder has evidence for, in one file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from headstart.files import write_text
from headstart.report import panels, words
from headstart.report.bundle import bundle
from headstart.report.concerns import concerns
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.figures_calibration import reliability
from headstart.report.figures_classes import confusion, label_scores, mistakes
from headstart.report.figures_clusters import clusters
from headstart.report.figures_numbers import predicted_and_true, residuals, worst_numbers
from headstart.report.figures_ranking import precision_recall, roc
from headstart.report.figures_training import learning_curves
from headstart.report.figures_transfer import transfer
from headstart.report.figures_verdict import verdict
from headstart.report.sections import plugin_sections
from headstart.report.theme import PAGE_CONFIG
from headstart.report.timeline import timeline
from headstart.run_files import RunFiles

Draw = Callable[[Evidence], Figure | None]

SECTIONS: tuple[tuple[str, tuple[Draw, ...]], ...] = (
    ("What it gets right and wrong", (confusion, predicted_and_true, residuals, label_scores, clusters)),
    ("How well it ranks, and how sure it is", (roc, precision_recall, reliability)),
    ("How it was trained", (timeline, learning_curves, transfer)),
    ("Where it fails", (mistakes, worst_numbers)),
    ("What it was trained and tested on", (panels.split_panel,)),
)
EXAMPLES = "confusion"  # the figure whose cells open their examples


def write_report(folder: Path) -> Path:
    """Make `report.html` and `figures/` from the files of a run folder alone; what has no evidence is left out.

    Raises:
        DataError: A file of the folder is broken.
    """
    evidence = Evidence(RunFiles(folder))
    top = verdict(evidence)
    own = [(title, [figure for draw in draws if (figure := draw(evidence))]) for title, draws in SECTIONS]
    sections = [*plugin_sections(evidence), *own]
    figures = ([top] if top else []) + [figure for _, found in sections for figure in found]
    (folder / "figures").mkdir(exist_ok=True)
    for figure in figures:
        figure.write(folder / "figures")
    path = folder / "report.html"
    write_text(path, render(evidence, top, sections))
    return path


def render(evidence: Evidence, top: Figure | None, sections: list[tuple[str, list[Figure]]]) -> str:
    """The page as HTML."""
    charts = {f.name: list(f.charts) for _, found in [("", [top] if top else []), *sections] for f in found if f.charts}
    examples: Any = next((f.content["examples"] for _, found in sections for f in found if f.name == EXAMPLES), {})
    text: str = _environment().get_template("page.html.j2").render(
        name=evidence.files.folder.name,
        title=str(evidence.files.lock.get("name") or evidence.files.folder.name),
        parts=panels.parts(evidence),
        main=evidence.scores.get(evidence.main_score),
        main_name=words.score_name(evidence.main_score),
        verdict=top,
        concerns=concerns(evidence),
        scores=panels.score_table(evidence),
        folds=panels.fold_table(evidence),
        sections=[(title, found) for title, found in sections if found],
        facts=panels.training_facts(evidence),
        reproduction=panels.reproduction(evidence),
        is_research_only=bool((evidence.files.data.get("facts") or {}).get("research_only")),
        style=_resource("page.css"),
        script=_resource("page.js"),
        bundle=_script(bundle()) if charts else "",
        charts=in_script(charts),
        examples=in_script(examples),
        config=in_script(PAGE_CONFIG),
        words=words,
    )  # fmt: skip
    return text


def in_script(value: Any) -> Any:
    """JSON that stays data inside a script element, whatever texts it holds: "<" can neither close it nor open a comment."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704 - escaped above


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("headstart.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    environment.filters["percent"] = words.percent
    return environment


def _resource(name: str) -> Any:
    return _script(package_files("headstart.report").joinpath(name).read_text(encoding="utf-8"))


def _script(text: str) -> Any:
    """A text of ours or of a library's that stands in the page as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - nothing of the user's or of the data
