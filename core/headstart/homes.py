"""Homes: the folders in which loaders look for files that came over a network, and which names may stand below each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

HUB, TORCH, MEDMNIST, PACKAGES, FILES = "hub", "torch", "medmnist", "packages", "files"

_SEGMENT = r"(?!\.\.?(?:/|$))[^/\\:\x00-\x1f]{1,200}"  # neither "." nor "..", no Windows drive, no control characters
_BELOW = rf"{_SEGMENT}(?:/{_SEGMENT}){{0,40}}"
_REPOSITORY = r"(?:models|datasets)--[\w.-]{1,200}"
NAMES: Mapping[str, re.Pattern[str]] = {
    HUB: re.compile(rf"{_REPOSITORY}/(?:snapshots/[0-9a-f]{{40}}|refs)/{_BELOW}"),
    TORCH: re.compile(_SEGMENT),
    MEDMNIST: re.compile(r"[a-z0-9_]{1,80}\.npz"),
    PACKAGES: re.compile(rf"[\w.-]{{1,200}}/[\w.+!-]{{1,100}}/{_BELOW}"),
    FILES: re.compile(_BELOW),
}


def hub_home() -> Path:
    """The hub's cache (HF_HOME, HF_HUB_CACHE), as huggingface_hub has it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def torch_home() -> Path:
    """The folder of `torch.hub.load_state_dict_from_url` (TORCH_HOME), as torch.hub finds it."""
    base = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(base).expanduser() / "hub" / "checkpoints"


def medmnist_home() -> Path:
    """Where the package medmnist keeps its files."""
    return Path("~/.medmnist").expanduser()


def packages_home() -> Path:
    """Files of packages that are not installed: `$HEADSTART_CACHE/packages`, else in the user's cache folder."""
    if root := os.environ.get("HEADSTART_CACHE"):
        return Path(root).expanduser().absolute() / "packages"
    from platformdirs import user_cache_path

    return user_cache_path("headstart", appauthor=False) / "packages"


ROOTS: Mapping[str, Callable[[], Path]] = {
    HUB: hub_home,
    TORCH: torch_home,
    MEDMNIST: medmnist_home,
    PACKAGES: packages_home,
}
"""Home -> its folder; FILES has none of its own, they go where the user says."""


def is_name(home: str, path: str) -> bool:
    """Whether a file of this name may lie in a home: below it, and where its loader looks."""
    pattern = NAMES.get(home)
    return pattern is not None and pattern.fullmatch(path) is not None
