"""The section `lock:` of a recipe: what a run was made from, as digests, so that its repetition can be compared. No torch."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

KEY = "lock"
FORMAT: Final = 1
WITHOUT = f"--set {KEY}="  # what runs a lock file as a plain recipe

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """Values of exactly these names and types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class DataPrint(Section):
    """Digests of the examples, in their order; none of one example alone, so that nothing can be looked up by guessing.

    Attributes:
        examples: How many the data part gave.
        ids: Of all ids, which are pseudonyms where a data part makes them so.
        targets: Of all targets.
        groups: Of all groups.
        contents: Of the contents of those that stand in a part of the split: files by their bytes, arrays by their values.
        untold: How many of these have a content that cannot be told, which is therefore not compared.
    """

    examples: int
    ids: Digest
    targets: Digest
    groups: Digest
    contents: Digest
    untold: int = 0


class SplitPrint(Section):
    """Which example is in which part: a digest over ids, folds included, and the sizes of the parts of the last model."""

    digest: Digest
    train: int
    val: int
    test: int


class WeightsPrint(Section):
    """The weights that were loaded, from their card.

    Attributes:
        file: Name without its folder; "" where the card names none.
        source: What finds them again; of a path on this machine only the last part, the recipe has all of it.
        revision: Commit of a hub, or version of a package; "" where there is none.
        sha256: Of the file, as the card has it; "" where weights come from no file.
        licence: As the card has it.
        tensors: Where there is no `sha256`: digest of the network's tensors as training begins; else "".
    """

    file: str = ""
    source: str
    revision: str = ""
    sha256: str = ""
    licence: str = ""
    tensors: str = ""


class ParentPrint(Section):
    """The run whose model was begun from: name of its folder, and sha256 of its `model/manifest.json`."""

    run: str
    model: Digest


class Lock(Section):
    """What a run was made from.

    Attributes:
        recipe: Digest of the resolved recipe, without what changes no result.
        versions: Python, and the distributions that count and were imported.
        plugins: Name -> distribution and version, or the name of a file.
        device: Device, instruction set, precision, and what else of computing may change bits.
        threads: Of torch on the CPU.
    """

    format: Literal[1]
    recipe: Digest
    data: DataPrint
    split: SplitPrint
    weights: WeightsPrint
    parent: ParentPrint | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    device: str
    threads: int


def read_lock(value: Any, fault: Callable[[tuple[str | int, ...], str], None]) -> Lock | None:
    """The section as it stands in a recipe; None = there is none.

    Args:
        value: Plain data.
        fault: Hears the way to a wrong value, below the section, and what is wrong with it.
    """
    if value is None:
        return None
    if isinstance(value, dict) and value.get("format") != FORMAT:
        said = f"this version reads format {FORMAT} of a lock, not {value.get('format')!r}"
        fault(("format",), said)
        return None
    try:
        return Lock.model_validate(value)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            fault(tuple(item["loc"]), _in_words(item))
        return None


def lock_text(lock: Lock) -> str:
    """The section as YAML, to stand below a recipe."""
    from ruamel.yaml import YAML

    writer, stream = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # ruamel annotates the default, None, as its type
    writer.width = 10_000
    writer.dump({KEY: lock.model_dump(exclude_none=True)}, stream)
    return stream.getvalue()


def _in_words(item: Any) -> str:
    if item["type"] == "missing":
        return f"the lock lacks '{item['loc'][-1]}'"
    if item["type"] == "extra_forbidden":
        return f"a lock has no '{item['loc'][-1]}'"
    if item["type"] == "string_pattern_mismatch":
        return f"'{item['loc'][-1]}' must be a sha256 of 64 hexadecimal digits, got {str(item['input'])[:80]!r}"
    said = item["msg"][:1].lower() + item["msg"][1:].replace("valid dictionary or instance of", "section like")
    return f"the lock is damaged: {said}, got {str(item['input'])[:80]!r}"
