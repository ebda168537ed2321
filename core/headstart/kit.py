"""Kits: one zip file that carries weights and data to a machine without a network, and the list of what is in it.

Members are stored as they are, never compressed: weights do not shrink, and what is not compressed cannot be a bomb.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headstart.errors import DataError, MissingError, UsageError, WeightsError
from headstart.files import file_hash, sync, writing
from headstart.homes import FILES, is_name
from headstart.offline import is_offline
from headstart.published import has_published
from headstart.recipe import Part, Recipe
from headstart.recipe_file import dump_recipe
from headstart.supplies import Piece, Supply, licence_of
from headstart.supplying import supplies_of
from headstart.version import __version__

FORMAT: Final = 1
MANIFEST = "manifest.json"
BLOCK = 1 << 20
STORED_AT = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """Values of exactly these names and types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Entry(Section):
    """One file of a kit.

    Attributes:
        home: In which kind of cache it belongs, see `headstart.homes`.
        path: Its name below that home, with "/".
        blob: What the hub called its content; "" where it said nothing.
        what: "recipe", or what it is to a recipe.
        source: What the recipe calls it.
    """

    home: str
    path: str
    sha256: Digest
    bytes: Annotated[int, Field(ge=0)]
    blob: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")] = ""
    what: Literal["recipe", "weights", "data"]
    source: str
    licence: str = "unknown"

    @property
    def member(self) -> str:
        """Its name in the zip file."""
        return f"{self.home}/{self.path}"


class Manifest(Section):
    """What is in a kit.

    Attributes:
        headstart: Version that made it.
        made: Time, UTC.
        recipes: Their names below FILES.
        has_data: Whether data of the recipes are in it.
        absent: Data that the recipes name and the kit does not hold.
    """

    format: Literal[1]
    headstart: str
    made: str
    recipes: list[str]
    has_data: bool
    absent: list[str] = Field(default_factory=list)
    files: list[Entry]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files)


@dataclass
class _Packing:
    """A kit while it is filled: what goes in under which name."""

    sources: dict[str, Path | bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def add(self, supply: Supply, pieces: Sequence[Piece], *, below: str = "") -> None:
        licence = licence_of(supply, pieces)
        source = PurePosixPath(supply.name).name if supply.place else supply.name
        for piece in pieces:
            path = f"{below}{piece.path}"
            if f"{piece.home}/{path}" in self.sources:
                continue
            self._hold(piece)
            found = {"sha256": file_hash(piece.file), "bytes": piece.file.stat().st_size, "blob": piece.blob}
            self._put(piece.file, home=piece.home, path=path, what=supply.what, source=source, licence=licence, **found)

    def add_recipe(self, name: str, text: str) -> None:
        content = text.encode("utf-8")
        digest = sha256(content).hexdigest()
        self._put(content, home=FILES, path=name, what="recipe", source=name, sha256=digest, bytes=len(content))

    def _put(self, source_of: Path | bytes, **facts: Any) -> None:
        if not is_name(facts["home"], facts["path"]):
            raise DataError(
                f"'{facts['path']}' cannot stand in a kit: no name there has a backslash, colon or control character"
            )
        entry = Entry(**facts)
        self.sources[entry.member] = source_of
        self.entries.append(entry)

    def _hold(self, piece: Piece) -> None:
        if piece.blob and not has_published(piece.file, piece.blob):
            raise WeightsError(f"{piece.file} is not what the hub published; delete {piece.file.resolve()} and fetch it again")


def fetch_kit(recipes: Sequence[Recipe], target: Path, *, with_data: bool = False) -> Manifest:
    """Write a kit with what recipes read from outside: taken where it is on this machine, fetched where it is not.

    Raises:
        UsageError: The file exists, or cannot be written. MissingError: Something is neither here nor can it be fetched.
        DataError: A folder holds what cannot stand in a kit. WeightsError: A cached file is not what was published.
    """
    if target.exists():
        raise UsageError(f"--to: '{target}' exists; name another file, or remove it")
    packing, absent, numbers = _Packing(), dict[str, None](), dict[str, int]()
    names = _names(recipes)
    for name, recipe in zip(names, recipes, strict=True):
        moved: dict[str, str] = {}
        for supply in supplies_of(recipe):
            if supply.what == "data" and not with_data:
                absent[supply.name if not supply.place else PurePosixPath(supply.place).name] = None
                continue
            pieces = _gathered(supply)
            below = f"{supply.what}/{numbers.setdefault(supply.place, len(numbers))}/" if supply.place else ""
            packing.add(supply, pieces, below=below)
            if supply.place:
                moved[supply.place] = f"{below}{pieces[0].path.partition('/')[0]}"
        packing.add_recipe(name, dump_recipe(_moved(recipe, moved)))
    manifest = Manifest(
        format=FORMAT,
        headstart=__version__,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        recipes=names,
        has_data=any(entry.what == "data" for entry in packing.entries),
        absent=list(absent),
        files=packing.entries,
    )
    _write(target, manifest, packing.sources)
    return manifest


def _gathered(supply: Supply) -> Sequence[Piece]:
    """The supply's files, fetched where they are not here."""
    pieces = supply.pieces()
    if not pieces and supply.bring is not None and not is_offline():
        supply.bring()
        pieces = supply.pieces()
    if not pieces:
        why = "nothing is there" if supply.bring is None else "offline, and not in the cache" if is_offline() else "not found"
        raise MissingError(f"{supply} cannot be packed: {why}")
    return pieces


def _names(recipes: Sequence[Recipe]) -> list[str]:
    names: list[str] = []
    for recipe in recipes:
        stem, number = re.sub(r"[^\w.+-]+", "-", recipe.name), 2
        name = f"{stem}.yaml"
        while name in names:
            name, number = f"{stem}-{number}.yaml", number + 1
        names.append(name)
    return names


def _moved(recipe: Recipe, moved: Mapping[str, str]) -> Recipe:
    """The recipe with places that lead into the kit's folder."""
    if recipe.parent is not None:
        raise UsageError(
            f"from: a kit holds no run; copy the folder {recipe.parent} over, and the recipe without this key: "
            "headstart run RECIPE --from RUN"
        )

    def part(given: Part) -> Part:
        return Part(given.use, _replaced(given.options, moved))

    return replace(recipe, data=part(recipe.data), backbone=part(recipe.backbone), head=part(recipe.head))


def _replaced(value: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return moved.get(value, value)
    if isinstance(value, Mapping):
        return {key: _replaced(item, moved) for key, item in value.items()}
    return [_replaced(item, moved) for item in value] if isinstance(value, list | tuple) else value


def _write(target: Path, manifest: Manifest, sources: Mapping[str, Path | bytes]) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with writing(target), zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
            text = json.dumps(manifest.model_dump(), indent=1, ensure_ascii=False)
            archive.writestr(_info(MANIFEST), text.encode("utf-8"))
            for entry in manifest.files:
                _store(archive, entry, sources[entry.member])
        with writing(target):
            sync(temporary)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _store(archive: zipfile.ZipFile, entry: Entry, source: Path | bytes) -> None:
    if isinstance(source, bytes):
        archive.writestr(_info(entry.member), source)
        return
    digest = sha256()
    with source.open("rb") as file, archive.open(_info(entry.member), "w", force_zip64=True) as member:
        while block := file.read(BLOCK):
            digest.update(block)
            member.write(block)
    if digest.hexdigest() != entry.sha256:
        raise DataError(f"{source} changed while it was packed; begin again")


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, STORED_AT)
    info.external_attr = 0o100600 << 16  # a plain file that only its owner reads
    return info
