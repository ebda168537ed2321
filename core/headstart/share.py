"""Sharing out: examples divided into training, validation and test, audited for leaks, and written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.audit import KEPT, Audit, Leak, audit, settle
from headstart.data import Data
from headstart.events import Tell
from headstart.example import Example, Target
from headstart.files import write_json
from headstart.recipe import Recipe
from headstart.split import Split, make_splits
from headstart.survey import label_counts, unknown_counts

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Shared:
    """Examples with their splits; more than one split means cross-validation.

    Attributes:
        last: Of the model that is kept: the only split; with folds one of all examples, without a test part.
        audits: What leaked in each split before it was settled, with the counts of what was moved and dropped.
    """

    examples: Sequence[Example]
    target: Target
    splits: tuple[Split, ...]
    last: Split
    audits: tuple[tuple[Audit, Mapping[str, int]], ...]
    facts: Mapping[str, Any]
    policy: str

    def of(self, split: Split) -> dict[str, list[Example]]:
        """The examples of each part of a split."""
        return {name: [self.examples[index] for index in getattr(split, name)] for name in SPLITS}

    def used(self) -> list[Example]:
        """The examples that stand in any part of the first split."""
        return [example for part in self.of(self.splits[0]).values() for example in part]

    def rounds(self) -> list[tuple[int, dict[str, list[Example]]]]:
        """What is trained, in order: (-1, parts) for one split; for folds (0, parts), (1, parts) ... and then (-1, parts)
        without a test part, for the model that is kept: it learns from everything, the folds tell how good that is.
        """
        folds = self.splits if len(self.splits) > 1 else ()
        return [*((fold, self.of(split)) for fold, split in enumerate(folds)), (-1, self.of(self.last))]

    def write(self, folder: Path, tell: Tell) -> None:
        """Write `split.json` and `data.json` and tell what was found."""
        first = self.of(self.splits[0])
        write_json(folder / "split.json", self._as_json())
        found = {
            "facts": dict(self.facts),
            "counts": {name: _counts(examples, self.target) for name, examples in first.items()},
            "unknown": {name: unknown_counts(examples) for name, examples in first.items()},
            "groups": {name: len({e.group for e in examples if e.group is not None}) for name, examples in first.items()},
            "audit": self._audit(),
        }
        write_json(folder / "data.json", found)
        if self.policy == "keep" and found["audit"]["found"]:
            tell("warning", message=f"{len(found['audit']['found'])} leaks between splits, {KEPT}")
        tell("data", **found["facts"])
        sizes = {name: len(examples) for name, examples in first.items()}
        folds = len(self.splits) if len(self.splits) > 1 else 0
        tell("split", how=self.splits[0].how, sizes=sizes, counts=found["counts"], folds=folds)
        tell(
            "audit",
            **{key: value for key, value in found["audit"].items() if key != "found"},
            found=len(found["audit"]["found"]),
        )

    def _as_json(self) -> dict[str, Any]:
        first, *others = [
            {"how": split.how, **{n: [e.id for e in part] for n, part in self.of(split).items()}} for split in self.splits
        ]
        return {**first, "folds": [first, *others] if others else []}

    def _audit(self) -> dict[str, Any]:
        leaks = [leak for found, _ in self.audits for leak in found.found]
        return {
            "policy": self.policy,
            "found": [_leak(leak) for leak in leaks],
            "skipped": next((found.skipped for found, _ in self.audits if found.skipped), ""),
            "moved": sum(counts.get("moved", 0) for _, counts in self.audits),
            "dropped": sum(counts.get("dropped", 0) for _, counts in self.audits),
        }


def share_out(recipe: Recipe, data: Data) -> Shared:
    """Divide the data as the recipe says and settle every leak by the recipe's word.

    Raises:
        DataError: A class is too small, a split ends empty, or examples leak and the policy is "error".
    """
    examples, plan, target = data.examples(), recipe.split, data.target
    divided = make_splits(examples, plan, target)
    if plan.folds:
        divided += make_splits(examples, replace(plan, folds=0, test=0, train=None), target)
    splits, audits = [], []
    for split in divided:
        found = audit(examples, split, near=plan.near)
        settled, counts = settle(examples, split, found, plan.leaks)
        splits.append(settled)
        audits.append((found, counts))
    folds = len(splits) - bool(plan.folds)
    return Shared(examples, target, tuple(splits[:folds]), splits[-1], tuple(audits[:folds]), data.facts(), plan.leaks)


def _leak(leak: Leak) -> dict[str, Any]:
    conflict = {"label_conflict": True} if leak.label_conflict else {}
    return {"kind": leak.kind, "splits": list(leak.splits), "ids": list(leak.ids), **conflict}


def _counts(examples: Sequence[Example], target: Target) -> dict[str, int]:
    if target.kind != "class":
        return label_counts(examples, target) if target.labels else {"all": len(examples)}
    seen = Counter(str(example.target) for example in examples)
    return {label: seen.get(label, 0) for label in target.labels} if target.labels else dict(seen)
