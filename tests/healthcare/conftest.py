"""What tests of healthcare share: a key of pseudonyms of their own, never that of the person who runs them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart_healthcare.privacy.pseudonyms import VARIABLE

sys.path.append(str(Path(__file__).parent))  # for dicom_made: pytest's importlib mode puts no folder of tests there


@pytest.fixture(scope="session", autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Also for child processes."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(VARIABLE, str(tmp_path_factory.mktemp("key") / "pseudonym.key"))
        yield
