"""Finding weights: from the place that a recipe names to one local file, held to its hash before anything of it is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import WeightsError
from headstart.files import file_hash
from headstart.offline import is_offline
from headstart.place import PACKAGE, locate
from headstart.published import check_published

if TYPE_CHECKING:
    from headstart.backbone import WeightsCard

NAMES = ("model.safetensors",)  # what `Backbone.save` writes
HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
HUB_NAME = re.compile(r"(?P<name>[\w-][\w.-]*/[\w.-]+)(@[\w./-]*)?")
HEXADECIMAL = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights on this machine.

    Attributes:
        path: The file; its folder holds what belongs to it.
        source: The name that finds it again, as the recipe has it.
    """

    path: Path
    source: str

    @property
    def sha256(self) -> str:
        """Of the file, in hexadecimal; computed once for as long as the file stays as it is."""
        return _hash(str(self.path), self.path.stat().st_mtime_ns)

    def card(self, *, licence: str = "unknown", trained_on: str = "", expects: str = "") -> WeightsCard:
        """The card of these weights: source, hash and size are the file's, the rest is said by who knows it."""
        from headstart.backbone import WeightsCard

        megabytes = round(self.path.stat().st_size / 1e6, 1)
        return WeightsCard(self.source, licence, self.sha256, trained_on, expects, megabytes)


def find_weights(place: str, *, names: Sequence[str] = NAMES, also: Sequence[str] = (), sha256: str = "") -> WeightsFile:
    """The file of weights behind a path, a folder, `package:DISTRIBUTION/FILE` or a hub id `owner/name@commit`.

    Args:
        place: As the recipe has it.
        names: What the file may be called in a folder; the first that is there counts.
        also: Further files that a hub id brings: "config.json", "vocab.txt".
        sha256: What the file must have, or its first 8 or more digits; "" = any.

    Raises:
        WeightsError: Nothing is there, or the file has another hash.
        MissingError: The package is not installed; the message holds the line that brings it.
    """
    found = WeightsFile(_file_at(place, names, also), place)
    if sha256:
        _check(found, sha256.lower())
    return found


def _file_at(place: str, names: Sequence[str], also: Sequence[str]) -> Path:
    path = locate(place)
    if path.is_file():
        return path
    if not path.is_dir():
        path = _from_hub(place, names, also)
    file = _first(path, names)
    if file is None:
        raise WeightsError(f"weights: {path} holds no {' or '.join(names)}; copy it there, or name another place")
    return file


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _check(found: WeightsFile, wanted: str) -> None:
    if not HEXADECIMAL.fullmatch(wanted):
        raise WeightsError(f"sha256 is '{wanted}'; write the file's hash in hexadecimal, at least its first 8 digits")
    if not found.sha256.startswith(wanted):
        raise WeightsError(
            f"weights: {found.path} has the sha256 {found.sha256}, not {wanted}; get it again, or correct sha256"
        )


def _from_hub(place: str, names: Sequence[str], also: Sequence[str]) -> Path:
    """The folder of a hub id in the cache; the second name is fetched only where there is no file of the first."""
    matched = HUB_ID.fullmatch(place)
    if not matched:
        raise WeightsError(_nothing_at(place))
    name, commit = matched["name"], matched["commit"]
    folder = _fetch(place, name, commit, (names[0], *also))
    return folder if len(names) == 1 or _first(folder, names[:1]) else _fetch(place, name, commit, names)


def _fetch(place: str, name: str, commit: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    offline = is_offline()
    try:
        folder = Path(snapshot_download(name, revision=commit, allow_patterns=list(patterns), local_files_only=offline))
    except (OSError, ValueError) as error:  # every error of the library and of the network is one of the two
        state = "offline, and it is not in the cache" if offline else (str(error).splitlines() or [type(error).__name__])[0]
        line = f"hf download {name} --revision {commit}"
        raise WeightsError(f"weights: cannot get '{place}' ({state}); where there is a network: {line}") from error
    check_published(sorted(folder.glob("*")))
    return folder


def _nothing_at(place: str) -> str:
    hub = HUB_NAME.fullmatch(place)
    if hub and not place.startswith(PACKAGE):
        return f"weights: there is nothing at '{place}'; a hub id needs its commit: {hub['name']}@<40 digits>"
    return f"weights: there is no file or folder '{place}'; name one, package:DISTRIBUTION/FILE or owner/name@<commit>"


@lru_cache(maxsize=16)
def _hash(file: str, _changed: int) -> str:
    return file_hash(Path(file))
