"""The checklist: what TRIPOD+AI and CLAIM ask a report for, filled in where the run knows it; the rest is named for the author.

TRIPOD+AI: Collins et al. 2024 (BMJ 385:e078378). CLAIM: Mongan et al. 2020, updated by Tejani et al. 2024 (Radiology: AI).
The items are theirs in our words; their numbers and full text stand there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.words import number

NAME = "healthcare/clinical"
AUTHOR = "for the author"
NOT_DONE = "not done in this run"


@dataclass(frozen=True)
class Item:
    """One thing that is asked for.

    Attributes:
        words: What.
        by: Which of the two asks.
        told: Gives what the run knows of it, "" where it knows nothing; None = no run can know it.
        otherwise: State of an item of which the run knows nothing.
    """

    words: str
    by: str
    told: Callable[[Evidence], str] | None = None
    otherwise: str = AUTHOR


def checklist(evidence: Evidence) -> Figure | None:
    """A table of all items with what is known of each; None in runs without the clinical evaluation."""
    if not _measured(evidence):
        return None
    rows = [{"item": item.words, "asked by": item.by, **_state(item, evidence)} for item in ITEMS]
    filled = sum(row["state"] == "filled in" for row in rows)
    own = [row["item"] for row in rows if row["state"] == AUTHOR]
    absent = [row["item"] for row in rows if row["state"] == NOT_DONE]
    missing = f" Not done in this run: {'; '.join(absent)}." if absent else ""
    sentence = f"Of {len(rows)} items {filled} are filled in from this run. For the author: {'; '.join(own)}.{missing}"
    return Figure("checklist", "For the paper: TRIPOD+AI and CLAIM", sentence, rows, wide=True)


def _state(item: Item, evidence: Evidence) -> dict[str, str]:
    told = item.told(evidence) if item.told else ""
    return {"state": "filled in" if told else item.otherwise, "here": told}


def _measured(evidence: Evidence) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (evidence.files.metrics.get("evaluations") or {}).get(NAME) or {}
    return found


def _questions(evidence: Evidence) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (_measured(evidence).get("test") or {}).get("questions") or {}
    return found


def _facts(evidence: Evidence) -> Mapping[str, Any]:
    found: Mapping[str, Any] = evidence.files.data.get("facts") or {}
    return found


def _card(evidence: Evidence) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(evidence.files.text("model/config.json") or "{}").get("card") or {}
    return found


def _use(evidence: Evidence, part: str) -> str:
    value = evidence.files.lock.get(part) or ""
    return str(value.get("use", "")) if isinstance(value, Mapping) else str(value)


def _each(evidence: Evidence, say: Callable[[Mapping[str, Any]], str]) -> str:
    return "; ".join(f"{label}: {said}" for label, one in _questions(evidence).items() if (said := say(one)))


def _outcome(evidence: Evidence) -> str:
    target = evidence.files.metrics.get("target") or {}
    positive = f", looked for: {target['positive']}" if target.get("positive") else ""
    return f"{', '.join(map(str, target.get('labels') or ()))}{positive}"


def _flow(evidence: Evidence) -> str:
    flow = _facts(evidence).get("flow") or {}
    excluded = ", ".join(f"{reason} {count}" for reason, count in (flow.get("excluded") or {}).items()) or "none"
    told = f"{flow.get('listed')} files listed, set aside: {excluded}, labelled: {flow.get('labelled')}"
    return told if flow else ""


def _sizes(evidence: Evidence) -> str:
    n = evidence.files.metrics.get("n") or {}
    patients = evidence.files.data.get("groups") or {}
    return ", ".join(
        f"{part} {count}" + (f" of {patients[part]} patients" if part in patients else "") for part, count in n.items()
    )


def _level(evidence: Evidence) -> str:
    groups, audit = evidence.files.data.get("groups"), evidence.files.data.get("audit") or {}
    leaks = len(audit.get("found") or ())
    level = "by patient" if groups else "by picture: no patient is known"
    return f"{level}; found in two parts: {leaks}" + (f", policy {audit.get('policy')}" if leaks else "")


def _unknown(evidence: Evidence) -> str:
    unknown = _facts(evidence).get("unknown_labels") or {}
    return ", ".join(f"{label} not known for {count}" for label, count in unknown.items()) or "no label is missing"


def _transfer(evidence: Evidence) -> str:
    card = _card(evidence)
    parts = (card.get("source"), card.get("licence"), card.get("trained_on"), (card.get("sha256") or "")[:12])
    return ", ".join(str(part) for part in parts if part)


def _training(evidence: Evidence) -> str:
    return f"{_use(evidence, 'backbone')}, head {_use(evidence, 'head')}, strategy {_use(evidence, 'strategy')}"


def _scratch(evidence: Evidence) -> str:
    return "see 'Transfer against training from scratch'" if evidence.files.metrics.get("transfer") else ""


def _discrimination(evidence: Evidence) -> str:
    return _each(evidence, lambda one: f"AUROC {_interval(one.get('auroc'))}, AUPRC {_interval(one.get('auprc'))}")


def _point(evidence: Evidence) -> str:
    def say(one: Mapping[str, Any]) -> str:
        at = one.get("at_threshold") or {}
        shares = f"sensitivity {_interval(at.get('sensitivity'))}, specificity {_interval(at.get('specificity'))}"
        return f"threshold {number(at['threshold'])} ({one['rule']}), {shares}" if at else ""

    return _each(evidence, say)


def _calibration(evidence: Evidence) -> str:
    def say(one: Mapping[str, Any]) -> str:
        after = (one.get("calibration") or {}).get("after") or {}
        slope = f", slope {number(after['slope'])}" if after.get("slope") is not None else ""
        return f"Brier score {number(after['brier'])}{slope}" if after else ""

    return _each(evidence, say)


def _subgroups(evidence: Evidence) -> str:
    return _each(evidence, lambda one: ", ".join(one.get("subgroups") or {}))


def _external(evidence: Evidence) -> str:
    external = evidence.files.metrics.get("external") or {}
    return f"this is one, of the run {external['run']}" if external else ""


def _abstention(evidence: Evidence) -> str:
    found = (_measured(evidence).get("test") or {}).get("abstention") or {}
    return f"it would rather not answer {found['abstained']} of {found['n']}" if found else ""


def _versions(evidence: Evidence) -> str:
    versions = evidence.files.env.get("versions") or {}
    seed = (evidence.files.lock.get("train") or {}).get("seed", 0)
    return ", ".join(f"{name} {version}" for name, version in versions.items()) + f"; seed {seed}"


def _interval(found: Mapping[str, Any] | None) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "n/a"


BOTH = "TRIPOD+AI, CLAIM"
ITEMS = (
    Item("intended use, users and population", BOTH),
    Item("known inequalities between groups of patients", "TRIPOD+AI"),
    Item("sources, dates and centres of the data", BOTH),
    Item("who may take part: inclusion and exclusion", BOTH),
    Item("how many were read, and set aside why", BOTH, _flow),
    Item("what is predicted", BOTH, _outcome),
    Item("reference standard: who labelled, by what, how well they agree", BOTH),
    Item("missing and uncertain labels", BOTH, _unknown),
    Item("de-identification", "CLAIM", lambda _evidence: "pseudonyms by a keyed hash; the folder was searched for names"),
    Item("sizes of the parts, and why they suffice", BOTH, _sizes),
    Item("level at which the parts are disjoint", "CLAIM", _level),
    Item("network, head and training", BOTH, _training),
    Item("source of the weights that it began with, and their licence", "CLAIM", _transfer),
    Item("against the same network from random weights", "CLAIM", _scratch, NOT_DONE),
    Item("discrimination with intervals", BOTH, _discrimination),
    Item("operating point, and where it was chosen", BOTH, _point),
    Item("calibration", BOTH, _calibration),
    Item("subgroups", BOTH, _subgroups, NOT_DONE),
    Item("test elsewhere", BOTH, _external, NOT_DONE),
    Item("when the model does not answer", "TRIPOD+AI", _abstention, NOT_DONE),
    Item("errors and what they have in common", "CLAIM"),
    Item("versions and seed", BOTH, _versions),
    Item("where protocol, code, data and model can be had", BOTH),
    Item("involvement of patients, funding, conflicts of interest, ethics", "TRIPOD+AI"),
    Item("limits, and what it must not be used for", BOTH),
)
"""In the order of a paper."""
