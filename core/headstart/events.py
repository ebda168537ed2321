"""Events: everything that a run does, told once to the log files, the terminal and any tracker of a plugin."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headstart.credentials import hide_in
from headstart.files import placed

log = logging.getLogger(__name__)

Tracker = Callable[[Mapping[str, Any]], None]
Tell = Callable[..., None]
"""Called as tell("epoch", phase="head", ...)."""

TRANSIENT = ("step",)  # for live bars only: a line per step would swell events.jsonl


class Events:
    """Tells each event to all trackers; `events.jsonl` and `train.log` are two of them."""

    def __init__(self, trackers: Iterable[Tracker] = ()) -> None:
        self._trackers = list(trackers)

    def __call__(self, event: str, **facts: Any) -> None:
        """Tell one event with its facts (plain JSON values)."""
        facts = facts if event in TRANSIENT else hide_in(facts)  # those hold figures, and are many
        told = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        for tracker in self._trackers:
            tracker(told)


def isolated(tracker: Tracker) -> Tracker:
    """A plugin's tracker that is left out from its first error on: it must not end the run that it watches."""
    is_sound = True

    def track(event: Mapping[str, Any]) -> None:
        nonlocal is_sound
        if is_sound:
            try:
                tracker(event)
            except Exception:
                is_sound = False
                log.exception("a plugin's tracker failed at the event '%s' and hears no more", event["event"])

    return track


def to_jsonl(path: Path) -> Tracker:
    """A tracker that appends each lasting event to a file of JSON lines."""

    def track(event: Mapping[str, Any]) -> None:
        if event["event"] not in TRANSIENT:
            append_line(path, event)

    return track


def epochs_to_jsonl(path: Path) -> Tracker:
    """A tracker that appends the figures of each epoch to `metrics.jsonl`."""

    def track(event: Mapping[str, Any]) -> None:
        if event["event"] == "epoch":
            append_line(path, {key: value for key, value in event.items() if key not in ("event", "time")})

    return track


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Append one JSON line."""
    with placed(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_as_json(value), ensure_ascii=False, allow_nan=False) + "\n")


def _as_json(value: Any) -> Any:
    """NaN and infinity are not JSON: they become null."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
