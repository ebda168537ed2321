"""Places: where a recipe's files are. A path, or `package:DISTRIBUTION/FILE` for a file that an installed package carries."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

from headstart.errors import MissingError

Place = Annotated[str, "place"]
"""Annotation of an option that names a file or folder. A relative one is made absolute by the recipe loader: against the
recipe's folder, or against the working directory where `--set` gave it; it stays as it is where nothing exists there."""

PACKAGE = "package:"


def locate(place: str) -> Path:
    """The path behind a place; an ordinary path is returned as it is, whether it exists or not.

    Raises:
        MissingError: The distribution is not installed or has no such file.
    """
    if not place.startswith(PACKAGE):
        return Path(place).expanduser()
    name, _, inner = place.removeprefix(PACKAGE).partition("/")
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise MissingError(f"'{place}' needs the package '{name}'; install it with: pip install {name}") from error
    path = Path(str(distribution.locate_file(inner)))
    if not path.exists():
        raise MissingError(f"the package '{name}' {distribution.version} has no file '{inner}' (looked for {path})")
    return path
