"""Concerns: what a reader should know before believing the scores, each with the number that raises it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headstart.report import words
from headstart.report.evidence import Evidence
from headstart.report.figures_training import last_round

SMALL_TEST = 200  # examples; under that, Wilson's interval of an accuracy of 0.85 is wider than ten points
IMBALANCE = 5  # largest class over smallest


def concerns(evidence: Evidence) -> list[str]:
    """Whole sentences, the most serious first; empty where nothing speaks against the scores."""
    checks: list[Callable[[Evidence], Iterator[str]]] = [
        _leaks, _small_test, _imbalance, _unmoved, _truncated, _not_converged, _told
    ]  # fmt: skip
    return list(dict.fromkeys(text for check in checks for text in check(evidence)))


def _leaks(evidence: Evidence) -> Iterator[str]:
    audit = evidence.files.data.get("audit") or {}
    found = len(audit.get("found") or [])
    if found:
        done = [f"{audit[key]} {key}" for key in ("moved", "dropped") if audit.get(key)]
        rest = f"{' and '.join(done)} before training" if done else "nothing was moved or dropped"
        yield f"{words.count(found, 'leak')} between splits found in the data: {rest}."


def _small_test(evidence: Evidence) -> Iterator[str]:
    scores = evidence.scores.get(evidence.main_score)
    if scores and scores["n"] < SMALL_TEST:
        width = words.number(scores["high"] - scores["low"])
        yield f"Small test: {words.count(scores['n'], 'example')} leave an interval {width} wide."


def _imbalance(evidence: Evidence) -> Iterator[str]:
    counts = (evidence.files.data.get("counts") or {}).get("train") or {}
    sizes = {label: n for label, n in counts.items() if n}
    if evidence.kind == "class" and len(sizes) > 1:
        small, large = min(sizes, key=lambda k: sizes[k]), max(sizes, key=lambda k: sizes[k])
        if sizes[large] >= IMBALANCE * sizes[small]:
            yield (
                f"Classes are uneven: {sizes[large]:,} training examples of “{large}”, {sizes[small]:,} of “{small}”; "
                "read macro F1 and balanced accuracy beside accuracy."
            )


def _unmoved(evidence: Evidence) -> Iterator[str]:
    for phase in evidence.files.ledger.get("phases") or []:
        names = (phase.get("trainable") or {}).get("unmoved") or []
        if names:
            many = words.count(len(names), "trainable tensor")
            yield f"{many} did not move in phase “{phase['name']}”: {', '.join(names[:3])}."


def _truncated(evidence: Evidence) -> Iterator[str]:
    """Told by the backbone in an event `{"event": "truncated", "examples": n, "of": N}`, or in the data's facts."""
    for event in evidence.files.events:
        if event.get("event") == "truncated" and event.get("examples"):
            share = f" of {event['of']:,}" if event.get("of") else ""
            yield f"{words.count(event['examples'], 'text')}{share} are longer than the backbone reads and lost their ends."


def _not_converged(evidence: Evidence) -> Iterator[str]:
    phases = evidence.files.ledger.get("phases") or []
    epochs = last_round(evidence.files.epochs)
    if phases and epochs and _is_best_last(phases[-1], epochs[-1]):
        yield f"The best epoch is the last one of phase “{phases[-1]['name']}”: training longer may still help."


def _is_best_last(phase: Mapping[str, Any], epoch: Mapping[str, Any]) -> bool:
    return bool(epoch.get("best")) and int(phase.get("steps") or 0) > 0 and epoch.get("train_loss") is not None


def _told(evidence: Evidence) -> Iterator[str]:
    for event in evidence.files.events:
        if event.get("event") == "warning" and event.get("message"):
            yield words.capital(str(event["message"]))
