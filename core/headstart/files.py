"""Files that are whole or absent: written under a temporary name in the same folder, synced, renamed; and hashed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError, UsageError
from headstart.faults import reach

MANIFEST = "manifest.json"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around writing a file that the user named.

    Raises:
        UsageError: It cannot be written there; the message says why.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror or error}") from error


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """Around writing: an error of the system that names no file (a full or a broken disk) names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str, *, site: str = "file") -> None:
    """Write a text file whole."""
    write_bytes(path, text.encode("utf-8"), site=site)


def write_bytes(path: Path, content: bytes, *, site: str = "file") -> None:
    """Write a file whole; `site` is what `headstart.faults` calls the writing of such files."""
    temporary, half = path.with_name(f".{path.name}.{os.getpid()}.tmp"), len(content) // 2
    try:
        with placed(path):
            reach(f"{site}.open")
            with temporary.open("wb") as file:
                file.write(memoryview(content)[:half])
                reach(f"{site}.half")
                file.write(memoryview(content)[half:])
                file.flush()
                reach(f"{site}.fsync")
                os.fsync(file.fileno())
            reach(f"{site}.replace")
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, site: str = "file") -> None:
    """Write a JSON file whole; NaN and infinity are refused, they are not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", site=site)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        HeadstartError: It is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HeadstartError(f"{path}: not found; the run did not finish or the file was removed") from error
    except ValueError as error:
        raise HeadstartError(f"{path}: not valid JSON ({error}); the file is damaged") from error


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, *, site: str = "file") -> None:
    """List every file under `folder` with its hash in `manifest.json`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    write_json(folder / MANIFEST, {str(path.relative_to(folder)): file_hash(path) for path in files}, site=site)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, where the system can."""
    held = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot
            os.fsync(held)
    finally:
        os.close(held)


def verify_manifest(folder: Path) -> None:
    """Check every file against `manifest.json`.

    Raises:
        HeadstartError: A file is missing or its bytes changed.
    """
    hashes: Mapping[str, str] = read_json(folder / MANIFEST)
    if not isinstance(hashes, dict):
        raise HeadstartError(f"{folder / MANIFEST}: lists no files; restore it from a copy of the run")
    for name, expected in hashes.items():
        path = folder / name
        if not path.exists():
            raise HeadstartError(f"{path}: missing, though {folder / MANIFEST} lists it; restore it from a copy of the run")
        if file_hash(path) != expected:
            raise HeadstartError(
                f"{path}: its bytes changed since it was written (sha256 differs); restore it from a copy of the run"
            )
