"""Weights: from the place that a recipe names to a local folder, and the card that says what lies there."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.offline import is_offline
from headstart.place import PACKAGE, locate
from headstart.published import check_published
from headstart.supplies import Supply, at_place, on_hub

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?@[\w./-]+")
SMALL_FILES = ("*.json", "*.txt", "*.model", "README.md")


@dataclass(frozen=True)
class WeightsFolder:
    """A local folder in the Hugging Face format.

    Attributes:
        path: The folder.
        source: The name that finds it again; for a hub id with the commit, even where a tag was asked for.
    """

    path: Path
    source: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of weights: safetensors, or PyTorch's own format where there are none."""
        found = sorted(self.path.glob("model*.safetensors")) or sorted(self.path.glob("pytorch_model*.bin"))
        return tuple(found)

    @property
    def has_safetensors(self) -> bool:
        """Whether the weights are safetensors."""
        return any(file.suffix == ".safetensors" for file in self.files)

    def json(self, name: str) -> dict[str, Any]:
        """One of the folder's JSON files; empty where it is absent.

        Raises:
            WeightsError: The file is no JSON object.
        """
        file = self.path / name
        if not file.is_file():
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsError(f"{file} is not valid JSON: {error}") from error
        if not isinstance(content, dict):
            raise WeightsError(f"{file} should hold a JSON object, but holds a {type(content).__name__}")
        return content


def find_weights(place: str) -> WeightsFolder:
    """The folder behind a path, `package:DISTRIBUTION/FOLDER` or hub id `owner/name@revision` (fetched once, then cached).

    Raises:
        WeightsError: Nothing is there, or it is no folder in the Hugging Face format.
    """
    path = locate(place)
    if path.is_dir():
        folder = WeightsFolder(path, place)
    elif not place.startswith(PACKAGE) and HUB_ID.fullmatch(place) and not path.exists():
        folder = _from_hub(place)
    else:
        raise WeightsError(_nothing_there(place, path))
    _check(folder)
    return folder


def describe_weights(folder: WeightsFolder, expects: str) -> WeightsCard:
    """The card of a folder: hash and size of its weights, licence and training data where its README says them."""
    said = _front_matter(folder.path / "README.md")
    return WeightsCard(
        source=folder.source,
        licence=str(said.get("license") or "unknown"),
        sha256=_sha256(tuple((str(file), file.stat().st_mtime_ns) for file in folder.files)),
        trained_on=", ".join(map(str, _as_list(said.get("datasets")))),
        expects=expects,
        megabytes=round(sum(file.stat().st_size for file in folder.files) / 1e6, 1),
    )


def supply_of(place: str) -> Supply:
    """What `find_weights` reads for a place."""
    if place.startswith(PACKAGE) or not HUB_ID.fullmatch(place) or Path(place).exists():
        return at_place("weights", place)
    name, _, revision = place.partition("@")
    patterns = (*SMALL_FILES, "*.safetensors", "pytorch_model*.bin")
    return on_hub(
        place,
        name,
        revision,
        patterns=patterns,
        one_of=("*.safetensors", "pytorch_model*.bin"),
        bring=lambda: _from_hub(place),
    )


def _nothing_there(place: str, path: Path) -> str:
    if path.is_file():
        return f"weights: '{place}' is a file; name the folder that holds config.json, model.safetensors and the tokenizer"
    if "@" not in place and place.count("/") <= 1 and not place.startswith((".", "/", "~")):
        return f"weights: there is no folder '{place}'; a hub id needs its revision: write {place}@<40-digit commit>"
    return f"weights: there is no folder '{place}'; name a folder, package:DISTRIBUTION/FOLDER or owner/name@revision"


def _check(folder: WeightsFolder) -> None:
    if not (folder.path / "config.json").is_file():
        if (folder.path / "adapter_config.json").is_file():
            raise WeightsError(f"{folder.path} holds an adapter without its network; merge it into its base and save that")
        raise WeightsError(f"{folder.path} holds no config.json; it is no folder in the Hugging Face format")


def _from_hub(place: str) -> WeightsFolder:
    name, _, revision = place.partition("@")
    path = _fetch(name, revision, (*SMALL_FILES, "*.safetensors"))
    if not any(path.glob("*.safetensors")):
        path = _fetch(name, revision, (*SMALL_FILES, "pytorch_model*.bin"))
    commit = path.name if COMMIT.fullmatch(path.name) else revision  # the cache names a snapshot after its commit
    check_published(sorted(path.glob("*")))
    return WeightsFolder(path, f"{name}@{commit}")


def _fetch(name: str, revision: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    offline = is_offline()
    try:
        path = snapshot_download(
            name, revision=revision, allow_patterns=list(patterns), ignore_patterns=["*/*"], local_files_only=offline
        )
    except (OSError, ValueError) as error:  # every error of huggingface_hub and of the network is one of the two
        state = "offline and it is not in the cache" if offline else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise WeightsError(
            f"weights: cannot get '{name}@{revision}' from the hub ({state}); "
            f"fetch it where there is a network with: hf download {name} --revision {revision}"
        ) from error
    return Path(path)


@lru_cache(maxsize=16)
def _sha256(files: tuple[tuple[str, int], ...]) -> str:
    """Of one file, as `sha256sum` prints it; of several shards, over their bytes in the order of their names."""
    digest = hashlib.sha256()
    for name, _ in files:
        with Path(name).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest() if files else ""


def _front_matter(readme: Path) -> dict[str, Any]:
    from huggingface_hub.repocard import metadata_load

    if not readme.is_file():
        return {}
    try:
        return dict(metadata_load(readme) or {})
    except Exception:  # a README for people may hold anything; a card without it is still true
        return {}


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
