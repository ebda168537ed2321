"""A survey of examples for people: labels, lengths, duplicates and imbalance, one plain sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headstart.audit import content_key
from headstart.example import Example, Target

Level = Literal["fact", "warning", "error"]

SHOWN = 20  # labels that are listed with their counts
IMBALANCE = 5  # times the rarest label; from here on a model may ignore it


@dataclass(frozen=True)
class Finding:
    """One sentence, and how much it matters."""

    text: str
    level: Level = "fact"

    def __str__(self) -> str:
        return self.text if self.level == "fact" else f"{self.level}: {self.text}"


@dataclass(frozen=True)
class Duplicates:
    """Inputs with the same content.

    Attributes:
        extra: Examples that are a copy of an earlier one.
        conflicts: Sets of copies with different targets.
    """

    extra: int
    conflicts: int


def find_duplicates(examples: Sequence[Example]) -> Duplicates:
    """Copies among all examples, whatever their split."""
    sets: dict[Hashable, list[Any]] = {}
    for example in examples:
        key = content_key(example.input)
        if key is not None:
            sets.setdefault(key, []).append(example.target)
    copies = [targets for targets in sets.values() if len(targets) > 1]
    return Duplicates(sum(len(t) - 1 for t in copies), sum(any(target != t[0] for target in t) for t in copies))


def label_counts(examples: Sequence[Example], target: Target) -> dict[str, int]:
    """Examples by label, in the labels' order; where an example has several (labels, tags) each of them counts; else {}."""
    if target.kind == "class":
        seen = Counter(example.target for example in examples if example.target is not None)
    else:
        seen = Counter(label for example in examples if target.labels for label in example.target or ())
    return {label: seen.get(label, 0) for label in target.labels}


def unknown_counts(examples: Sequence[Example]) -> dict[str, int]:
    """Examples of which a label is not known (`meta["unknown"]`), by label; {} where all are known."""
    return dict(sorted(Counter(str(label) for example in examples for label in example.meta.get("unknown", ())).items()))


def word_counts(examples: Sequence[Example]) -> list[int]:
    """Words of each input that is a text."""
    return [len(example.input.split()) for example in examples if isinstance(example.input, str)]


def survey(examples: Sequence[Example], target: Target) -> list[Finding]:
    """Everything that the examples alone tell."""
    return [*_labels(examples, target), *_copies(examples), *_lengths(examples)]


def _labels(examples: Sequence[Example], target: Target) -> list[Finding]:
    if target.kind == "number":
        values = np.array([example.target for example in examples if example.target is not None])
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        return [Finding(f"The labels are numbers from {low:g} to {high:g}, half of them up to {middle:g}.")]
    counts = label_counts(examples, target)
    if target.kind != "class" or not counts:
        return [_numbered(counts, len(examples))] if counts else []
    total = sum(counts.values())
    most = max(counts, key=lambda label: counts[label])
    return [
        _numbered(counts, total),
        Finding(f"Always saying '{most}' would be right for {counts[most] / total:.1%}: a model must beat that."),
        *_imbalance(counts),
    ]


def _numbered(counts: Mapping[str, int], total: int) -> Finding:
    number = "There is 1 label" if len(counts) == 1 else f"There are {len(counts)} labels"
    return Finding(f"{number}: {_listed(counts, total)}.")


def _listed(counts: Mapping[str, int], total: int) -> str:
    shown = [f"{label} {count:,} ({count / max(total, 1):.1%})" for label, count in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _imbalance(counts: Mapping[str, int]) -> list[Finding]:
    rarest, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if not is_imbalanced(counts):
        return []
    text = f"'{most}' is {counts[most] / counts[rarest]:.0f} times as frequent as '{rarest}'"
    return [Finding(f"{text}; `head: {{class_weights: balanced}}` keeps the rare label from being ignored.", "warning")]


def is_imbalanced(counts: Mapping[str, int]) -> bool:
    """The most frequent label is at least 5 times as frequent as the rarest."""
    return len(counts) > 1 and max(counts.values()) >= IMBALANCE * max(min(counts.values()), 1)


def _copies(examples: Sequence[Example]) -> list[Finding]:
    found = find_duplicates(examples)
    if not found.extra:
        return [Finding("No example is a copy of another one.")]
    copies = "1 example is a copy" if found.extra == 1 else f"{found.extra:,} examples are copies"
    findings = [Finding(f"{copies} of an earlier one.", "warning")]
    if found.conflicts:
        sets = "1 set of copies has" if found.conflicts == 1 else f"{found.conflicts:,} sets of copies have"
        findings.append(Finding(f"{sets} different labels, so some of them are wrong.", "warning"))
    return findings


def _lengths(examples: Sequence[Example]) -> list[Finding]:
    words = word_counts(examples)
    if not words:
        return []
    low, middle, most, high = (round(value) for value in np.quantile(words, (0, 0.5, 0.95, 1)))
    if low == high:
        return [Finding(f"Each text has {low:,} {'word' if low == 1 else 'words'}.")]
    return [Finding(f"The texts have {low:,} to {high:,} words, half of them up to {middle:,} and 95 of 100 up to {most:,}.")]
