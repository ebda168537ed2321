"""timm's weights: from the hub at a commit, from a folder in timm's format, or from a file; and what they expect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timm.data.config import resolve_data_config

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.offline import is_offline
from headstart.place import PACKAGE, locate
from headstart.published import check_published
from headstart.supplies import Supply, at_place, on_hub
from headstart_vision.expectation import Expectation
from headstart_vision.variants import DEFAULT, Found, describe_file, saved_expectation
from headstart_vision.weights import NONE, SAVED, find_file

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
CONFIG = "config.json"


def find_timm(model: str, config: Mapping[str, Any], place: str) -> Found:
    """The weights that `place` means for one of timm's networks, whose own `pretrained_cfg` is `config`.

    Raises:
        WeightsError: There are none, they cannot be had, or they are those of another network.
    """
    if place == NONE:
        return Found(None, expectation_of(config), WeightsCard(source=NONE))
    if place == DEFAULT:
        return _from_hub(model, config, f"{_hub_id(model, config)}@main")
    if HUB_ID.fullmatch(place) and not place.startswith(PACKAGE) and not locate(place).exists():
        return _from_hub(model, config, place)
    return _local(model, config, find_file(place), place)


def supplies_of_timm(model: str, config: Mapping[str, Any], place: str) -> list[Supply]:
    """What `find_timm` reads."""
    if place == NONE:
        return []
    named = f"{_hub_id(model, config)}@main" if place == DEFAULT else place
    if not HUB_ID.fullmatch(named) or named.startswith(PACKAGE) or locate(named).exists():
        return [at_place("weights", place)]
    name, _, revision = named.partition("@")
    files = (CONFIG, SAVED)
    return [on_hub(named, name, revision, patterns=files, one_of=(SAVED,), bring=lambda: _from_hub(model, config, named))]


def expectation_of(config: Mapping[str, Any]) -> Expectation:
    """What a `pretrained_cfg` says; the centre is always cut out as timm's crop mode "center" does."""
    resolved: dict[str, Any] = resolve_data_config({}, pretrained_cfg=dict(config))  # type: ignore[no-untyped-call] # timm's
    size = int(resolved["input_size"][-1])
    return Expectation(
        size=size,
        resize=math.floor(size / resolved["crop_pct"]),  # rounded down as in timm.data.transforms_factory
        interpolation=resolved["interpolation"] if resolved["interpolation"] != "random" else "bilinear",
        mean=tuple(resolved["mean"]),
        std=tuple(resolved["std"]),
    )


def _local(model: str, config: Mapping[str, Any], file: Path, source: str) -> Found:
    beside = file.with_name(CONFIG)
    merged = {**config, **_read_config(beside, model)} if beside.is_file() else config
    card = describe_file(file, source, licence=str(merged.get("license") or "unknown") if beside.is_file() else "unknown")
    return Found(file, saved_expectation(file) or expectation_of(merged), card)


def _read_config(file: Path, model: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        architecture, config = str(content["architecture"]), dict(content.get("pretrained_cfg") or {})
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"weights: {file} is not a config in timm's format ({error})") from error
    if architecture != model.partition(".")[0]:
        raise WeightsError(f"weights: {file} describes a {architecture}, but model is {model}; write model: {architecture}")
    return config


def _hub_id(model: str, config: Mapping[str, Any]) -> str:
    name = config.get("hf_hub_id")
    if not name:
        raise WeightsError(f"weights: timm has none for {model}; write weights: none, a file, or owner/name@<commit>")
    return str(name)


def _from_hub(model: str, config: Mapping[str, Any], place: str) -> Found:
    from huggingface_hub import hf_hub_download

    name, _, revision = place.partition("@")
    try:
        for needed in (CONFIG, SAVED):
            path = Path(hf_hub_download(name, needed, revision=revision, local_files_only=is_offline()))
            check_published([path])
    except (OSError, ValueError) as error:  # every error of huggingface_hub and of the network is one of the two
        state = "offline, and not in the cache" if is_offline() else f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise WeightsError(
            f"weights: cannot get '{place}' from the hub ({state}); fetch it where there is a network with: "
            f"hf download {name} --revision {revision}; or write weights: FILE for a local file, or weights: none"
        ) from error
    commit = path.parent.name if COMMIT.fullmatch(path.parent.name) else revision  # the cache names a snapshot after it
    found = _local(model, config, path, f"{name}@{commit}")
    return replace(found, card=replace(found.card, trained_on=str(config.get("tag") or "")))
