"""Weights: from the place that a recipe names to a folder whose hash is checked, and the card that says what lies there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart import WeightsCard, errors, locate

HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]*)?")
FILES = ("config.json", "vocab.txt", "model.safetensors")


@dataclass(frozen=True)
class Known:
    """What is known of a published file of weights, by its sha256."""

    name: str
    licence: str
    trained_on: str


ANTIBERTY = "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137"
ESM2_8M = "24c5fa474c48f3b754b86efe752d5f189d2bcd88190fa2270fc92b2ef3034189"
KNOWN = {
    ANTIBERTY: Known("AntiBERTy", "MIT", "558 million natural antibody sequences (Ruffolo et al. 2021)"),
    ESM2_8M: Known("ESM-2, 8 M", "MIT", "UniRef50 (Lin et al. 2023)"),
}
PINNED = {
    "package:antiberty/antiberty/trained_models/AntiBERTy_md_smooth": ANTIBERTY,
    "facebook/esm2_t6_8M_UR50D@c731040fcd8d73dceaa04b0a8e6329b345b0f5df": ESM2_8M,
}
"""Place -> the hash that its file must have, checked before a tensor of it is read."""


@dataclass(frozen=True)
class Weights:
    """A local folder with one file of weights.

    Attributes:
        folder: Holds config.json and the file.
        source: The name that finds it again.
        file: model.safetensors, or pytorch_model.bin where there is none; None = a folder with a config alone.
    """

    folder: Path
    source: str
    file: Path | None

    @property
    def sha256(self) -> str:
        """Of the file; "" where there is none."""
        return "" if self.file is None else _sha256(str(self.file), self.file.stat().st_mtime_ns)

    def config(self) -> dict[str, Any]:
        """The content of config.json.

        Raises:
            WeightsError: It is missing or no JSON object.
        """
        file = self.folder / "config.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise errors.WeightsError(f"{file}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise errors.WeightsError(f"{file} should hold a JSON object, but holds a {type(content).__name__}")
        return content


def find_weights(place: str, sha256: str = "") -> Weights:
    """The weights behind a folder, `package:DISTRIBUTION/FOLDER` or hub id `owner/name@commit`.

    Args:
        place: As the recipe has it.
        sha256: What the file must have; "" = the hash that is known here for this place, or none.

    Raises:
        WeightsError: Nothing is there, or the file has another hash.
        MissingError: The package is not installed; the message holds the line that brings it.
    """
    path = locate(place)
    if path.is_dir():
        found = Weights(path, place, _file_in(path))
    elif matched := HUB_ID.fullmatch(place):
        found = _from_hub(place, matched["name"], matched["commit"])
    elif HUB_NAME.fullmatch(place) and not path.exists():
        name = place.partition("@")[0]
        raise errors.WeightsError(f"weights: there is no folder '{place}'; a hub id needs its commit: {name}@<40 digits>")
    else:
        raise errors.WeightsError(
            f"weights: there is no folder '{place}'; name one that holds config.json and model.safetensors"
        )
    expected = sha256 or PINNED.get(place, "")
    if expected and found.sha256 != expected:
        raise errors.WeightsError(f"weights: {found.file} has the sha256 {found.sha256}, not {expected}; get the file again")
    return found


def card_of(weights: Weights, expects: str, *, pretrained: bool) -> WeightsCard:
    """Source, licence and hash; the licence is only known of files that are known by their hash."""
    if not pretrained or weights.file is None:
        return WeightsCard(source=f"none (random weights of the architecture in {weights.source})", expects=expects)
    known = KNOWN.get(weights.sha256, Known("", "unknown", ""))
    megabytes = round(weights.file.stat().st_size / 1e6, 1)
    return WeightsCard(weights.source, known.licence, weights.sha256, known.trained_on, expects, megabytes)


def _file_in(folder: Path) -> Path | None:
    return next((folder / name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).is_file()), None)


def _from_hub(place: str, name: str, commit: str) -> Weights:
    from huggingface_hub import snapshot_download

    offline = any(os.environ.get(key, "").lower() in {"1", "true", "yes"} for key in ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE"))
    try:
        path = Path(snapshot_download(name, revision=commit, allow_patterns=list(FILES), local_files_only=offline))
    except (OSError, ValueError) as error:  # every error of the library and of the network is one of the two
        state = "offline, and it is not in the cache" if offline else str(error).splitlines()[0]
        line = f"hf download {name} --revision {commit}"
        raise errors.WeightsError(f"weights: cannot get '{place}' ({state}); with a network: {line}") from error
    return Weights(path, place, _file_in(path))


@lru_cache(maxsize=8)
def _sha256(file: str, _changed: int) -> str:
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
