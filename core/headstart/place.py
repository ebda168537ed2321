"""Places: where a recipe's files are. A path, or `package:DISTRIBUTION/FILE` for a file that an installed package carries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.errors import DataError, MissingError
from headstart.homes import packages_home

if TYPE_CHECKING:
    from headstart.recipe import Recipe

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
        if (brought := _brought(name, inner)) is not None:
            return brought
        raise MissingError(f"'{place}' needs the package '{name}'; install it with: pip install {name}") from error
    path = Path(str(distribution.locate_file(inner)))
    if not path.exists():
        raise MissingError(f"the package '{name}' {distribution.version} has no file '{inner}' (looked for {path})")
    return path


def _brought(name: str, inner: str) -> Path | None:
    """A file of a package that is not installed, which a kit brought; of several versions the last."""
    from packaging.version import InvalidVersion, Version

    found = []
    for path in packages_home().glob(f"{name}/*/{inner}"):
        with suppress(InvalidVersion):
            found.append((Version(path.relative_to(packages_home()).parts[1]), path))
    return max(found, default=(None, None))[1]


@contextmanager
def naming_folders(recipe: Recipe) -> Iterator[None]:
    """Around reading a recipe's data: an error about a relative place that is nowhere also names the recipe's folder.

    The reader knows only the working directory; that the loader looked beside the recipe before is known here.
    """
    try:
        yield
    except DataError as error:
        if recipe.file and _is_relative_place(recipe, str(error)) and recipe.file.resolve().parent != Path.cwd():
            error.args = (f"{error}; nor is it in the recipe's folder, {recipe.file.resolve().parent}",)
        raise


def _is_relative_place(recipe: Recipe, message: str) -> bool:
    """Whether the message is about an absent place that the recipe's file itself names."""
    named = message.partition(": ")[0]
    texts = ((name, value) for name, value in recipe.data.options.items() if isinstance(value, str) and value)
    places = [name for name, value in texts if Path(value) == Path(named)]
    is_set = any(text.startswith(f"data.{name}") for name in places for text in recipe.overrides)
    return bool(places) and not is_set and not Path(named).is_absolute() and not Path(named).exists()
