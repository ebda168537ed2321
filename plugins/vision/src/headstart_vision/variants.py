"""Variants: torchvision's published weights by architecture and name, and what each of them expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchvision import models

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.files import file_hash, read_json
from headstart.place import PACKAGE, locate
from headstart.supplies import Supply, at_place, in_torch
from headstart_vision.expectation import Expectation
from headstart_vision.weights import NAMED_HASH, NONE, fetch, find_file

DEFAULT = "default"
EXPECTS_FILE = "expects.json"


@dataclass(frozen=True)
class Found:
    """Weights that a recipe names.

    Attributes:
        file: Where they lie; None = random ones.
        expects: What they were trained on, or the architecture's usual input.
        card: Without the words on the input, which depend on the backbone's options.
    """

    file: Path | None
    expects: Expectation
    card: WeightsCard


def find_variant(arch: str, place: str) -> Found:
    """The weights that `place` means for an architecture: "default", a variant's name, a file or folder, or "none".

    Raises:
        WeightsError: There are none of that name, or they cannot be had.
    """
    variants = {variant.name: variant for variant in models.get_model_weights(arch)}
    default = models.get_model_weights(arch).DEFAULT
    if place == NONE:
        return Found(None, expectation_of(default), WeightsCard(source=NONE))
    variant = default if place == DEFAULT else variants.get(place)
    if variant is not None:
        return _published(variant, fetch(variant.url))
    return _local(arch, place, variants)


def supplies_of_variant(arch: str, place: str) -> list[Supply]:
    """What `find_variant` reads."""
    if place == NONE:
        return []
    weights = models.get_model_weights(arch)
    variants = {DEFAULT: weights.DEFAULT, **{variant.name: variant for variant in weights}}
    if place not in variants:
        return [at_place("weights", place)]
    url, licence = variants[place].url, _licence(variants[place])
    return [in_torch(str(variants[place]), url, licence=licence, bring=lambda: fetch(url))]


def expectation_of(variant: Any) -> Expectation:
    """What the weights' own transforms do."""
    preset = variant.transforms()
    return Expectation(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def describe_file(file: Path, source: str, *, licence: str = "unknown", trained_on: str = "") -> WeightsCard:
    """The card of one file: its hash and size."""
    megabytes = round(file.stat().st_size / 1e6, 1)
    return WeightsCard(source, licence=licence, sha256=file_hash(file), trained_on=trained_on, megabytes=megabytes)


def _published(variant: Any, file: Path) -> Found:
    trained_on = "ImageNet-1k" if "SWAG" not in variant.name else "Instagram pictures by hashtag (SWAG), then ImageNet-1k"
    return Found(
        file, expectation_of(variant), describe_file(file, str(variant), licence=_licence(variant), trained_on=trained_on)
    )


def _licence(variant: Any) -> str:
    return "CC-BY-NC-4.0" if "SWAG" in str(variant.meta.get("license")) else "BSD-3-Clause"


def _local(arch: str, place: str, variants: Mapping[str, Any]) -> Found:
    """A file is recognised as a published one by its hash; a folder says itself what it expects."""
    if not place.startswith(PACKAGE) and not locate(place).exists():
        known = ", ".join((DEFAULT, *variants, NONE))
        raise WeightsError(f"weights: there is no file '{place}', and torchvision's names for {arch} are: {known}")
    file = find_file(place)
    card = describe_file(file, place)
    for variant in variants.values():
        digits = NAMED_HASH.search(variant.url)
        if digits and card.sha256.startswith(digits[1]):
            return _published(variant, file)
    return Found(file, saved_expectation(file) or expectation_of(models.get_model_weights(arch).DEFAULT), card)


def saved_expectation(file: Path) -> Expectation | None:
    """What `PictureBackbone.save` wrote beside the weights."""
    beside = file.with_name(EXPECTS_FILE)
    return Expectation.of_json(read_json(beside)) if beside.is_file() else None
