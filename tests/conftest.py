"""What holds for every test: nothing of the person who runs them is read or written, and no other machine is asked."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

NO_NETWORK = Path(__file__).parent / "no_network"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stores on disk lie in a folder of this session, also those of child processes."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """This process and its children reach no other machine, whatever the machine of the tests can reach."""
    runpy.run_path(str(NO_NETWORK / "sitecustomize.py"))
    path = os.pathsep.join(filter(None, (str(NO_NETWORK), os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", path)
        yield


@pytest.fixture(
    params=[
        (0, 0.0, True),
        (1, 0.01, True),
        (1, 0.009, False),
        (5, 0.05, True),
        (5, 0.01, False),
        (50, 0.5, True),
        (50, 0.49, False),
    ],
    ids=str,
)
def budget(request: pytest.FixtureRequest) -> tuple[int, float, bool]:
    """How many of 100 records are broken, the share that may be, and whether the rest is read."""
    found: tuple[int, float, bool] = request.param
    return found
