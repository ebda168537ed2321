"""Installed distributions: their versions, read once in a process."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=512)
def installed_version(name: str) -> str | None:
    """Version of a distribution by its name; None = it is not installed.

    Its metadata are a mail header that takes milliseconds to parse, and a run asks for some of them several times.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
