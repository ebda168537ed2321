"""The hooks of headstart, in one place: what a plugin can offer. Offering imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from headstart.components import Component

if TYPE_CHECKING:
    import click

PROJECT = "headstart"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def headstart_backbones() -> Iterable[Component]:
    """Backbones: pretrained networks with stages; each target is a subclass of `headstart.Backbone`."""


@hookspec
def headstart_heads() -> Iterable[Component]:
    """Heads: tasks on top of features; each target is a subclass of `headstart.Head`."""


@hookspec
def headstart_strategies() -> Iterable[Component]:
    """Strategies: what trains, phase by phase; each target is a subclass of `headstart.Strategy`."""


@hookspec
def headstart_data() -> Iterable[Component]:
    """Data: readers of raw examples; each target is a subclass of `headstart.Data`."""


@hookspec
def headstart_evaluations() -> Iterable[Component]:
    """Evaluations: measures beyond a head's own scores; each target is a subclass of `headstart.Evaluation`."""


@hookspec
def headstart_report() -> Iterable[Component]:
    """Sections of the report: each target is a function `Evidence -> Sequence[Figure]` of `headstart.report`, none where
    the run has nothing for it; the component's summary is the section's title.
    """


@hookspec
def headstart_explainers() -> Iterable[Component]:
    """Explainers: each target is a function `(Run, Request) -> Explained | None` of `headstart.explaining`, None where it
    cannot explain runs of this kind; `headstart explain` asks them in turn.
    """


@hookspec
def headstart_cases() -> Iterable[Component]:
    """Cases of the conformance kit: each target is a function `() -> Sequence[Case]` of `headstart.testing`, the options,
    inputs and targets that `headstart plugins test` runs the plugin's parts with.
    """


@hookspec
def headstart_recipes() -> Iterable[Path]:
    """Folders of recipes that the plugin brings; shown by `headstart list recipes`, copied by `headstart cp`."""


@hookspec
def headstart_trackers() -> Iterable[Callable[[Mapping[str, Any]], None]]:
    """Functions that are called with every event of a run, the same mappings as the lines of `events.jsonl`; and with
    `predicted` whenever a finished run has answered: its `folder`, and `answers` with `id`, `answer`, `probabilities` and
    `abstain` of each example.
    """


@hookspec
def headstart_commands() -> Iterable[click.Command]:
    """Further commands of the command line: `headstart NAME` runs the command of that name, unless the core has one.

    A command is imported with the hooks, so its function imports what is heavy only when it is called.
    """
