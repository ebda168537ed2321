"""The data part `healthcare/volumes`: NIfTI files and DICOM series of one orientation, in folders, tables or BIDS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from headstart.errors import DataError, UsageError
from headstart.place import Place, locate
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.clinical_data import Choices, ClinicalData
from headstart_healthcare.data.dicom import examined
from headstart_healthcare.data.folder_cases import cases_below, files_in
from headstart_healthcare.data.labels import make_schema
from headstart_healthcare.data.patients import patients_of
from headstart_healthcare.data.table_cases import RowPlan, cases_in, is_table
from headstart_healthcare.privacy.pseudonyms import Pseudonyms, pseudonyms
from headstart_healthcare.privacy.tags import check_tags, facts_of_header
from headstart_healthcare.reading.dicom_files import Header, read_dicom
from headstart_healthcare.reading.dicom_series import series_in
from headstart_healthcare.reading.errors import ReadingError, reading
from headstart_healthcare.reading.grid import check_codes, check_spacing
from headstart_healthcare.reading.limits import Limits
from headstart_healthcare.reading.nifti import SUFFIXES as NIFTI
from headstart_healthcare.reading.scan import How
from headstart_healthcare.reading.volume import Volume
from headstart_healthcare.reading.windows import check_window
from headstart_vision.tree import check_splits

PARTICIPANTS, PARTICIPANT = "participants.tsv", "participant_id"  # BIDS 1.10, "Participants file"


class Volumes(ClinicalData):
    """Volumes of patients: NIfTI files, DICOM series and multi-frame objects, turned to one orientation.

    Below class folders (CLASS/..., or train/CLASS/...) every NIfTI file is a volume, and all DICOM files of one
    SeriesInstanceUID are one. A row of a table names a file, or the folder of one series. A folder with participants.tsv is
    read as BIDS. Every file is read once before anything trains; what cannot be read right is set aside with a reason.

    Args:
        path: Folder of class folders, BIDS folder, or table.
        group: Who the patient is: a column of the table (participant_id in BIDS), "PatientID" = the DICOM tag, or a regular
            expression whose first group finds them in the path; "StudyInstanceUID" = each DICOM examination stands for a
            patient; "none" where nobody knows.
        image: In BIDS, the suffix of the volumes: T1w, T2w, bold ...
        root: Folder below which the table's paths are. None = the table's own.
        volume: Column of the paths. None = told by its name.
        label: Column of the class. None = told by its name.
        labels: Columns of findings instead, each 1, 0, -1 (uncertain) or empty (not known).
        uncertain: What -1 counts as: "ignore", "zeros" or "ones", for all findings or for each by its name; or what training
            aims at while no score counts it: "smooth" = a probability between 0.55 and 0.85, "smooth(0, 0.3)" = between those,
            "multiclass" = a class of its own (needs the head healthcare/multilabel with uncertain: class), "teacher" = what
            an earlier run said.
        teacher: For "teacher": the table that `headstart predict RUN TABLE -o` wrote.
        names: New names of classes.
        classes: The only classes there may be, by their new names, in their order.
        positive: Of two classes the one that is looked for; by its new name.
        site: Column of the hospital or scanner site.
        age: Column of ages in years; a subgroup for each band.
        subgroups: Further columns to measure by.
        tags: DICOM tags to measure by, as in `healthcare/dicom`.
        split: Column that says train, val or test.
        splits: Which folder is which split, where its name does not say so.
        test_site: The site that is tested on; all others train and validate, whatever split the source gives.
        orientation: Which way the axes grow: "RAS" = right, front (anterior), top (superior); "stored" = as they are.
        spacing: Millimetres along the three axes that every volume is brought to. None = as they are.
        time: Which time point of 4-D NIfTI files, from 0. None = they are set aside.
        window: "auto" (Hounsfield units for CT, percentiles else), "percentile", "full", "lung", "soft-tissue",
            "mediastinum", "liver", "bone", "brain", or CENTRE/WIDTH. A NIfTI file does not say that it is CT: name a window.
        augment: What training views are: "geometry", "intensity", "both"; never mirrored.
        rows: Use only that many volumes, each class with its share. None = all.
        seed: Chooses the volumes of `rows`.
        max_voxels: Volumes with more are set aside, judged by their header.
        max_bad: Share of the volumes that may be unreadable. 0 = none may.
    """

    modality = "volume"

    def __init__(
        self,
        *,
        path: Place,
        group: str,
        image: str = "T1w",
        root: Place | None = None,
        volume: str | None = None,
        label: str | None = None,
        labels: list[str] | None = None,
        uncertain: str | dict[str, str] | None = None,
        teacher: Place | None = None,
        names: dict[str, str] | None = None,
        classes: list[str] | None = None,
        positive: str | None = None,
        site: str | None = None,
        age: str | None = None,
        subgroups: list[str] | None = None,
        tags: list[str] | None = None,
        split: str | None = None,
        splits: dict[str, str] | None = None,
        test_site: str | None = None,
        orientation: str = "RAS",
        spacing: list[float] | None = None,
        time: int | None = None,
        window: str = "auto",
        augment: Literal["none", "geometry", "intensity", "both"] = "none",
        rows: int | None = None,
        seed: int = 0,
        max_voxels: int = 500_000_000,
        max_bad: float = 0.01,
    ) -> None:
        schema = make_schema(label=label, labels=labels, uncertain=uncertain, names=names, classes=classes)
        has_table = is_table(Path(path)) or group == PARTICIPANT
        patients = patients_of(group, has_table=has_table, has_tags=True)
        self.place, self.root, self.splits, self.image = path, root, check_splits(splits or {}), image
        self.choices = Choices(patients, schema, positive, max_bad, rows, seed, test_site)
        self.plan = RowPlan(volume, site, age, tuple(subgroups or ()), split, teacher, schema, patients)
        self.how = How(check_window(window), "refuse", Limits(voxels=max_voxels))
        self.codes, self.spacing, self.time = check_codes(orientation), check_spacing(spacing), time
        self.tags, self.view = check_tags(tags), augment

    def listed(self, names: Pseudonyms) -> tuple[list[Case], dict[str, Any]]:
        """Every volume of the table, the BIDS folder or the class folders."""
        place = locate(self.place)
        spacing = "as it is" if self.spacing is None else " x ".join(f"{one:g}" for one in self.spacing) + " mm"
        cases, without = self._cases(place, names, training=True)
        notes = [f"Volumes are turned to {self.codes}; spacing {spacing}."]
        if without:
            notes.append(f"{without:,} DICOM objects hold no picture (reports, directories); they are not used.")
        return cases, {"notes": notes}

    def opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        """A table, a BIDS folder, class folders, a folder of one series, or one file."""
        is_leaf = path.is_dir() and not (path / PARTICIPANTS).is_file() and not any(child.is_dir() for child in path.iterdir())
        if (path.is_dir() and not is_leaf) or is_table(path):
            return self._cases(path, names, training=False)[0]
        return [self._told(Case(path.name, self._making(names)(path, path.name)), names)]

    def read(self, source: Any) -> Any:
        """A file, or the folder of a DICOM series, as a volume that is read when it is needed; a float array [D, H, W] in
        [0, 1] as it is.

        Raises:
            DataError: It is no volume.
        """
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            source = self._making(pseudonyms())(path, path.name)
        if isinstance(source, Volume):
            source.read()
            return source
        if isinstance(source, np.ndarray) and source.ndim in (3, 4) and source.dtype.kind == "f":
            return source
        raise DataError(
            f"an input is a file, a folder of one series, or a float array [D, H, W], not a {type(source).__name__}"
        )

    @property
    def augments(self) -> bool:
        """Whether the option `augment` asks for anything."""
        return self.view != "none"

    def augment(self, input: Any, rng: np.random.Generator) -> Any:
        """A training view by the option `augment`."""
        if self.view == "none":
            return input
        from headstart_healthcare.data.views import volume_view

        return volume_view(input, rng, how=self.view)

    def _cases(self, place: Path, names: Pseudonyms, *, training: bool) -> tuple[list[Case], int]:
        """The cases, and how many DICOM objects hold no picture."""
        make, without = self._making(names), 0
        if (place / PARTICIPANTS).is_file():
            if "teacher" in self.choices.schema.uncertain.values():
                raise UsageError(
                    "data.uncertain: a teacher is asked by file, and a row of participants.tsv names none; write a table"
                )
            plan = replace(self.plan, file=PARTICIPANT)
            cases = cases_in(
                place / PARTICIPANTS, place, plan, make, partial(_of_participant, place, self.image), training=training
            )
        elif is_table(place):
            root = locate(self.root) if self.root else place.parent
            cases = cases_in(place, root, self.plan, make, training=training)
        else:
            found = cases_below(place, self.splits, self.choices.schema, self.choices.patients, _is_wanted, make)
            cases = self._joined(found)
            without = len(found) - sum(len(case.input.paths) for case in cases)
        return [self._told(case, names) for case in cases], without

    def _joined(self, cases: Sequence[Case]) -> list[Case]:
        """DICOM files that stand in one folder joined by series; objects without a picture, such as reports, belong to none."""
        folders: dict[Path, list[Case]] = {}
        for case in cases:
            if _is_dicom(path := Path(case.input.paths[0])):
                folders.setdefault(path.parent, []).append(case)
        firsts = {}
        for beside in folders.values():
            by_path = {Path(case.input.paths[0]): case for case in beside}
            for paths in series_in(list(by_path), self.how.limits).values():
                first = by_path[paths[0]]
                firsts[first.key] = replace(first, input=replace(first.input, paths=tuple(map(str, paths))))
        kept = (firsts.get(case.key) if _is_dicom(Path(case.input.paths[0])) else case for case in cases)
        return [case for case in kept if case is not None]

    def _told(self, case: Case, names: Pseudonyms) -> Case:
        if case.fault or case.input.paths[0].lower().endswith(NIFTI):
            return case
        try:
            path = Path(case.input.paths[0])
            header: Header = reading("", lambda: read_dicom(path, self.how.limits, pixels=False))
        except ReadingError as error:
            return replace(case, fault=error.reason)
        subgroups = {**facts_of_header(header, self.tags, names), **case.subgroups}
        return replace(examined(case, header, self.choices.patients), subgroups=subgroups)

    def _making(self, names: Pseudonyms) -> Any:
        def make(path: Path, key: str) -> Volume:
            files = files_in(path, _is_dicom) if path.is_dir() else [path]
            paths = tuple(str(file) for file in files) or (str(path),)
            return Volume(paths, names.of("scan", key), self.how, self.codes, self.spacing, self.time)

        return make


def _is_wanted(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI) or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    return path.suffix.lower() in (".dcm", ".dicom", ".ima") or (not path.suffix and path.name != "DICOMDIR")


def _of_participant(root: Path, image: str, participant: str) -> list[str]:
    """Paths of a participant's volumes; none where the name leads out of the folder."""
    folder = root / participant
    if not folder.resolve().is_relative_to(root.resolve()):
        return []
    return sorted(path.relative_to(root).as_posix() for path in folder.rglob(f"*_{image}.nii*"))
