"""Checking data before anything trains: what was read, what is left out, how it is divided and what leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.audit import KEPT, KINDS, Audit, audit, settle
from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import naming_folders
from headstart.recipe import Recipe, SplitPlan
from headstart.split import Split, make_splits
from headstart.survey import Finding, find_duplicates, label_counts, survey, unknown_counts, word_counts
from headstart.trial import make_parts

if TYPE_CHECKING:
    from headstart.backbone import Backbone

_FEW_TESTS = 100  # under this many the 95% interval of an accuracy is wider than +-10 points


@dataclass(frozen=True)
class DataReport:
    """What `headstart check` says of the data.

    Attributes:
        findings: Sentences in the order of reading.
        figures: The same as plain JSON values.
    """

    findings: tuple[Finding, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """A run with these data would stop."""
        return any(finding.level == "error" for finding in self.findings)

    def lines(self) -> list[str]:
        """One plain sentence each; warnings and errors begin with that word."""
        return [str(finding) for finding in self.findings]

    def as_json(self) -> dict[str, Any]:
        """Figures and findings."""
        return {**self.figures, "findings": [{"level": finding.level, "text": finding.text} for finding in self.findings]}


def check_data(recipe: Recipe, *, tokens: bool = False) -> DataReport:
    """Read the recipe's data, divide and audit them as a run would; faults become findings, all that can be found at once.

    Args:
        recipe: Its data and strategy are made, so that options which they refuse are found.
        tokens: Also make backbone and head, to tell how many texts are cut; reads the weights.

    Raises:
        RecipeError: A part refuses one of its options.
        MissingError: A plugin or package that the data need is absent.
    """
    data: Data = make_parts(recipe, ("data", "strategy"))[0]
    try:
        with naming_folders(recipe):
            examples, target = data.examples(), data.target
    except DataError as error:
        return DataReport((Finding(str(error), "error"),))
    facts = dict(data.facts())
    findings = [*described(facts), *survey(examples, target)]
    figures = {"facts": facts, "labels": label_counts(examples, target), **_figures(examples)}
    try:
        splits = make_splits(examples, recipe.split, target)
    except DataError as error:
        findings.append(Finding(str(error), "error"))
    else:
        audits = [audit(examples, split, near=recipe.split.near) for split in splits]
        for split, found in zip(splits, audits, strict=True):
            findings += [*_of_split(examples, split, target), *_leaks(examples, split, found, recipe.split)]
        figures["splits"] = [_split_figures(examples, split, target) for split in splits]
        figures["leaks"] = {kind: sum(found.counts()[kind] for found in audits) for kind in KINDS}
    if tokens:
        backbone = make_parts(recipe, ("backbone",))[0]
        make_parts(recipe, ("head",), backbone.ports, target)
        findings += _cut_texts(backbone, examples)
    return DataReport(tuple(findings), figures)


def described(facts: Mapping[str, Any]) -> list[Finding]:
    """What reading the source told, where the data part tells it in the words of `table`, or in sentences of its own."""
    found = [Finding(text) for file in facts.get("files", ()) if (text := _of_file(file))]
    found += [_left_out(reason, count) for reason, count in facts.get("dropped", {}).items()]
    found += [Finding(text) for text in facts.get("notes", ())]
    found += [Finding(text, "warning") for text in facts.get("warnings", ())]
    guessed = facts.get("guessed", {})
    if guessed:
        columns = " and ".join(
            f"the {what} from the column '{column}'" for what, column in sorted(guessed.items(), reverse=True)
        )
        found.append(Finding(f"It takes {columns}: a guess; write `text:` and `label:` in the recipe to be sure."))
    return found


def _left_out(reason: str, count: int) -> Finding:
    rows, has, does, is_ = ("1 row", "has", "does", "is") if count == 1 else (f"{count:,} rows", "have", "do", "are")
    if reason == "not in where":
        return Finding(f"{rows} {does} not match `where` and {is_} left out.")
    return Finding(f"{rows} {has} {'an ' if reason.startswith('empty') else ''}{reason} and {is_} left out.", "warning")


def _of_file(file: Mapping[str, Any]) -> str:
    name = file.get("file") or f"{file.get('dataset', '')} {file.get('split', '')}".strip()
    if not name or "rows" not in file:
        return ""
    how = [file.get("encoding") or file.get("format", "")]
    how += [f"separated by {file['separator']}"] if "separator" in file else []
    how += ["quotation marks are ordinary characters"] if "quotes" in file else []
    told = ", ".join(part for part in how if part)
    return f"{name}: {file['rows']:,} rows{f' ({told})' if told else ''}."


def _of_split(examples: Sequence[Example], split: Split, target: Target) -> list[Finding]:
    parts = (f"{name} {_size(examples, indices, target)}" for name, indices in split.parts().items())
    found = [Finding(f"Split ({split.how}): {'; '.join(parts)}.")]
    if 0 < len(split.test) < _FEW_TESTS and target.kind == "class":
        width = 196 * np.sqrt(0.25 / len(split.test))
        found.append(Finding(f"The test split is small: an accuracy on it is known to about ±{width:.0f} points.", "warning"))
    return found


def _size(examples: Sequence[Example], indices: Sequence[int], target: Target) -> str:
    counts = label_counts([examples[i] for i in indices], target)
    shown = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    return f"{len(indices):,} ({shown})" if counts and len(counts) <= 10 else f"{len(indices):,}"


def _leaks(examples: Sequence[Example], split: Split, found: Audit, plan: SplitPlan) -> list[Finding]:
    skipped = [Finding(f"{found.skipped[0].upper()}{found.skipped[1:]}.", "warning")] if found.skipped else []
    if not found.found:
        near = " or nearly identical" if found.near and not found.skipped else ""
        return [*skipped, Finding(f"No group and no identical{near} example stands in two splits.")]
    try:
        _, counts = settle(examples, split, found, plan.leaks)
    except DataError as error:
        return [*skipped, Finding(str(error), "error")]
    if plan.leaks == "keep":
        return [*skipped, Finding(f"Leaks between splits: {_counted(found)}; {KEPT}.", "warning")]
    done = ", ".join(f"{count:,} examples {what}" for what, count in counts.items() if count)
    return [*skipped, Finding(f"Leaks between splits: {_counted(found)}; settled by `leaks: {plan.leaks}`: {done}.", "warning")]


def _counted(found: Audit) -> str:
    names = {"group": "groups", "identical": "sets of identical examples", "near": "sets of nearly identical examples"}
    return ", ".join(f"{count:,} {names[kind]}" for kind, count in found.counts().items() if count)


def _figures(examples: Sequence[Example]) -> dict[str, Any]:
    words = word_counts(examples)
    quantiles = np.quantile(words, (0, 0.5, 0.95, 1)).tolist() if words else []
    copies = find_duplicates(examples)
    return {
        "examples": len(examples),
        "duplicates": {"extra": copies.extra, "conflicts": copies.conflicts},
        **({"words": dict(zip(("least", "median", "95%", "most"), quantiles, strict=True))} if quantiles else {}),
    }


def _split_figures(examples: Sequence[Example], split: Split, target: Target) -> dict[str, Any]:
    parts = {name: [examples[i] for i in indices] for name, indices in split.parts().items()}
    counts: dict[str, dict[str, Any]] = {
        name: {"n": len(part), "labels": label_counts(part, target)} for name, part in parts.items()
    }
    for name, part in parts.items():
        if unknown := unknown_counts(part):
            counts[name]["unknown"] = unknown
    return {"how": split.how, **counts}


def _cut_texts(backbone: Backbone, examples: Sequence[Example]) -> list[Finding]:
    """How many texts the backbone cuts, if it can tell."""
    every = backbone.lost_tokens([example.input for example in examples])
    if every is None:
        return []
    lost = [count for count in every if count]
    if not lost:
        return [Finding("The backbone reads every text to its end.")]
    share = len(lost) / len(examples)
    text = f"{len(lost):,} texts ({share:.1%}) lose tokens, half of them more than {round(float(np.median(lost))):,}"
    return [Finding(f"{text}; the backbone's options say how long texts are read.", "warning")]
