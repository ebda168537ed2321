"""What holds for every test: nothing of the person who runs them is read or written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stores on disk lie in a folder of this session, also those of child processes."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
