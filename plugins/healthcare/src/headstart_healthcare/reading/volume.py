"""Volume: a 3-D scan that is not read yet, turned to one orientation and, where asked, one spacing."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from headstart_healthcare.reading.dicom_series import read_series
from headstart_healthcare.reading.errors import ReadingError, reading
from headstart_healthcare.reading.grid import Grid, oriented, respaced
from headstart_healthcare.reading.kept import KEPT
from headstart_healthcare.reading.nifti import SUFFIXES as NIFTI
from headstart_healthcare.reading.nifti import read_nifti
from headstart_healthcare.reading.scan import HOW, How, digest_of


@dataclass(frozen=True)
class Volume:
    """A volume on disk: a NIfTI file, a multi-frame DICOM object, or the files of one DICOM series.

    Attributes:
        paths: Of its files.
        name: Its pseudonym; all that is ever shown.
        how: Options of reading.
        orientation: Which way the axes grow: "RAS".
        spacing: Millimetres that it is brought to; None = as it is.
        time: Which time point of a 4-D file, from 0; None = it must have one.
        digest: Of its voxels, once it was read; "" = not known yet.
    """

    paths: tuple[str, ...]
    name: str
    how: How = HOW
    orientation: str = "RAS"
    spacing: tuple[float, ...] | None = None
    time: int | None = None
    digest: str = ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Volume({self.name})"

    def read(self) -> Grid:
        """Its voxels [X, Y, Z] in [0, 1] and their directions; what `keep` holds is not read again.

        Raises:
            ReadingError: With the pseudonym and a reason code.
        """
        return KEPT.find(self._key, self.paths) or reading(self.name, self._read)

    def keep(self, grid: Grid) -> None:
        """Hold what `read` gave for further passes, as far as there is room; nobody may write into it then."""
        KEPT.keep(self._key, self.paths, grid)

    def open(self) -> np.ndarray:
        """Voxels float32 [1, D, H, W] in [0, 1], a copy each time; D, H and W are the axes Z, Y and X of `read`.

        Raises:
            ReadingError: As `read`.
        """
        return np.array(self.read().values.transpose(2, 1, 0)[None], order="C")

    def load(self) -> np.ndarray:
        """The middle slice, uint8 [H, W]: for baselines and for looking at."""
        return middle_slice(self.open())

    def content(self) -> bytes:
        """What tells it from others: its voxels, not its files."""
        return (self.digest or digest_of(self.read().values)).encode()

    @property
    def _key(self) -> Hashable:
        return self.paths, self.how, self.orientation, self.spacing, self.time

    def _read(self) -> Grid:
        paths = [Path(path) for path in self.paths]
        found = self._nifti(paths) if paths[0].name.lower().endswith(NIFTI) else self._dicom(paths)
        if float(found.values.min()) == float(found.values.max()):
            raise ReadingError("constant")
        turned = oriented(found, self.orientation)
        return turned if self.spacing is None else respaced(turned, self.spacing, self.how.limits.voxels)

    def _nifti(self, paths: list[Path]) -> Grid:
        return read_nifti(paths[0], self.how.limits, window=self.how.window, time=self.time)

    def _dicom(self, paths: list[Path]) -> Grid:
        return read_series(paths, self.how.limits, window=self.how.window, colour=self.how.colour)


@dataclass(frozen=True)
class VolumeArray:
    """A volume in memory without directions, as benchmark files hold them: uint8 [D, H, W].

    Attributes:
        values: As they are stored.
        name: All that is ever shown.
    """

    values: np.ndarray = field(repr=False)
    name: str = ""

    def __str__(self) -> str:
        return self.name

    def open(self) -> np.ndarray:
        """Voxels float32 [1, D, H, W], divided by 255 as the benchmark's own loader does."""
        return self.values.astype(np.float32)[None] / 255

    def load(self) -> np.ndarray:
        """The middle slice, uint8 [H, W]."""
        return middle_slice(self.open())

    def content(self) -> bytes:
        """What tells it from others."""
        return digest_of(self.values).encode()


def middle_slice(voxels: np.ndarray) -> np.ndarray:
    """The slice at half the depth of voxels [1, D, H, W] in [0, 1], as uint8 [H, W]."""
    return np.asarray(np.round(voxels[0, voxels.shape[1] // 2] * 255), dtype=np.uint8)
