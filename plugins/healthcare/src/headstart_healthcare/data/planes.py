"""The data part `healthcare/planes`: slices of whole volumes, told apart by their plane; a label that no one has to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.errors import DataError, UsageError
from headstart.place import Place, locate
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.clinical_data import Choices
from headstart_healthcare.data.images import Images
from headstart_healthcare.data.patients import NONE, Patients
from headstart_healthcare.privacy.pseudonyms import Pseudonyms
from headstart_healthcare.reading.errors import ReadingError
from headstart_healthcare.reading.pixel_array import PixelArray
from headstart_healthcare.reading.scan import How
from headstart_healthcare.reading.volume import Volume

PLANES: Mapping[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Plane -> the axis of a volume in RAS that it is perpendicular to."""

_BLACK = 0.1  # of the range; below, nothing is to be seen
_CENTRAL = 0.6  # of each axis; the outer slices are empty or hold little


class Planes(Images):
    """Slices of NIfTI volumes in three planes; the label is the plane, which the orientation in the file tells.

    A derived label: it shows that reading, training and reporting work on real scans where no diagnoses can be shipped, and
    says nothing about any disease. Volumes are given to the parts whole, so no head stands in two of them.

    Args:
        train: Volumes whose slices train.
        val: Volumes whose slices select and calibrate.
        test: Volumes whose slices are tested on.
        group: Has to be "none": the slices are judged one by one, and no patient is told.
        slices: Of each plane of each volume, evenly spaced over its middle.
        spacing: Millimetres that every volume is brought to first, along all axes.
        time: Which time point of 4-D files, from 0.
        augment: What training views are: "geometry", "intensity", "both"; never mirrored.
    """

    modality = "image"

    def __init__(
        self,
        *,
        train: list[Place],
        val: list[Place],
        test: list[Place],
        group: Literal["none"],
        slices: int = 24,
        spacing: float = 2.0,
        time: int = 0,
        augment: Literal["none", "geometry", "intensity", "both"] = "none",
    ) -> None:
        if group != NONE:
            raise UsageError(f"data.group: '{group}': slices of volumes have no patient; write group: none")
        if slices < 1 or not spacing > 0:
            raise UsageError(f"data.slices is {slices} and data.spacing {spacing}; both have to be above 0")
        self.places, self.slices, self.millimetres, self.time = (
            {"train": train, "val": val, "test": test},
            slices,
            spacing,
            time,
        )
        self.choices, self.how, self.view = Choices(Patients()), How(), augment

    def listed(self, names: Pseudonyms) -> tuple[list[Case], dict[str, Any]]:
        """The slices of every volume."""
        twice = [place for places in self.places.values() for place in places]
        if len(set(twice)) < len(twice):
            raise DataError("data: a volume stands twice among train, val and test; each belongs to one of them")
        cases = [
            case
            for split, places in self.places.items()
            for number, place in enumerate(places, start=1)
            for case in self._of_volume(locate(place), f"{split}-{number}", split)
        ]
        told = f"{len(twice)} volumes, each whole in one part; the label (the plane) is derived, and is no diagnosis."
        few = f"Intervals are over the slices of {len(self.places['test'])} test volumes; they say nothing about other people."
        return cases, {"notes": [told], "warnings": [few]}

    def opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        """The slices of another volume, with their planes; or pictures, as `healthcare/images` opens them."""
        return self._of_volume(path, names.of("scan", path.name), None) if _is_nifti(path) else self._opened(path, names)

    def _of_volume(self, path: Path, name: str, split: str | None) -> list[Case]:
        grid = self._volume(path, name).read()
        found = []
        for plane, axis in PLANES.items():
            for at in _central(grid.values, axis, self.slices):
                key = f"{name}-{plane}-{at:03d}"
                picture = PixelArray(_squared(np.take(grid.values, at, axis=axis)), key)
                found.append(Case(key, picture, plane, split=split))
        return found

    def _volume(self, path: Path, name: str) -> Volume:
        """A 4-D file is read at `time`, an ordinary one as it is."""
        import nibabel

        try:
            is_series = len(nibabel.load(path).shape) > 3  # type: ignore[attr-defined]  # nibabel's types know no shape
        except Exception:
            is_series = False  # reading says what is wrong
        spacing = (self.millimetres,) * 3
        return Volume((str(path),), name, self.how, "RAS", spacing, self.time if is_series else None)


def _central(values: np.ndarray, axis: int, count: int) -> Sequence[int]:
    """Indices of slices in the middle of what the volume shows along an axis, none twice and none empty."""
    shown = np.flatnonzero(values.max(axis=tuple(other for other in range(3) if other != axis)) > _BLACK)
    if not len(shown):
        raise ReadingError("constant")
    outer = len(shown) * (1 - _CENTRAL) / 2
    return sorted({int(shown[at]) for at in np.linspace(outer, len(shown) - 1 - outer, count).round().astype(int)})


def _squared(values: np.ndarray) -> np.ndarray:
    """A slice [a, b] with its second axis upwards, black around it, so that its shape tells nothing: float32 [S, S]."""
    turned = values.T[::-1]
    side = max(turned.shape)
    gaps = [side - length for length in turned.shape]
    return np.pad(turned, [(gap // 2, gap - gap // 2) for gap in gaps]).astype(np.float32)


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))
