"""The panels of text and tables: scores beside baselines, splits and leaks, training facts, and how to reproduce the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headstart.report import words
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.figures_training import last_round

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
PARTS = ("data", "backbone", "head", "strategy")


def parts(evidence: Evidence) -> list[tuple[str, str]]:
    """What the recipe composed: (part, registered name)."""
    lock = evidence.files.lock
    named = [(part, lock.get(part)) for part in PARTS]
    return [(part, str(value.get("use", "") if isinstance(value, Mapping) else value)) for part, value in named if value]


def score_table(evidence: Evidence) -> dict[str, Any]:
    """Every test score of the run with its interval, and of each baseline."""
    baselines = evidence.files.metrics.get("baselines") or {}
    lines = [
        {
            "name": words.capital(words.score_name(name)),
            "run": found,
            "ends": words.interval(found),
            "baselines": [scores.get(name) for scores in baselines.values()],
            "is_main": name == evidence.main_score,
            "method": found.get("method", ""),
        }
        for name, found in evidence.scores.items()
    ]
    return {"models": [words.model_name(name) for name in baselines], "lines": lines}


def fold_table(evidence: Evidence) -> dict[str, Any]:
    """Scores of each fold; empty without cross-validation."""
    folds = evidence.files.metrics.get("folds") or []
    names = list(dict.fromkeys(name for fold in folds for name in fold))
    lines = [[fold.get(name) for name in names] for fold in folds]
    return {"names": [words.score_name(name) for name in names], "lines": lines} if lines else {}


def split_panel(evidence: Evidence) -> Figure | None:
    """Counts per label and split, groups, and what the audit found."""
    counts = evidence.files.data.get("counts") or {}
    splits = [split for split in SPLITS if split in counts]
    if not splits:
        return None
    labels = list(dict.fromkeys(label for split in splits for label in counts[split]))
    rows: list[dict[str, Any]] = [
        {"label": label} | {SPLIT_NAMES[split]: counts[split].get(label, 0) for split in splits} for label in labels
    ]
    unknown = evidence.files.data.get("unknown") or {}
    for row in rows if any(unknown.values()) else ():
        row |= {f"not known, {SPLIT_NAMES[split]}": unknown.get(split, {}).get(row["label"], 0) for split in splits}
    totals = {SPLIT_NAMES[split]: sum(counts[split].values()) for split in splits}
    content = {
        "splits": list(totals),
        "lines": [_split_line(row, totals) for row in rows],
        "totals": totals,
        "groups": {
            SPLIT_NAMES[name]: n for name, n in (evidence.files.data.get("groups") or {}).items() if n and name in SPLITS
        },
        "audit": _audit_lines(evidence.files.data.get("audit") or {}),
        "how": evidence.files.split.get("how", ""),
        "facts": _flat(evidence.files.data.get("facts") or {}),
    }
    return Figure("split", "Split and leaks", _split_sentence(evidence, totals), rows, html="split", content=content, wide=True)


def training_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Short facts for a two-column list; only what the files say."""
    ledger, epochs = evidence.files.ledger, last_round(evidence.files.epochs)
    phases = ledger.get("phases") or []
    facts = [("weights", str(e["message"])) for e in evidence.files.events if e.get("event") == "origin"]
    if ledger.get("total_steps"):
        facts.append(("optimiser steps", f"{ledger['total_steps']:,} in {words.count(len(phases), 'phase')}"))
    if seconds := sum(float(epoch.get("seconds") or 0) for epoch in epochs):
        facts.append(("training time", f"{words.duration(seconds)} in {words.count(len(epochs), 'epoch')}"))
    if executions := ledger.get("executions"):
        first, last = next(iter(executions.items())), list(executions.items())[-1]
        facts.append(("examples through the stages", f"{first[1]:,} through {first[0]}, {last[1]:,} through {last[0]}"))
    if floor := ledger.get("floor"):
        facts.append(("computation", f"{floor['times']:.2f} times the least that this plan needs"))
    trainable = [int(phase["trainable"]["parameters"]) for phase in phases if phase.get("trainable")]
    if trainable:
        facts.append(
            (
                "trainable parameters",
                f"{trainable[0]:,}" if len(set(trainable)) == 1 else f"{min(trainable):,} to {max(trainable):,}",
            )
        )
    proven = [phase["frozen"] for phase in phases if phase.get("frozen")]
    if proven and all(frozen.get("identical") for frozen in proven):
        most = max(int(frozen["tensors"]) for frozen in proven)
        facts.append(("frozen tensors", f"bit-identical after {words.count(len(proven), 'phase')} (up to {most:,} tensors)"))
    return facts


def reproduction(evidence: Evidence) -> dict[str, Any]:
    """Command, seed, versions and the resolved recipe."""
    files = evidence.files
    name = files.folder.name
    lock_name = "recipe.lock.yaml" if files.text("recipe.lock.yaml") else "recipe.yaml"
    lock = files.text(lock_name)
    return {
        "command": f"headstart run {name}/{lock_name}" if lock else "",
        "facts": _flat({"seed": (files.lock.get("train") or {}).get("seed"), **files.env}),
        "lock_name": lock_name,
        "lock": lock,
        "given": files.text("recipe.yaml") if lock_name != "recipe.yaml" else "",
    }


def _split_line(row: Mapping[str, Any], totals: Mapping[str, int]) -> dict[str, Any]:
    cells = [
        {"n": row[name], "share": round(row[name] / total, 4) if total else 0.0, "unknown": row.get(f"not known, {name}", 0)}
        for name, total in totals.items()
    ]
    return {"label": row["label"], "cells": cells}


def _audit_lines(audit: Mapping[str, Any]) -> list[str]:
    kinds = {"group": "one group", "identical": "identical inputs", "near": "nearly identical inputs"}
    lines = []
    for leak in (audit.get("found") or [])[:20]:
        ids = list(leak.get("ids") or [])
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        names = [SPLIT_NAMES.get(split, split) for split in leak.get("splits") or []]
        lines.append(
            f"{kinds.get(leak.get('kind'), leak.get('kind'))} in {' and '.join(names)}: {', '.join(map(str, ids[:5]))}{more}"
        )
    return lines


def _split_sentence(evidence: Evidence, totals: Mapping[str, int]) -> str:
    audit = evidence.files.data.get("audit")
    sizes = ", ".join(f"{n:,} {name}" for name, n in totals.items())
    if audit is None:
        return f"{sizes}."
    found = len(audit.get("found") or [])
    grouped = any((evidence.files.data.get("groups") or {}).values())
    shared = sum(leak.get("kind") == "group" for leak in audit.get("found") or [])
    text = f"{sizes}. " + (f"{shared} groups in two splits; " if grouped else "")
    if not found:
        return f"{text}no example was found in two splits.".replace(". no", ". No")
    moved, dropped = int(audit.get("moved") or 0), int(audit.get("dropped") or 0)
    return f"{text}{words.count(found, 'leak')} found between splits, {words.count(moved, 'example')} moved, {dropped} dropped."


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines; what is unknown (None) is left out."""
    lines: list[tuple[str, str]] = []
    for key, inner in value.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(inner, Mapping):
            lines += _flat(inner, "" if key == "versions" else f"{name}: ")
        elif isinstance(inner, list) and inner and all(isinstance(item, Mapping) for item in inner):
            for item in inner:
                lines += _flat(item, prefix)
        elif inner not in (None, [], ()):
            lines.append((name, ", ".join(map(str, inner)) if isinstance(inner, (list, tuple)) else str(inner)))
    return lines
