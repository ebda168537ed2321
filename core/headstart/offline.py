"""Offline: whether the network may be asked."""

from __future__ import annotations

import os

VARIABLES = ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE")
YES = frozenset({"1", "true", "yes", "on"})  # what huggingface_hub takes as yes


def is_offline() -> bool:
    """Whether `--offline`, HEADSTART_OFFLINE or HF_HUB_OFFLINE forbids the network."""
    return any(os.environ.get(name, "").strip().lower() in YES for name in VARIABLES)
