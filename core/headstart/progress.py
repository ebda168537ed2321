"""Progress for people: a live bar on a terminal, one line per epoch elsewhere, never silence; all of it on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from headstart.events import Tracker, epochs_to_jsonl, isolated, to_jsonl
from headstart.files import placed
from headstart.plugins import registry
from headstart.visible import visible


def trackers(folder: Path, *, quiet: bool = False) -> list[Tracker]:
    """What hears the events of a run: its files, the terminal (unless `quiet`), and the trackers of plugins."""
    files = [to_jsonl(folder / "events.jsonl"), epochs_to_jsonl(folder / "metrics.jsonl"), to_log(folder / "train.log")]
    terminal = [] if quiet else [Terminal(sys.stderr)]
    return [*files, *terminal, *map(isolated, registry().trackers())]


def to_log(path: Path) -> Tracker:
    """A tracker that appends the lines that a person would have seen to `train.log`."""

    def track(event: Mapping[str, Any]) -> None:
        if (text := line(event)) is not None:
            with placed(path), path.open("a", encoding="utf-8") as file:
                file.write(f"{event['time']} {text}\n")

    return track


class Terminal:
    """Writes lines for lasting events and keeps one live bar of the running phase at the bottom of a terminal.

    Args:
        stream: Where to; without a terminal behind it there is no bar.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        if event["event"] == "step":
            self._bar(event)
        elif event["event"] == "stopped":  # the error itself is told by the command
            self._stream.write("\r\x1b[K" if self._live else "")
        elif (text := line(event)) is not None:
            self._stream.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
            self._stream.flush()

    def _bar(self, event: Mapping[str, Any]) -> None:
        if self._live:
            done = round(30 * event["step"] / event["steps"])
            bar = f"{'━' * done}{'─' * (30 - done)} {event['step']}/{event['steps']} {event['phase']}"
            self._stream.write(f"\r\x1b[K{bar}")
            self._stream.flush()


def line(event: Mapping[str, Any]) -> str | None:
    """One event as a line for people; None = nothing to say."""
    say = _LINES.get(event["event"])
    text = say(event) if say else None
    return None if text is None else visible(text)


def _start(event: Mapping[str, Any]) -> str:
    return f"run {event['folder']}: {event['strategy']} on {event['backbone']}"


def _split(event: Mapping[str, Any]) -> str:
    sizes = " · ".join(f"{name} {size}" for name, size in event["sizes"].items())
    return f"split {event['how']}: {sizes}" + (f" · {event['folds']} folds" if event["folds"] else "")


def _audit(event: Mapping[str, Any]) -> str | None:
    if not event["found"]:
        return None
    return f"leaks between splits: {event['found']} found, {event['moved']} examples moved, {event['dropped']} dropped"


def _phase(event: Mapping[str, Any]) -> str:
    most = f"{event['steps']} steps or {event['epochs']} epochs" if "steps" in event else f"{event['epochs']} epochs"
    return f"phase {event['phase']}: {event['trainable']:,} trainable parameters, up to {most}"


def _stored(event: Mapping[str, Any]) -> str:
    what = f"the values after {event['after']}" if "after" in event else ", ".join(event["ports"])
    whose = f"{event['examples']} {event['split']} examples" + (f" in {event['views']} views" if event["views"] > 1 else "")
    new = f", {event['computed']} of them new" if event["place"] == "disk" else ""
    error = f"; float16 differs by {event['error']:.1e}" if "error" in event else ""
    network = f"; network: {', '.join(event['network'])}" if event.get("network") else ""
    place = f"in memory, {event['megabytes']} MB" if event["place"] == "memory" else f"on disk, {event['megabytes']} MB{new}"
    return f"stored {what} of {whose} {place}: {event['why']}{error}{network}"


def _live(event: Mapping[str, Any]) -> str:
    return f"the frozen stages up to {event['after']} run in every step for {event['split']}: {event['why']}"


def _idle(event: Mapping[str, Any]) -> str:
    told = (f"{port} (behind {stage}, frozen up to there)" for port, stage in event["ports"].items())
    return f"  without the auxiliary losses of {', '.join(told)}: they would teach nothing"


def _epoch(event: Mapping[str, Any]) -> str:
    figures = [f"val {name} {value:.4f}" for name, value in list(event["val"].items())[:3]]
    loss = [] if event["train_loss"] is None else [f"loss {event['train_loss']:.4f}"]
    best = ["best"] if event["best"] and event["val"] else []
    parts = " · ".join([*loss, *figures, f"{event['seconds']:.1f} s", *best])
    return f"  {event['phase']} {event['epoch']}/{event['epochs']}  {parts}"


def _resumed(event: Mapping[str, Any]) -> str:
    where = "all phases are done" if event["phase"] is None else f"phase {event['phase']}, epoch {event['epoch']}"
    return f"goes on after {event['step']} steps: {where}"


_BOUNDS = {
    "work": "as much computation as the run",
    "least": "the least that makes sense, more computation than the run",
    "time": "all that the time limit allowed, less computation than the run",
}


def _scratch(event: Mapping[str, Any]) -> str:
    passes = f"{event['steps']} steps, {event['passes']:.2g} passes over the training examples, {event['seconds']:.1f} s"
    return f"baseline scratch: the same network from random weights: {passes}; {_BOUNDS[event['bound']]}"


_LINES: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "start": _start,
    "split": _split,
    "audit": _audit,
    "phase": _phase,
    "stored": _stored,
    "live": _live,
    "idle": _idle,
    "epoch": _epoch,
    "resumed": _resumed,
    "origin": lambda event: str(event["message"]),
    "floor": lambda event: str(event["message"]),
    "store": lambda event: str(event["message"]),
    "fold": lambda event: f"fold {event['fold']}",
    "baseline": lambda event: f"baseline {event['name']}: {event['examples']} examples predicted",
    "scratch": _scratch,
    "warning": lambda event: f"warning: {event['message']}",
    "stopped": lambda event: f"stopped: {event['error']}: {event['message']}",
    "truncated": lambda event: f"{event['examples']} of {event['of']} inputs are too long and lose their ends",
    "end": lambda event: f"done in {event['seconds']} s",
}
