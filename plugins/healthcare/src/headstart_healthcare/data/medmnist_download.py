"""Download of an official file: written beside its place, verified, then renamed; refused where the network is switched off."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from headstart.errors import DataError, MissingError
from headstart.offline import VARIABLES, is_offline

_CHUNK = 1 << 20
_SECONDS = 60


def download(url: str, path: Path, md5: str | None) -> Path:
    """Fetch a file to `path`.

    Raises:
        MissingError: The network is switched off or does not answer.
        DataError: The checksum is another.
    """
    if is_offline():
        raise MissingError(
            f"{path}: there is no such file, and the network is switched off ({' or '.join(VARIABLES)}); from {url}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, digest = path.with_name(f".{path.name}.{os.getpid()}"), hashlib.md5(usedforsecurity=False)
    try:
        with urlopen(url, timeout=_SECONDS) as answer, partial.open("wb") as file:  # noqa: S310 - a fixed https address
            while block := answer.read(_CHUNK):
                digest.update(block)
                file.write(block)
        if md5 is not None and digest.hexdigest() != md5:
            raise DataError(f"{url}: MD5 is {digest.hexdigest()}, not {md5}; it was not kept")
        partial.replace(path)
    except (URLError, OSError) as error:
        raise MissingError(f"{url}: cannot be fetched: {error}; put the file at {path}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path
