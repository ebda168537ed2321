"""A first recipe for a table: columns, kind of label, head and strategy chosen by looking at the rows."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.audit import audit
from headstart.builtin.columns import GROUP_NAMES, LABEL_NAMES, TEXT_NAMES, guess_text, named_like
from headstart.builtin.table import Table
from headstart.data_check import described
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.place import PACKAGE, locate
from headstart.recipe import SplitPlan
from headstart.split import WORDS, make_splits
from headstart.survey import Finding, find_duplicates, is_imbalanced, label_counts, survey, word_counts
from headstart.tables import Cell, Sheet, read_table

FEW = 100  # labelled examples; under this, fine-tuning the backbone mostly learns them by heart
MANY = 3000  # examples from which training more than a head takes long on a processor
LONG = 180  # words; about the 256 tokens that the default backbone reads
LEAST = 3  # examples that a label needs to stand in train, val and test
DISTINCT = 20  # whole numbers are classes (stars, grades) up to so many different ones

HEADS = {"class": "linear", "labels": "multilabel", "number": "regression"}
POSITIVE = ("positive", "pos", "yes", "true", "spam", "1")
SEPARATORS = ("|", ";", ",")
PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
WORDS_OF_YAML = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True)
class Draft:
    """A recipe's text, and what was seen in the data.

    Attributes:
        findings: Sentences for the terminal.
        text: The whole recipe, commented.
    """

    findings: tuple[Finding, ...]
    text: str


def draft_recipe(
    place: str, recipe: Path, *, text: str | None = None, label: str | None = None, group: str | None = None
) -> Draft:
    """Look at a table and write a recipe for it that `check` and `run` take as it is.

    Args:
        place: The file, or `package:DISTRIBUTION/FILE`.
        recipe: Where the recipe will stand; the path in it is relative to that.
        text: Column, if it is not to be guessed; likewise `label` and `group`.

    Raises:
        DataError: The file cannot be read, has no label, or too little to learn from.
    """
    sheet = read_table(locate(place))
    options, notes = _options(sheet, text=text, label=label, group=group)
    files = _siblings(locate(place)) if "split" not in options else {}
    parts: dict[str, Any] = {"path": place, **{name: str(path) for name, path in files.items()}}
    data = Table(**parts, **options)
    examples = data.examples()
    if _rare(examples, data.target) and not files:
        options["where"] = {options["label"]: _frequent(examples, data.target, sheet.source, options["label"])}
        notes["where"] = f"without {', '.join(_rare(examples, data.target))}: fewer than {LEAST} examples"
        data = Table(**parts, **options)
        examples = data.examples()
    target = data.target
    plan, why = _plan(examples, target)
    findings = (*described({**data.facts(), "guessed": {}}), *_taken(options, files), *survey(examples, target))
    places = {name: _from(recipe, path) for name, path in parts.items()}
    options |= _positive(target)
    lines = [_opening(place, recipe), *_data({**places, **options}, notes), *_model(examples, target)]
    return Draft(findings, "\n".join([*lines, *_split(examples, plan, why)]) + "\n")


def picture_recipe(place: str, recipe: Path, backbones: Sequence[str]) -> str:
    """A recipe for a tree of class folders; with a small and well-known network, first the one that needs no download."""
    backbone = next((name for name in ("vision/efficientnet-lite0", "vision/resnet18") if name in backbones), backbones[0])
    lines = ["data:", "  use: vision/folder", f"  path: {as_yaml(_from(recipe, place))}", ""]
    lines += [f"backbone: {backbone}    # `headstart list backbones` shows others", "", "head: linear", "", "strategy: probe"]
    return "\n".join([_opening(place, recipe), *lines]) + "\n"


def _options(sheet: Sheet, *, text: str | None, label: str | None, group: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Options of `table` and a comment for some of them."""
    for name, column in (("text", text), ("label", label), ("group", group)):
        if column is not None:
            sheet.column(column, name)
    label = label or _label_column(sheet, text)
    found: dict[str, Any] = {"text": text or guess_text(sheet, {label, group}), "label": label}
    kind, separator = _kind(sheet.columns[label])
    found |= {"kind": kind} if kind != "class" else {}
    found |= {"label_separator": separator} if separator not in ("", "|") else {}
    free = [name for name in sheet.columns if name not in found.values()]
    group = group or _repeated(sheet, named_like(free, GROUP_NAMES))
    found |= {"group": group} if group else {}
    split = _split_column(sheet, free)
    found |= {"split": split} if split else {}
    return found, {"group": "rows of one group never stand in two splits"}


