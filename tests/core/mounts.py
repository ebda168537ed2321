"""File systems of a test's own: small, full or read-only ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """A file system on `folder` while the context lasts."""
    command = ["mount", *arguments, str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root and the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remounted(folder: Path, options: str) -> None:
    """Change the options of what is mounted on `folder`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
