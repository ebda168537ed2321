"""Local weights: a file that somebody else published, found by its path, held to its hash, and described on a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.backbone import WeightsCard
from headstart.errors import WeightsError
from headstart.files import file_hash
from headstart_vision.variants import describe_file
from headstart_vision.weights import NONE, find_file


def find_local(
    place: str, sha256: str = "", *, licence: str = "unknown", trained_on: str = ""
) -> tuple[Path | None, WeightsCard]:
    """The file of weights behind a path, folder or `package:DISTRIBUTION/FILE`, and its card; no file for "none".

    Args:
        place: What the recipe names.
        sha256: That the file must have, or the first 8 or more of its digits; "" = any.
        licence: Under which such files are published.
        trained_on: What such files have seen.

    Raises:
        WeightsError: Nothing is there, or its hash is another one.
    """
    if place == NONE:
        return None, WeightsCard(source=NONE)
    file = find_file(place)
    check_hash(file, sha256)
    return file, describe_file(file, place, licence=licence, trained_on=trained_on)


def check_hash(file: Path, sha256: str) -> None:
    """Refuse a file that is not the one that was meant.

    Raises:
        WeightsError: Its hash is another one, or `sha256` is no hash.
    """
    wanted = sha256.lower()
    if not wanted:
        return
    if len(wanted) < 8 or set(wanted) - set("0123456789abcdef"):
        raise WeightsError(f"sha256 is '{sha256}'; write the file's hash in hexadecimal, at least its first 8 digits")
    found = file_hash(file)
    if not found.startswith(wanted):
        raise WeightsError(f"weights: {file} has sha256 {found}, not {wanted}; fetch it again, or correct sha256")


def saved_options(folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a network that a run has saved: the hash was that of the first file, the run has hashes of its own."""
    return {**options, "weights": str(folder), "sha256": ""}