def _label_column(sheet: Sheet, text: str | None) -> str:
    """By its name; else the column with the fewest different values that repeat."""
    free = [name for name in sheet.columns if name != text]
    named = named_like(free, LABEL_NAMES)
    if named:
        return named
    others = [name for name in free if name.lower() not in (*TEXT_NAMES, *GROUP_NAMES, "id", "split")]
    counts = {name: len(set(sheet.columns[name])) for name in others}
    possible = [name for name in others if 2 <= counts[name] <= max(2, len(sheet) // 5)]
    if not possible:
        columns = ", ".join(sheet.columns)
        raise DataError(f"{sheet.source}: no column looks like a label; name it with --label COLUMN; columns: {columns}")
    return min(possible, key=lambda name: counts[name])


def _kind(values: Sequence[Cell]) -> tuple[str, str]:
    """Kind of the label, and what separates several in one cell."""
    if any(isinstance(value, tuple) for value in values):
        return "labels", ""
    cells = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    if _are_measured(cells):
        return "number", ""
    for separator in SEPARATORS:
        if _are_lists(cells, separator):
            return "labels", separator
    return "class", ""


def _are_measured(cells: Sequence[str]) -> bool:
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    is_whole = all(number.is_integer() for number in numbers)
    return bool(numbers) and len(set(numbers)) > (DISTINCT if is_whole else 2)


def _are_lists(cells: Sequence[str], separator: str) -> bool:
    """Cells that hold several short labels which also occur in other company."""
    several = [cell for cell in cells if separator in cell]
    parts = Counter(part.strip() for cell in cells for part in cell.split(separator))
    are_short = all(len(part.split()) <= 3 for part in parts)
    return 10 * len(several) >= len(cells) > 0 and are_short and 2 * len(parts) <= len(cells)


def _repeated(sheet: Sheet, column: str | None) -> str | None:
    """The column, if it holds groups: some value more than once, and more than one value."""
    if column is None:
        return None
    values = [value for value in sheet.columns[column] if value]
    return column if 1 < len(set(values)) < len(values) else None


def _split_column(sheet: Sheet, free: Sequence[str]) -> str | None:
    column = named_like(free, ("split", "subset", "partition", "set"))
    if column is None:
        return None
    seen = {str(value).strip().lower() for value in sheet.columns[column]}
    return column if seen <= set(WORDS) and any(WORDS[word] == "train" for word in seen) else None


def _siblings(path: Path) -> dict[str, Path]:
    """Files beside `train.csv` that are its val and test by their names."""
    stem, _, suffix = path.name.partition(".")
    if WORDS.get(stem.lower()) != "train":
        return {}
    found: dict[str, Path] = {}
    for other in sorted(path.parent.glob(f"*.{suffix}")):
        name = WORDS.get(other.name.partition(".")[0].lower())
        if name in ("val", "test"):
            found.setdefault(name, other)
    return found


def _rare(examples: Sequence[Example], target: Target) -> list[str]:
    counts = label_counts(examples, target) if target.kind == "class" else {}
    return [label for label, count in counts.items() if count < LEAST]


def _frequent(examples: Sequence[Example], target: Target, source: str, column: str) -> list[str]:
    """Labels with enough examples.

    Raises:
        DataError: There is none: another column may be meant.
    """
    counts = label_counts(examples, target)
    frequent = [label for label, count in counts.items() if count >= LEAST]
    if not frequent:
        raise DataError(
            f"{source}: each of the {len(counts)} labels in the column '{column}' has fewer than {LEAST} examples; a label "
            f"needs at least {LEAST} examples, to stand in train, val and test; or name another column with --label COLUMN"
        )
    return frequent


def _plan(examples: Sequence[Example], target: Target) -> tuple[dict[str, Any], str]:
    """What `split` needs beside its defaults, and why."""
    split = make_splits(examples, SplitPlan(), target)[0]
    counts = audit(examples, split).counts()
    copies = find_duplicates(examples).extra
    if not any(counts.values()) and not copies:
        return {}, ""
    seen = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "here none stand in two splits"
    return {
        "leaks": "move"
    }, f"{copies} copies ({seen}): all of a set go into one split; `drop` keeps only the last, `error` stops"


def _taken(options: Mapping[str, Any], files: Mapping[str, Path]) -> list[Finding]:
    names = {"text": "the text", "label": "the label", "group": "the group", "split": "the split"}
    columns = ", ".join(f"{what} is '{options[name]}'" for name, what in names.items() if name in options)
    found = [Finding(f"Columns: {columns}.")]
    if files:
        found.append(Finding(f"Beside it: {', '.join(f'{path.name} as {name}' for name, path in files.items())}."))
    return found


def _positive(target: Target) -> dict[str, str]:
    if target.kind != "class" or len(target.labels) != 2:
        return {}
    lower = {label.lower(): label for label in target.labels}
    return next(({"positive": lower[word]} for word in POSITIVE if word in lower), {})


def _from(recipe: Path, place: str) -> str:
    """The place as the recipe says it: relative to the recipe's folder where both are on one drive."""
    if place.startswith(PACKAGE):
        return place
    path = Path(place).expanduser().resolve()
    try:
        return Path(os.path.relpath(path, recipe.resolve().parent)).as_posix()
    except ValueError:
        return path.as_posix()


def _opening(place: str, recipe: Path) -> str:
    name = re.sub(r"[^\w .+-]", "-", Path(place).name.split(".", 1)[0]).strip(" .+-") or "run"
    return (
        f"# A first recipe for {Path(place).name}, written by `headstart init`. Look at it, correct it, then:\n"
        f"#   headstart check {recipe.name}    what the data look like, without training\n"
        f"#   headstart run {recipe.name}      train, evaluate and report\n"
        f"name: {as_yaml(name[:100])}\n"
    )


def _data(options: Mapping[str, Any], notes: Mapping[str, str]) -> list[str]:
    lines = ["data:", "  use: table"]
    for name, value in options.items():
        note = f"    # {notes[name]}" if name in notes else ""
        lines.append(f"  {name}: {as_yaml(value)}{note}")
    return [*lines, ""]


def _model(examples: Sequence[Example], target: Target) -> list[str]:
    lines = ["backbone:", "  use: nlp/encoder    # `headstart list backbones` shows others"]
    words = sorted(word_counts(examples))
    if words and words[len(words) * 19 // 20] > LONG:
        lines.append("  long: head+tail      # many texts are longer than the backbone reads: their beginning and end count")
    head = HEADS[target.kind]
    if target.kind == "class" and is_imbalanced(label_counts(examples, target)):
        lines += ["", "head:", f"  use: {head}", "  class_weights: balanced    # some labels are rare"]
    else:
        lines += ["", f"head: {head}"]
    few = len(examples) < FEW
    reason = f"{len(examples)} labelled examples: the backbone stays frozen" if few else "the head first, then deeper stages"
    return [*lines, "", f"strategy: {'probe' if few else 'gradual'}    # {reason}", ""]


def _split(examples: Sequence[Example], plan: Mapping[str, Any], why: str) -> list[str]:
    given = {example.meta.get("split") for example in examples} != {None}
    lines = ["split:", f"  by: {'given' if given else 'auto'}"]
    lines += [] if given else ["  test: 0.2", "  val: 0.1"]
    lines += [f"  {name}: {as_yaml(value)}    # {why}" for name, value in plan.items()]
    if len(examples) > MANY:
        lines.append("  # train: 1000    # train on fewer for a quick first look")
    return lines


def as_yaml(value: Any) -> str:
    """A value on one line; what YAML could take for something else is quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_yaml(key)}: {as_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_yaml(item) for item in value) + "]"
    is_plain = isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS_OF_YAML
    return value if is_plain else json.dumps(value, ensure_ascii=False)
