"""Leaving one site out: what a model does at a hospital that it has not seen (Zech et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from headstart.errors import DataError, UsageError
from headstart.files import write_json
from headstart.fit import fit
from headstart.recipe import Recipe
from headstart.trial import make_parts
from headstart_healthcare.data.clinical_data import ClinicalData, site_of

NAME = "healthcare/clinical"
FIGURES = ("auroc", "sensitivity", "specificity")
LEAST = 2  # sites


@dataclass(frozen=True)
class SiteResult:
    """One site, tested by a model of all the others.

    Attributes:
        run: Name of the run's folder.
        questions: Label -> clinical figures, as `metrics.json` holds them.
    """

    site: str
    run: str
    questions: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sites:
    """All of them, and the file that they were written to."""

    results: tuple[SiteResult, ...]
    file: Path

    def as_json(self) -> dict[str, Any]:
        """Site -> run, and question -> figures with intervals; what is undefined says so."""
        return {
            one.site: {"run": one.run, "questions": {label: _figures(found) for label, found in one.questions.items()}}
            for one in self.results
        }

    def lines(self) -> list[str]:
        """For a terminal: one line for each site and question."""
        return [line for one in self.results for label, found in one.questions.items() for line in [_line(one, label, found)]]


def leave_one_site_out(recipe: Recipe, out: Path) -> Sites:
    """A run for each site of the recipe's data, and a table of them below `out`.

    Raises:
        UsageError: The data are not clinical, or cannot be divided by site.
        DataError: They name fewer than two sites.
    """
    data = make_parts(recipe, ("data",))[0]
    if not isinstance(data, ClinicalData) or not hasattr(data, "choices"):
        raise UsageError(f"data '{recipe.data.use}' name no sites; healthcare/images, dicom and volumes do")
    known = sorted({site for example in data.examples() if (site := site_of(example)) is not None})
    if len(known) < LEAST:
        raise DataError(
            f"the data name {len(known)} sites, and one cannot be left out; name the column with `site`, or in `tags` one of "
            "InstitutionName, StationName and DeviceSerialNumber"
        )
    results = tuple(_left_out(recipe, site, out) for site in known)
    file = out / f"{datetime.now():%Y-%m-%d_%H%M}-{recipe.name}-sites-{token_hex(3)}.json"
    found = Sites(results, file)
    write_json(file, found.as_json())
    file.chmod(0o600)
    return found


def _left_out(recipe: Recipe, site: str, out: Path) -> SiteResult:
    data = replace(recipe.data, options={**recipe.data.options, "test_site": site})
    run = fit(replace(recipe, data=data, name=f"{recipe.name}-site"), out)
    questions = run.metrics["evaluations"][NAME]["test"]["questions"]
    return SiteResult(site, run.folder.name, questions)


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    if "undefined" in found:
        return {"n": found["n"], "undefined": found["undefined"]}
    at = found["at_threshold"]
    return {
        "n": found["n"],
        "patients": found["patients"],
        "prevalence": found["prevalence"],
        "auroc": found["auroc"],
        **{name: at[name] for name in FIGURES[1:]},
        "threshold": at["threshold"],
    }


def _line(one: SiteResult, label: str, found: Mapping[str, Any]) -> str:
    figures = _figures(found)
    if "undefined" in figures:
        return f"{one.site}: {label}: {figures['undefined']}, n = {figures['n']}  ({one.run})"
    told = ", ".join(f"{name} {_ends(figures[name])}" for name in FIGURES)
    return f"{one.site}: {label}: {told}, n = {figures['n']}  ({one.run})"


def _ends(interval: Mapping[str, float] | None) -> str:
    return "n/a" if interval is None else f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
