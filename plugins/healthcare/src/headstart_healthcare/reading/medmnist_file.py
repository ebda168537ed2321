"""MedMNIST's .npz files: exactly six arrays, checked before any is trusted; no pickled object is ever loaded."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.errors import DataError

PARTS = ("train", "val", "test")
KEYS = tuple(f"{part}_{what}" for part in PARTS for what in ("images", "labels"))
LIMIT = 16_000_000_000  # bytes that one file may unfold to; the largest official one (chestmnist_224) has 5.6 GB
_RATIO = 1100  # deflate unfolds to at most 1032 times its size
_AXES = {2: (3, 4), 3: (4,)}  # of images: [N, S, S] or [N, S, S, 3]; volumes [N, S, S, S]


@dataclass(frozen=True)
class MedFile:
    """Images and labels of each part.

    Attributes:
        images: Part -> uint8 [N, S, S], [N, S, S, 3] or [N, S, S, S].
        labels: Part -> integers [N, L].
        md5: Of the file.
    """

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    md5: str


def read_medmnist(path: Path, *, is_volume: bool) -> MedFile:
    """Read one file.

    Raises:
        DataError: It is missing, no .npz, has other arrays, other shapes or types, or would unfold to too much.
    """
    _check_members(path)
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: np.asarray(found[name]) for name in KEYS}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path.name}: cannot be read as MedMNIST's .npz: {_told(error)}") from None
    for part in PARTS:
        _check_part(path.name, part, arrays[f"{part}_images"], arrays[f"{part}_labels"], is_volume=is_volume)
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    images, labels = ({part: arrays[f"{part}_{what}"] for part in PARTS} for what in ("images", "labels"))
    return MedFile(images, labels, digest.hexdigest())


def _check_members(path: Path) -> None:
    """Names and sizes as the archive's directory declares them, before anything is unfolded."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    except zipfile.BadZipFile:
        raise DataError(f"{path.name}: is no .npz file") from None
    if set(members) != set(KEYS):
        raise DataError(f"{path.name}: holds {', '.join(sorted(members)[:8])}; MedMNIST's files hold {', '.join(KEYS)}")
    total = sum(member.file_size for member in members.values())
    if total > LIMIT or any(m.file_size > _RATIO * max(m.compress_size, 1) for m in members.values()):
        raise DataError(f"{path.name}: declares {total:,} bytes in {path.stat().st_size:,}; that is no MedMNIST file")


def _check_part(name: str, part: str, images: np.ndarray, labels: np.ndarray, *, is_volume: bool) -> None:
    axes = _AXES[3 if is_volume else 2]
    is_cube = images.ndim in axes and images.shape[1] == images.shape[2]
    is_cube &= images.ndim != 4 or images.shape[3] == (images.shape[1] if is_volume else 3)
    if images.dtype != np.uint8 or not is_cube:
        wanted = "uint8 [N, S, S, S]" if is_volume else "uint8 [N, S, S] or [N, S, S, 3]"
        raise DataError(f"{name}: {part}_images is {images.dtype} {list(images.shape)}, not {wanted}")
    if labels.dtype.kind not in "iu" or labels.ndim != 2 or len(labels) != len(images):
        raise DataError(f"{name}: {part}_labels is {labels.dtype} {list(labels.shape)}, not integers [{len(images)}, L]")


def _told(error: Exception) -> str:
    return "it holds pickled objects, which are never loaded" if "allow_pickle" in str(error) else type(error).__name__
