"""Supplies: what a part of a recipe reads from outside, where it lies on this machine, and how it gets there. No torch.

A part whose options name files by a `Place` needs to say nothing. One that takes names of its own ("default", a hub id) has a
classmethod `supplies`, see `Supplied`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from headstart.errors import DataError, MissingError
from headstart.homes import FILES, HUB, MEDMNIST, PACKAGES, TORCH, hub_home, medmnist_home, torch_home
from headstart.installed import installed_version
from headstart.place import PACKAGE, locate
from headstart.published import published_name
from headstart.weights_file import HUB_ID

What = Literal["weights", "data"]
NONE = "none"  # what recipes write for random weights
INDEX = ".safetensors.index.json"
SMALL = ("*.json", "*.txt", "*.model", "README.md")


@dataclass(frozen=True)
class Piece:
    """One file that is here.

    Attributes:
        home: In which kind of cache its loader looks (`headstart.homes`); FILES where the recipe names the file itself.
        path: Its name below the home, with "/".
        file: Where it lies.
        blob: What the hub called its content; "" where it said nothing.
    """

    home: str
    path: str
    file: Path
    blob: str = ""


@dataclass(frozen=True)
class Supply:
    """One thing that a part reads from outside.

    Attributes:
        name: As the recipe has it.
        pieces: Finds its files without a network; none = it is not here.
        bring: Fetches it into its home; None = no network brings it.
        place: The option's value, where it is a path that is rewritten in a kit; "" else.
        licence: "" = as its files say.
    """

    what: What
    name: str
    pieces: Callable[[], Sequence[Piece]] = field(repr=False)
    bring: Callable[[], object] | None = field(default=None, repr=False)
    place: str = ""
    licence: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.name}"


@runtime_checkable
class Supplied(Protocol):
    """A class of a part that says itself what it reads from outside, for options with every default filled in."""

    def supplies(self, options: Mapping[str, Any]) -> Iterable[Supply]:
        """Called on the class; reads no file and asks no network."""


def on_hub(
    name: str,
    repository: str,
    revision: str,
    *,
    what: What = "weights",
    patterns: Sequence[str],
    one_of: Sequence[str] = (),
    bring: Callable[[], object],
) -> Supply:
    """Files of a repository of the Hugging Face hub.

    Args:
        name: As the recipe has it.
        repository: "owner/name".
        revision: A commit, tag or branch.
        what: "data" for a repository of data sets.
        patterns: Which files count.
        one_of: It is here where a file of one of these is; () = where any file is.
        bring: Fetches it.
    """

    def pieces() -> list[Piece]:
        root = hub_home() / f"{'models' if what == 'weights' else 'datasets'}--{repository.replace('/', '--')}"
        return _snapshot(root, revision, patterns, one_of)

    return Supply(what, name, pieces, bring)


def in_torch(name: str, url: str, *, licence: str, bring: Callable[[], object]) -> Supply:
    """A file of weights in torch's own cache, under the last part of its URL."""
    file = url.rpartition("/")[2]
    return Supply("weights", name, lambda: _file(TORCH, torch_home() / file), bring, licence=licence)


def in_medmnist(name: str, *, licence: str, bring: Callable[[], object]) -> Supply:
    """A file of MedMNIST."""
    return Supply("data", name, lambda: _file(MEDMNIST, medmnist_home() / name), bring, licence=licence)


def at_place(what: What, place: str) -> Supply:
    """What a `Place` names: a file or folder here, one of a package, or a hub id `owner/name@commit`."""
    hub = HUB_ID.fullmatch(place)
    if hub and not place.startswith(PACKAGE) and not Path(place).exists():
        name, commit = hub["name"], hub["commit"]
        patterns = (*SMALL, "*.safetensors", "*.bin", "*.pt", "*.pth")
        return on_hub(place, name, commit, patterns=patterns, bring=lambda: _download(name, commit, patterns))
    return Supply(what, place, lambda: _placed(place), place="" if place.startswith(PACKAGE) else place)


def licence_of(supply: Supply, pieces: Sequence[Piece]) -> str:
    """What the supply, or its README.md or config.json, says of the licence; "unknown" where none does."""
    if supply.licence:
        return supply.licence
    named = {piece.file.name: piece.file for piece in pieces}
    said: Any = None
    if readme := named.get("README.md"):
        said = _front_matter(readme).get("license")
    if not said and (config := named.get("config.json")):
        content = _json(config)
        said = content.get("license") or (content.get("pretrained_cfg") or {}).get("license")
    return str(said or "unknown")


def _snapshot(root: Path, revision: str, patterns: Sequence[str], one_of: Sequence[str]) -> list[Piece]:
    """Pieces of a snapshot and of the reference that leads to it; none where it is incomplete."""
    reference = root / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    folder = root / "snapshots" / commit
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not found or (one_of and not any(fnmatchcase(name, pattern) for name in found for pattern in one_of)):
        return []
    if any(shard not in names for name in names if name.endswith(INDEX) for shard in _shards(folder / name)):
        return []
    below = f"{root.name}/snapshots/{commit}"
    pieces = [Piece(HUB, f"{below}/{name}", folder / name, published_name(folder / name)) for name in found]
    return [*pieces, *([Piece(HUB, f"{root.name}/refs/{revision}", reference)] if reference.is_file() else [])]


def _shards(index: Path) -> set[str]:
    found = _json(index).get("weight_map")
    return set(map(str, found.values())) if isinstance(found, dict) else set()


def _file(home: str, path: Path) -> list[Piece]:
    return [Piece(home, path.name, path)] if path.is_file() else []


def _placed(place: str) -> list[Piece]:
    try:
        path = locate(place)
    except MissingError:
        return []
    if place.startswith(PACKAGE):
        name, _, inner = place.removeprefix(PACKAGE).partition("/")
        home, below = PACKAGES, f"{name}/{_version(name, path, inner)}/{inner}"
    else:
        home, below = FILES, path.name
    if path.is_file():
        return [Piece(home, below, path)]
    return [Piece(home, f"{below}/{file.relative_to(path).as_posix()}", file) for file in _files(path)]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.is_file():
            raise DataError(f"{path} is a link to a folder, or to nothing; a kit holds files, so put them in its place")
        if path.is_file():
            yield path


def _version(name: str, path: Path, inner: str) -> str:
    """Of an installed distribution; of one that a kit brought, the folder that it lies in."""
    return installed_version(name) or path.parents[len(Path(inner).parts) - 1].name


def _download(name: str, commit: str, patterns: Sequence[str]) -> str:
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(name, revision=commit, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:  # every error of the library and of the network is one of the two
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MissingError(f"cannot get '{name}@{commit}' from the hub ({reason})") from error


def _front_matter(readme: Path) -> Mapping[str, Any]:
    from huggingface_hub.repocard import metadata_load

    try:
        return dict(metadata_load(readme) or {})
    except Exception:  # a README for people may hold anything
        return {}


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
