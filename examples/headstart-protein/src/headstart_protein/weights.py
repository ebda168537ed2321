"""Weights: what is known of published files, where they are looked for, and the card that says what lies there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from headstart import WeightsCard, WeightsFile, errors, find_weights

FILES = ("model.safetensors", "pytorch_model.bin")
BESIDE = ("config.json", "vocab.txt")


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


def weights_at(place: str, sha256: str = "") -> WeightsFile:
    """The file of weights behind a folder, `package:DISTRIBUTION/FOLDER` or hub id `owner/name@commit`.

    Raises:
        WeightsError: Nothing is there, or the file has another hash than `sha256`, or than the one that is known here.
        MissingError: The package is not installed; the message holds the line that brings it.
    """
    return find_weights(place, names=FILES, also=BESIDE, sha256=sha256 or PINNED.get(place, ""))


def config_of(weights: WeightsFile) -> dict[str, Any]:
    """The content of config.json beside the weights.

    Raises:
        WeightsError: It is missing or no JSON object.
    """
    file = weights.path.parent / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.WeightsError(f"{file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise errors.WeightsError(f"{file} should hold a JSON object, but holds a {type(content).__name__}")
    return content


def card_of(weights: WeightsFile, expects: str, *, pretrained: bool) -> WeightsCard:
    """Source, licence and hash; the licence is only known of files that are known by their hash."""
    if not pretrained:
        return WeightsCard(source=f"none (random weights of the architecture in {weights.source})", expects=expects)
    known = KNOWN.get(weights.sha256, Known("", "unknown", ""))
    return weights.card(licence=known.licence, trained_on=known.trained_on, expects=expects)
