"""The example of a third-party plugin: its own tests pass with it installed, and its distribution is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/headstart-protein"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Skips where the example is not installed."""
    try:
        metadata.distribution("headstart-protein")
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: pip install -e examples/headstart-protein")


def own_tests(*which: str) -> subprocess.CompletedProcess[str]:
    """Some of the example's own tests, as its author runs them: from its folder, with its settings."""
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *which]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.run(call, cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False, timeout=500)


def test_the_examples_own_tests_pass():
    done = own_tests("--ignore=tests/test_runs.py", "--ignore=tests/test_readme.py")
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow  # three whole runs with their reports
def test_the_examples_whole_runs_pass():
    done = own_tests("tests/test_runs.py", "tests/test_readme.py")
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_wheel_holds_its_recipes_and_types(tmp_path):
    copy = shutil.copytree(EXAMPLE, tmp_path / "copy")  # building writes into the folder that it builds
    call = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(copy)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
    if "No module named 'setuptools'" in done.stderr or "Cannot import 'setuptools" in done.stderr:
        pytest.skip("setuptools is not installed in this environment")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("headstart_protein-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"headstart_protein/py.typed", "headstart_protein/recipes/protein/regions.yaml"} <= names


def test_its_parts_are_listed_without_torch(headstart):
    done = headstart("list", "backbones")
    assert done.returncode == 0
    assert "protein/encoder" in done.stdout
    shown = headstart("show", "protein/table")
    assert "identity" in shown.stdout
