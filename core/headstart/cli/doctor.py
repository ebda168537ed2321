"""The command that says what is installed and what would run where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from headstart.components import KINDS, Component
from headstart.installed import installed_version
from headstart.store_folder import stores_root

CACHES = {"HF_HOME": "huggingface", "TORCH_HOME": "torch"}  # variable -> folder under ~/.cache where it is not set
VARIABLES = (
    "HEADSTART_HOME",
    "HEADSTART_CACHE",
    "HEADSTART_CACHE_LIMIT",
    "HEADSTART_CONFIG",
    "HEADSTART_OFFLINE",
    "HEADSTART_PATIENCE",
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
    """Versions, plugins, device, precision, caches of downloads and environment variables."""
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
        "caches": {**{name: _cache(name, folder) for name, folder in CACHES.items()}, "HEADSTART_CACHE": _sized(stores_root())},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _lines(findings: dict[str, Any]) -> list[str]:
    lines = [f"python {findings['python']} on {findings['system']}, {findings['cpus']} CPUs, {findings['threads']} threads"]
    lines += [f"{name} {version}" for name, version in findings["versions"].items()]
    lines.append(f"would compute on {findings['cuda'] or findings['device']} in {findings['precision']}")
    lines += [f"plugin {name}: {state}" for name, state in findings["plugins"].items()]
    lines += [f"{name} needs: pip install {' '.join(missing)}" for name, missing in findings["missing"].items()]
    lines += [f"cache {name}: {cache['folder']}, {_size(cache['megabytes'])}" for name, cache in findings["caches"].items()]
    return lines + [f"{name}={value}" for name, value in findings["variables"].items()]


def _cache(variable: str, folder: str) -> dict[str, Any]:
    """Where a library keeps what it downloads."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return _sized(Path(os.environ.get(variable) or base / folder).expanduser())


def _sized(path: Path) -> dict[str, Any]:
    """A folder and how much is in it; None = it is not there yet.

    Links are not counted: the hub's cache holds each file once and links to it.
    """
    files = (Path(place) / name for place, _, names in os.walk(path) for name in names)
    total = sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())
    shown = f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
    return {"folder": shown, "megabytes": round(total / 1e6, 1) if path.is_dir() else None}


def _size(megabytes: float | None) -> str:
    return "not there yet" if megabytes is None else f"{megabytes:,.1f} MB"


def _components() -> list[Component]:
    from headstart.plugins import registry

    found = registry()
    return [found.find(kind, name) for kind in KINDS for name in found.names(kind)]


def _missing(component: Component) -> list[str]:
    """Distributions that a part needs and that are not installed."""
    return [name for name in component.requires if installed_version(name) is None]
