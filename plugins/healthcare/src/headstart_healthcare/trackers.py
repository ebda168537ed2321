"""Trackers that are imported with the first event they hear: most commands run nothing, and pay for none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

TRACKERS = (
    "privacy.tree_scan:Watch",
    "data.quarantine:Quarantine",
    "report.datasheet:Datasheet",
    "trail.keeping:Trail",
)
"""Module and class of each, in the order in which they hear."""


def trackers() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """One of each, not yet imported."""
    return map(_later, TRACKERS)


def _later(target: str) -> Callable[[Mapping[str, Any]], None]:
    module, _, name = target.partition(":")

    @cache
    def made() -> Callable[[Mapping[str, Any]], None]:
        tracker: Callable[[Mapping[str, Any]], None] = getattr(import_module(f"headstart_healthcare.{module}"), name)()
        return tracker

    def track(event: Mapping[str, Any]) -> None:
        made()(event)

    return track
