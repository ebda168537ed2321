"""The command that says what is installed and what would run where."""

from __future__ import annotations

import json
import os
from importlib import metadata
from typing import Any

import click

from headstart.components import KINDS, Component

VARIABLES = (
    "HEADSTART_HOME",
    "HEADSTART_OFFLINE",
    "HEADSTART_PLUGINS",
    "HEADSTART_NO_PLUGINS",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "TORCH_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool) -> None:
    """Say what is installed, what is broken, and on which device and in which precision a run would compute."""
    findings = examine()
    click.echo(json.dumps(findings) if as_json else "\n".join(_lines(findings)))


def examine() -> dict[str, Any]:
    """Versions, plugins, device, precision, default weights and environment variables."""
    from headstart.device import choose
    from headstart.plugins import registry
    from headstart.recipe import TrainPlan
    from headstart.run import environment

    compute = choose(TrainPlan())
    return {
        **environment(),
        "device": str(compute.device),
        "precision": "bf16" if compute.bf16 else "float32",
        "plugins": {record.name: record.error or "ok" for record in registry().records},
        "missing": {component.name: missing for component in _components() if (missing := _missing(component))},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _lines(findings: dict[str, Any]) -> list[str]:
    lines = [f"python {findings['python']} on {findings['system']}, {findings['cpus']} CPUs, {findings['threads']} threads"]
    lines += [f"{name} {version}" for name, version in findings["versions"].items()]
    lines.append(f"would compute on {findings['cuda'] or findings['device']} in {findings['precision']}")
    lines += [f"plugin {name}: {state}" for name, state in findings["plugins"].items()]
    lines += [f"{name} needs: pip install {' '.join(missing)}" for name, missing in findings["missing"].items()]
    return lines + [f"{name}={value}" for name, value in findings["variables"].items()]


def _components() -> list[Component]:
    from headstart.plugins import registry

    found = registry()
    return [found.find(kind, name) for kind in KINDS for name in found.names(kind)]


def _missing(component: Component) -> list[str]:
    """Distributions that a part needs and that are not installed."""
    return [name for name in component.requires if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
