"""Tree scan: before a run is given out, every file of its folder is searched for names of patients and files that were read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart_healthcare.privacy.log_mask import mask_logs

FILE = "privacy.json"
"""In the run's folder: what was searched and where a name was found; never which name."""

_CHUNK = 1 << 22
_PARQUET = ".parquet"


def scan(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """How many names were looked for, which files were searched, and in which a name stands, relative to the folder."""
    from headstart_healthcare.privacy.name_search import NameSearch

    search, every = NameSearch(names), set(names)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_own(path)}
    found = [name for name, path in files.items() if any(search.is_in(piece) for piece in _pieces(name, path, search.longest))]
    return {"names": len(search), "too short": len(every) - len(search), "searched": list(files), "found in": found}


def names_in(folder: Path) -> list[str]:
    """Search a run's folder, keep in it what was searched, and tell where names stand; nothing where no names are known."""
    known = mask_logs().known
    if not known:
        return []
    found = scan(folder, list(known))
    (folder / FILE).write_text(json.dumps(found, indent=1), encoding="utf-8")
    if not found["found in"]:
        return []
    return [f"names of patients or files stand in {', '.join(found['found in'])}."]


class Watch:
    """Tracker: a clinical run's folder is closed to others as it begins."""

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Hear one event."""
        if mask_logs().known and event["event"] == "start":
            Path(event["folder"]).chmod(0o700)


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.name != FILE


def _pieces(name: str, path: Path, overlap: int) -> Iterator[bytes]:
    """The file's own name, then its content in pieces that overlap; parquet by its values, since its pages are packed."""
    yield name.encode()
    if path.suffix == _PARQUET:
        from pyarrow import parquet

        yield json.dumps(parquet.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
        return
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            yield tail + block
            tail = block[-overlap:] if overlap else b""
