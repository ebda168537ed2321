"""What all clinical data share: every file read once before training, names turned into pseudonyms, and the evaluation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.builtin.columns import check_rows, subset, target_of
from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.quarantine import check_budget
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.labels import Schema
from headstart_healthcare.data.patients import Patients
from headstart_healthcare.data.preflight import facts_of, fly
from headstart_healthcare.data.studies import facts_of_studies, joined
from headstart_healthcare.privacy.log_mask import mask_logs
from headstart_healthcare.privacy.pseudonyms import Pseudonyms, pseudonyms

SITE = "site"
"""The subgroup that says where an example was taken."""


@dataclass(frozen=True)
class Choices:
    """Options of every clinical data part; the parts' own docstrings say what each means."""

    patients: Patients
    schema: Schema = Schema()  # noqa: RUF009 - frozen
    positive: str | None = None
    max_bad: float = 0.01
    rows: int | None = None
    seed: int = 0
    test_site: str | None = None

    def __post_init__(self) -> None:
        check_rows(self.rows)
        check_budget(self.max_bad, "files")


def site_of(example: Example) -> str | None:
    """Where an example was taken, as it leaves the data; None = nobody says."""
    site: str | None = example.meta.get("subgroups", {}).get(SITE)
    return site


def by_site(examples: list[Example], test_site: str | None) -> list[Example]:
    """Examples of one site for the test and all others for training, whatever their source says; None changes nothing.

    Raises:
        DataError: No example is of that site, or all are.
    """
    if test_site is None:
        return examples
    sites = sorted({site for example in examples if (site := site_of(example)) is not None})
    if test_site not in sites or len(sites) < 2:
        known = ", ".join(sites) or "none; name the column with `site`, or a tag of the site in `tags`"
        raise DataError(f"data.test_site: '{test_site}' has to be one of two sites or more; the data name: {known}")
    parts = ("test" if site_of(example) == test_site else "train" for example in examples)
    return [replace(example, meta={**example.meta, "split": part}) for example, part in zip(examples, parts, strict=True)]


class ClinicalData(Data):
    """Pictures or volumes of patients; a subclass lists them."""

    target_kinds = ("class", "labels")
    evaluation = "healthcare/clinical"

    choices: Choices

    @abstractmethod
    def listed(self, names: Pseudonyms) -> tuple[list[Case], dict[str, Any]]:
        """Every file as a case, nothing opened yet; and facts about the source, `notes` and `warnings` among them."""

    @cached_property
    def _loaded(self) -> tuple[list[Example], dict[str, Any]]:
        names = pseudonyms()
        cases, facts = self.listed(names)
        if not cases:
            raise DataError("the data hold no picture and no volume")
        mask_logs(names, cases)
        people, torn = joined(cases)
        flight = fly(people, self.choices.max_bad, needs_patient=self.choices.patients.is_known)
        examples = by_site([case.example(names) for case in flight.cases], self.choices.test_site)
        if not examples:
            raise DataError("no file is left to learn from")
        found = facts_of(cases, flight, examples)
        studies, torn_warnings = facts_of_studies(cases, torn)
        rows = self.choices.rows
        used = examples if rows is None else subset(examples, rows, self.choices.seed)
        told = {name: [*facts.get(name, ()), *found[name]] for name in ("notes", "warnings")}
        told["warnings"] += torn_warnings
        return used, {**facts, **found, **({"studies": studies} if studies else {}), **told, "used": len(used)}

    @cached_property
    def _target(self) -> Target:
        schema = self.choices.schema
        if schema.labels:
            return Target("labels", schema.labels)
        found = target_of(self._loaded[0], "class", self.choices.positive)
        return replace(found, labels=schema.classes) if schema.classes else found

    @property
    def target(self) -> Target:
        """The classes that occur in natural order, or those of `classes` in the order given; or the findings."""
        return self._target

    def examples(self) -> Sequence[Example]:
        """Every picture or volume that can be read, its names pseudonyms."""
        return self._loaded[0]

    def facts(self) -> Mapping[str, Any]:
        """Counts from listed to used, what was set aside and why, spacing, site and label; no name of a person or file."""
        return self._loaded[1]

    def open(self, path: Path) -> Sequence[Example]:
        """Cases of another file or folder of the same form, with labels where it holds them; a broken one is named.

        Raises:
            DataError: There is nothing to read, or a file cannot be read.
        """
        names = pseudonyms()
        cases = self.opened(path, names)
        mask_logs(names, cases)
        flight = fly(cases, 0.0, needs_patient=False)
        return [case.example(names) for case in flight.cases]

    def revealed(self) -> dict[str, str]:
        """Pseudonym -> path of a file below the data's folder, or patient as the source names them; only to be printed."""
        names = pseudonyms()
        found = {}
        for case in self.listed(names)[0]:
            found[names.of("scan", case.key)] = found[str(case.input)] = case.key
            if case.patient is not None:
                found[names.of("patient", case.patient)] = case.patient.replace("\0", " of ")
        return found

    @abstractmethod
    def opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        """The cases of a further file or folder, nothing opened yet."""

    def excerpt(self, input: Any) -> str | None:
        """The pseudonym."""
        return str(input) if hasattr(input, "content") else None
