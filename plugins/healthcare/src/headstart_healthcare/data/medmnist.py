"""The data parts `healthcare/medmnist` and `healthcare/medmnist-3d`: MedMNIST v2 files, by path or by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from headstart.errors import DataError, MissingError, UsageError
from headstart.example import Target
from headstart.homes import medmnist_home
from headstart.place import Place, locate
from headstart.supplies import Supply, at_place, in_medmnist
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.clinical_data import Choices, ClinicalData
from headstart_healthcare.data.medmnist_catalogue import SETS, SOURCE, MedSet
from headstart_healthcare.data.medmnist_download import download
from headstart_healthcare.data.patients import NONE, Patients
from headstart_healthcare.heads.findings import Findings
from headstart_healthcare.privacy.pseudonyms import Pseudonyms
from headstart_healthcare.reading.medmnist_file import PARTS, MedFile, read_medmnist
from headstart_healthcare.reading.pixel_array import PixelArray
from headstart_healthcare.reading.volume import VolumeArray
from headstart_vision.pictures import as_image

_SMALL = 28
_LICENCE = "CC-BY-4.0"  # of every set but DermaMNIST, which is not among these: medmnist.com


class MedMNIST(ClinicalData):
    """One of MedMNIST's sets of pictures, with its own division into training, validation and test.

    Args:
        set: pneumoniamnist, breastmnist, retinamnist or chestmnist.
        group: Has to be "none": the files tell no patients, so whether one stands in two splits cannot be checked.
        path: The .npz file. None = in ~/.medmnist, downloaded there where `download` allows it.
        size: Pixels of a side: 28, 64, 128 or 224.
        download: Fetch the official file where it is absent; its checksum is verified where it is known (28 pixels).
        rows: Use only that many, each class with its share. None = all.
        seed: Chooses those of `rows`.
        augment: What training views are: "geometry", "intensity", "both"; never mirrored.
    """

    modality = "image"
    is_volume: ClassVar[bool] = False
    sizes: ClassVar[tuple[int, ...]] = (28, 64, 128, 224)

    def __init__(
        self,
        *,
        set: str,
        group: Literal["none"],
        path: Place | None = None,
        size: int = 28,
        download: bool = False,
        rows: int | None = None,
        seed: int = 0,
        augment: Literal["none", "geometry", "intensity", "both"] = "none",
    ) -> None:
        if group != NONE:
            raise UsageError(f"data.group: '{group}': MedMNIST's files tell no patients; write group: none")
        known = [name for name, one in SETS.items() if one.is_volume == self.is_volume]
        if set not in known:
            raise UsageError(f"data.set: '{set}' is none of {', '.join(known)}")
        if size not in self.sizes:
            raise UsageError(f"data.size: {size} is none of {', '.join(map(str, self.sizes))}")
        self.set, self.place, self.size, self.may_download, self.view = set, path, size, download, augment
        self.choices = Choices(Patients(), positive=SETS[set].positive, max_bad=0.01, rows=rows, seed=seed)

    @classmethod
    def supplies(cls, options: Mapping[str, Any]) -> list[Supply]:
        """The file, by its path or by its name."""
        if options["path"] is not None:
            return [at_place("data", options["path"])]
        known, size = options["set"], options["size"]
        if known not in SETS:
            return []  # refused when the part is made
        return [in_medmnist(_file_name(known, size), licence=_LICENCE, bring=lambda: _fetch(known, size))]

    @property
    def about(self) -> MedSet:
        """What is known of the set."""
        return SETS[self.set]

    @property
    def target(self) -> Target:
        """All classes of the set in the order of their numbers, or its findings."""
        return Target("labels" if self.about.is_multilabel else "class", self.about.labels, self.about.positive)

    def listed(self, names: Pseudonyms) -> tuple[list[Case], dict[str, Any]]:
        """Every image of the three parts."""
        found = read_medmnist(self._file(), is_volume=self.is_volume)
        cases = [case for part in PARTS for case in self._part(found, part)]
        return cases, {"notes": [self._origin(found)]}

    def opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        """The test part of another file of the same set."""
        return self._part(read_medmnist(path, is_volume=self.is_volume), "test")

    def read(self, source: Any) -> Any:
        """A picture in any form, or a volume as a float array [D, H, W] in [0, 1] or uint8 as the files hold it."""
        if not self.is_volume:
            return PixelArray(np.asarray(as_image(source)))
        array = np.asarray(source)
        if array.ndim != 3 or array.dtype.kind not in "uf":
            raise DataError(f"a volume is an array [D, H, W], not {array.dtype} {list(array.shape)}")
        return VolumeArray(array) if array.dtype == np.uint8 else array

    @property
    def augments(self) -> bool:
        """Whether the option `augment` asks for anything."""
        return self.view != "none"

    def augment(self, input: Any, rng: np.random.Generator) -> Any:
        """A training view by the option `augment`."""
        if self.view == "none":
            return input
        from headstart_healthcare.data.views import picture_view, volume_view

        return volume_view(input, rng, how=self.view) if self.is_volume else PixelArray(picture_view(input, rng, how=self.view))

    def pinned(self) -> Mapping[str, Any]:
        """Nothing was guessed."""
        return {}

    def _part(self, found: MedFile, part: str) -> list[Case]:
        kind = VolumeArray if self.is_volume else PixelArray
        pairs = enumerate(zip(found.images[part], found.labels[part], strict=True))
        ids = ((f"{part}-{i:06d}", image, label) for i, (image, label) in pairs)
        return [Case(id, kind(image, id), self._target_of(label, id), split=part) for id, image, label in ids]

    def _target_of(self, label: np.ndarray, id: str) -> Any:
        names = self.about.labels
        if self.about.is_multilabel:
            if len(label) != len(names) or not np.isin(label, (0, 1)).all():
                raise DataError(f"{id}: its labels are {label.tolist()}, not {len(names)} of 0 and 1")
            return Findings(name for name, value in zip(names, label, strict=True) if value)
        if len(label) != 1 or not 0 <= int(label[0]) < len(names):
            raise DataError(f"{id}: its label is {label.tolist()}; {self.set} has the classes 0 to {len(names) - 1}")
        return names[int(label[0])]

    def _origin(self, found: MedFile) -> str:
        counts = tuple(len(found.labels[part]) for part in PARTS)
        if self.size == _SMALL and found.md5 == self.about.md5:
            return f"The official {self.set}, MD5 {found.md5}; it tells no patients, so leaks of patients cannot be seen."
        why = (
            "its counts are the official ones" if counts == self.about.counts else f"it holds {counts}, not {self.about.counts}"
        )
        return f"Not known to be an official {self.set} (MD5 {found.md5}; {why}): do not compare with published figures."

    def _file(self) -> Path:
        if self.place is not None:
            return locate(self.place)
        name = _file_name(self.set, self.size)
        path = medmnist_home() / name
        if path.is_file():
            return path
        if not self.may_download:
            raise MissingError(
                f"{path}: there is no such file; get it from {SOURCE}/{name}, or write download: true where there is a network"
            )
        return _fetch(self.set, self.size)


def _file_name(set: str, size: int) -> str:
    return f"{set}.npz" if size == _SMALL else f"{set}_{size}.npz"


def _fetch(set: str, size: int) -> Path:
    name = _file_name(set, size)
    return download(f"{SOURCE}/{name}", medmnist_home() / name, SETS[set].md5 if size == _SMALL else None)


class MedMNIST3D(MedMNIST):
    """One of MedMNIST's sets of volumes, with its own division into training, validation and test.

    Args:
        set: organmnist3d, nodulemnist3d or adrenalmnist3d.
        size: Voxels of a side: 28 or 64.
    """

    modality = "volume"
    is_volume: ClassVar[bool] = True
    sizes: ClassVar[tuple[int, ...]] = (28, 64)
