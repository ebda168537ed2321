"""headstart-healthcare: what it offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from headstart import Component, hookimpl
from headstart_healthcare.backbones.catalogue import BACKBONES
from headstart_healthcare.clinical.sites_command import sites
from headstart_healthcare.data.catalogue import DATA
from headstart_healthcare.privacy.reveal import reveal
from headstart_healthcare.trackers import trackers
from headstart_healthcare.trail.command import audit


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of pictures and volumes of patients."""
    for name, target, summary in DATA:
        yield Component(f"healthcare/{name}", f"headstart_healthcare.data.{target}", summary)


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Networks for grey pictures and volumes."""
    for name, target, licence, megabytes, summary in BACKBONES:
        home = f"headstart_healthcare.backbones.{target}"
        requires = ("transformers",) if name == "rad-dino" else ()
        yield Component(f"healthcare/{name}", home, summary, licence=licence, megabytes=megabytes, requires=requires)


@hookimpl
def headstart_heads() -> Iterator[Component]:
    """Heads for grades, findings that are partly unknown, and bags."""
    home = "headstart_healthcare.heads"
    yield Component("healthcare/ordinal", f"{home}.ordinal:Ordinal", "`ordinal` of the core by its old name; Cao et al. 2020")
    yield Component("healthcare/multilabel", f"{home}.multilabel:KnownMultiLabel", "findings, some of them unknown")
    yield Component("healthcare/bag", f"{home}.bag:Bag", "attention over slices or patches; Ilse et al. 2018")


@hookimpl
def headstart_evaluations() -> Iterator[Component]:
    """Measures that clinical data prescribe."""
    yield Component(
        "healthcare/clinical",
        "headstart_healthcare.clinical.evaluation:Clinical",
        "AUROC (DeLong), sensitivity and specificity at a threshold from validation, calibration, net benefit, subgroups",
    )


@hookimpl
def headstart_report() -> Iterator[Component]:
    """The clinical section of the report."""
    yield Component("healthcare/clinical", "headstart_healthcare.report.page:figures", "For the clinical reader")
    yield Component("healthcare/heatmaps", "headstart_healthcare.report.heatmaps:heatmaps", "What the answers hang on")


@hookimpl
def headstart_explainers() -> Iterator[Component]:
    """Heat maps of pictures and volumes."""
    home = "headstart_healthcare.explain.explaining:explain"
    yield Component("healthcare/heatmaps", home, "Grad-CAM and occlusion of pictures and volumes")


@hookimpl
def headstart_cases() -> Iterator[Component]:
    """What the conformance kit runs these parts with."""
    yield Component("healthcare/cases", "headstart_healthcare.cases:cases", "random weights, small inputs")


@hookimpl
def headstart_commands() -> Iterator[click.Command]:
    """Which file a pseudonym stands for; every site tested by a model that has not seen it; whether a run was changed."""
    yield reveal
    yield sites
    yield audit


@hookimpl
def headstart_trackers() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Closes the folder of a clinical run to others, writes into it what was set aside and why, a datasheet, and what was
    done.
    """
    return trackers()
