"""Pre-flight: every file read once before anything trains; what cannot be read is set aside with a reason, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headstart.example import Example
from headstart.quarantine import hold_to_budget, listed
from headstart.survey import unknown_counts
from headstart_healthcare.data.association import WARN_FROM, cramers_v
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.lookalikes import MOST, look_of, lookalikes
from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.pixel_array import PixelArray
from headstart_healthcare.reading.scan import Scan, digest_of
from headstart_healthcare.reading.volume import Volume

ALIKE = 16  # bits of 256 in which two pictures differ at most that look the same
"""Of 17 million pairs of X-rays of different children the two most alike differ in 36; half the size, JPEG at quality 40 or
another window change at most 16 bits of 9 in 10 pictures (5,840 chest X-rays)."""


@dataclass(frozen=True)
class Flight:
    """What came through.

    Attributes:
        cases: That can be read, their digests known.
        bad: Pseudonym -> reason code.
        sizes: Shape -> how many have it.
        spacings: "patient", "detector", "scanner", "unknown" -> how many have their spacing from there.
        looks: Of each case what it looks like from afar; None of a volume.
    """

    cases: list[Case]
    bad: dict[str, str]
    sizes: Counter[tuple[int, ...]]
    spacings: Counter[str]
    looks: list[np.ndarray | None] = field(default_factory=list)


def fly(cases: Sequence[Case], max_bad: float, *, needs_patient: bool) -> Flight:
    """Read each file.

    Raises:
        DataError: More than the share `max_bad` cannot be read.
    """
    flight = Flight([], {}, Counter(), Counter())
    for case in cases:
        try:
            if case.fault:
                raise ReadingError(case.fault, name=str(case.input))
            if needs_patient and case.patient is None:
                raise ReadingError("no-patient", name=str(case.input))
            found, look = _read(case.input, flight)
            flight.cases.append(replace(case, input=found))
            flight.looks.append(look)
        except ReadingError as error:
            flight.bad[str(case.input)] = error.reason
    hold_to_budget(_sentences(flight.bad), len(cases), max_bad, "files", "cannot be used")
    return flight


def facts_of(cases: Sequence[Case], flight: Flight, examples: Sequence[Example]) -> dict[str, Any]:
    """Plain values and sentences for `headstart check`; no name of a person, file or folder is among them."""
    reasons = dict(sorted(Counter(flight.bad.values()).items()))
    patients = {example.group for example in examples if example.group is not None}
    unlabelled = sum(example.target is None for example in examples)
    flow = {
        "listed": len(cases), "excluded": reasons, "read": len(flight.cases), "without label": unlabelled,
        "labelled": len(flight.cases) - unlabelled, "patients": len(patients),
    }  # fmt: skip
    found = {
        "research_only": True,
        "flow": flow,
        "quarantined": dict(sorted(flight.bad.items())),
        "spacing": dict(sorted(flight.spacings.items())),
        "unknown_labels": unknown_counts(examples),
        "site_label_association": _association(examples),
        "nearly_identical": _lookalikes(flight),
    }
    return {**found, "notes": _notes(flow, flight), "warnings": _warnings(found, flight, bool(patients))}


def _read(input: Any, flight: Flight) -> tuple[Any, np.ndarray | None]:
    """The input with its digest, and what it looks like."""
    if isinstance(input, Scan):
        seen = input.see()
        flight.sizes[seen.pixels.shape[:2]] += 1
        flight.spacings[seen.spacing.at if seen.spacing else "unknown"] += 1
        return replace(input, digest=seen.digest), look_of(seen.pixels)
    if not isinstance(input, Volume):
        flight.sizes[input.values.shape] += 1  # in memory
        flight.spacings["unknown"] += 1
        if input.values.min() == input.values.max():
            raise ReadingError("constant", name=str(input))
        return input, look_of(input.values) if isinstance(input, PixelArray) else None
    grid = input.read()
    input.keep(grid)
    flight.sizes[grid.values.shape] += 1
    flight.spacings["patient" if grid.is_spaced else "unknown"] += 1
    return replace(input, digest=digest_of(grid.values)), None


def _lookalikes(flight: Flight) -> dict[str, Any]:
    """How many pairs of pictures look the same without being it, of patients that are not known to be one; and some of them."""
    pictures = [(case, look) for case, look in zip(flight.cases, flight.looks, strict=True) if look is not None]
    if len(pictures) > MOST:
        return {"pairs": None, "why": f"not looked for among {len(pictures):,} pictures, more than {MOST:,}"}
    cases = [case for case, _ in pictures]
    contents = [case.input.content().decode() for case in cases]
    if not cases:
        return {"pairs": 0, "some": []}
    looks = np.array([look for _, look in pictures])
    some, count = lookalikes(looks, contents, [case.patient for case in cases], ALIKE)
    return {"pairs": count, "some": [[str(cases[a].input), str(cases[b].input)] for a, b in some]}


def _notes(flow: dict[str, Any], flight: Flight) -> list[str]:
    excluded = ", ".join(f"{reason} {count:,}" for reason, count in flow["excluded"].items()) or "none"
    patients = f" of {flow['patients']:,} patients" if flow["patients"] else ""
    told = [
        f"Read {flow['listed']:,} files; set aside: {excluded}; without a label: {flow['without label']:,}; "
        f"labelled: {flow['labelled']:,}{patients}."
    ]
    shapes = [shape for shape in flight.sizes if len(shape) == len(next(iter(flight.sizes)))]
    if shapes:
        low, high = np.min(shapes, axis=0), np.max(shapes, axis=0)
        kind = "rows x columns" if len(shapes[0]) == 2 else "voxels"
        same = f"All have {_by(low)} {kind}." if len(shapes) == 1 else f"They have {_by(low)} to {_by(high)} {kind}."
        told.append(same)
    return told


def _warnings(found: dict[str, Any], flight: Flight, has_patients: bool) -> list[str]:
    told = []
    if flight.bad:
        told.append(f"{len(flight.bad):,} files are set aside: {listed(_sentences(flight.bad))}.")
    if not has_patients:
        told.append("No patient is known: pictures of one person may stand in training and test, and scores may be too high.")
    for place, words in (("detector", "at the detector, not in the body"), ("scanner", "of a scanned film")):
        if flight.spacings[place]:
            told.append(f"{flight.spacings[place]:,} files state their spacing {words}.")
    for label, value in found["site_label_association"].items():
        if value >= WARN_FROM:
            told.append(
                f"Site and label go together (Cramer's V {value:.2f} for {label}): a network can score well by "
                "recognising the site; leave whole sites out of training to see (Zech et al. 2018)."
            )
    alike = found["nearly_identical"]
    if alike["pairs"]:
        pairs = "; ".join(" and ".join(pair) for pair in alike["some"])
        more = " ..." if alike["pairs"] > len(alike["some"]) else ""
        told.append(
            f"{alike['pairs']:,} pairs of pictures look the same though they are not, and are not known to be of one patient: "
            f"{pairs}{more}. One picture scaled or compressed anew tells in the test what was learnt."
        )
    if alike.get("why"):
        told.append(f"Nearly identical pictures were {alike['why']}.")
    for label, counts in found["unknown_labels"].items():
        told.append(f"'{label}' is not known for {counts:,} examples.")
    return told


def _association(examples: Sequence[Example]) -> dict[str, float]:
    """Cramer's V of site and class, or of site and each finding where it is known."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    labels = {label for example in examples if isinstance(example.target, tuple) for label in example.target}
    for example in examples:
        site = example.meta.get("subgroups", {}).get("site")
        if site is None or example.target is None:
            continue
        if isinstance(example.target, str):
            pairs.setdefault("the class", []).append((site, example.target))
            continue
        for label in labels - set(example.meta.get("unknown", ())):
            pairs.setdefault(label, []).append((site, str(label in example.target)))
    found = {label: cramers_v(*zip(*rows, strict=True)) for label, rows in sorted(pairs.items())}
    return {label: round(value, 4) for label, value in found.items() if value is not None}


def _sentences(bad: dict[str, str]) -> dict[str, str]:
    return {name: str(ReadingError(reason, name=name)) for name, reason in bad.items()}


def _by(shape: Any) -> str:
    return "x".join(str(int(side)) for side in shape)
