"""headstart-healthcare: what it offers; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

from headstart import Component, hookimpl
from headstart_healthcare.data.catalogue import DATA


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of pictures and volumes of patients."""
    for name, target, summary in DATA:
        yield Component(f"healthcare/{name}", f"headstart_healthcare.data.{target}", summary)


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
