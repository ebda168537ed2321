"""The data part `healthcare/images`: X-rays, slices and photographs of patients, PNG to DICOM, in class folders or a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from headstart.place import Place, locate
from headstart_healthcare.data.case import Case
from headstart_healthcare.data.clinical_data import Choices, ClinicalData
from headstart_healthcare.data.folder_cases import cases_below, files_in
from headstart_healthcare.data.labels import make_schema
from headstart_healthcare.data.patients import patients_of
from headstart_healthcare.data.table_cases import RowPlan, cases_in, is_table
from headstart_healthcare.privacy.pseudonyms import Pseudonyms, pseudonyms
from headstart_healthcare.reading.light import in_light
from headstart_healthcare.reading.limits import Limits
from headstart_healthcare.reading.pixel_array import PixelArray
from headstart_healthcare.reading.scan import How, Scan
from headstart_healthcare.reading.windows import check_window
from headstart_vision.pictures import SUFFIXES as PICTURES
from headstart_vision.pictures import as_image
from headstart_vision.tree import check_splits

DICOM = (".dcm", ".dicom", ".ima")


class Images(ClinicalData):
    """Pictures of patients in class folders (CLASS/file, or train/CLASS/file beside val/ and test/), or named in a table.

    Every file is read once before anything trains; what cannot be read right is set aside with a reason. Names of files and
    patients leave this part only as pseudonyms. Every run goes through the clinical evaluation.

    Args:
        path: The folder of class folders, or a table (csv, tsv, jsonl, parquet) with one row for each picture.
        group: Who the patient is: a column of the table, or a regular expression whose first group in parentheses finds
            them in the path below the folder, such as "(person\\d+|IM-\\d+)"; "none" where nobody knows.
        root: Folder below which the table's paths are. None = the table's own.
        picture: Column of the paths. None = told by its name.
        label: Column of the class. None = told by its name.
        labels: Columns of findings instead, each 1, 0, -1 (uncertain) or empty (not known).
        uncertain: What -1 counts as: "ignore", "zeros" or "ones", for all findings or for each by its name; or what training
            aims at while no score counts it: "smooth" = a probability between 0.55 and 0.85, "smooth(0, 0.3)" = between those,
            "multiclass" = a class of its own (needs the head healthcare/multilabel with uncertain: class), "teacher" = what
            an earlier run said.
        teacher: For "teacher": the table that `headstart predict RUN TABLE -o` wrote.
        names: New names of classes: {"0": "normal"}.
        classes: The only classes there may be, by their new names, in their order.
        positive: Of two classes the one that is looked for; by its new name.
        site: Column of the hospital or scanner site.
        age: Column of ages in years; a subgroup for each band.
        subgroups: Further columns to measure by: sex, scanner, view.
        split: Column that says train, val or test.
        splits: Which folder is which split, where its name does not say so.
        test_site: The site that is tested on; all others train and validate, whatever split the source gives.
        window: Of DICOM pictures: "auto" (Hounsfield units for CT, percentiles for MR, else the file's), "file", "bits",
            "percentile", "full", "lung", "soft-tissue", "mediastinum", "liver", "bone", "brain", or CENTRE/WIDTH.
        colour: Of DICOM pictures: "refuse" sets them aside, "grey" reads their brightness.
        fit: How a picture fills the network's square: "squeeze" = all of it, its sides scaled apart; "pad" = all of it in its
            proportions, black beside it; "centre" = its middle, as photographs are shown: that cuts anatomy off.
        light: "own" brings each picture to the mean and deviation of photographs, so that its exposure tells nothing; "stored"
            leaves it as the file has it.
        augment: What training views are: "geometry" = turned up to 10 degrees, moved and scaled up to a tenth;
            "intensity" = brightness, contrast and gamma; "both". Never mirrored: the heart is on the left.
        rows: Use only that many pictures, each class with its share. None = all.
        seed: Chooses the pictures of `rows`.
        max_pixels: Pictures with more are set aside, judged by their header.
        max_bad: Share of the files that may be unreadable. 0 = none may.
    """

    modality = "image"
    has_tags: ClassVar[bool] = False

    def __init__(
        self,
        *,
        path: Place,
        group: str,
        root: Place | None = None,
        picture: str | None = None,
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
        split: str | None = None,
        splits: dict[str, str] | None = None,
        test_site: str | None = None,
        window: str = "auto",
        colour: Literal["refuse", "grey"] = "refuse",
        fit: Literal["squeeze", "pad", "centre"] = "squeeze",
        light: Literal["stored", "own"] = "stored",
        augment: Literal["none", "geometry", "intensity", "both"] = "none",
        rows: int | None = None,
        seed: int = 0,
        max_pixels: int = 40_000_000,
        max_bad: float = 0.01,
    ) -> None:
        schema = make_schema(label=label, labels=labels, uncertain=uncertain, names=names, classes=classes)
        patients = patients_of(group, has_table=is_table(Path(path)), has_tags=self.has_tags)
        self.place, self.root, self.splits = path, root, check_splits(splits or {})
        self.choices = Choices(patients, schema, positive, max_bad, rows, seed, test_site)
        self.plan = RowPlan(picture, site, age, tuple(subgroups or ()), split, teacher, schema, patients)
        self.how = How(check_window(window), colour, Limits(pixels=max_pixels), fit, light)
        self.view = augment

    def listed(self, names: Pseudonyms) -> tuple[list[Case], dict[str, Any]]:
        """Every row of the table, or every file of the class folders."""
        place = locate(self.place)
        if is_table(place):
            root = locate(self.root) if self.root else place.parent
            cases = cases_in(place, root, self.plan, self._making(names))
            return self.told_more(cases, names), {"notes": _beside(root, cases)}
        return self.told_more(self._below(place, names), names), {}

    def told_more(self, cases: list[Case], names: Pseudonyms) -> list[Case]:
        """The cases with what the files' own headers tell; here nothing."""
        return cases

    def opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        """A table, class folders, a folder without classes, or one picture."""
        return self.told_more(self._opened(path, names), names)

    def _opened(self, path: Path, names: Pseudonyms) -> list[Case]:
        make = self._making(names)
        if is_table(path):
            return cases_in(path, locate(self.root) if self.root else path.parent, self.plan, make, training=False)
        if not path.is_dir():
            return [Case(path.name, make(path, path.name))]
        if any(child.is_dir() for child in path.iterdir()):
            return self._below(path, names)
        return [Case(file.name, make(file, file.name)) for file in files_in(path, self.is_wanted)]

    def read(self, source: Any) -> Any:
        """A path as a picture that is decoded when it is needed; the content of a file, a PIL image or an array at once.

        Raises:
            DataError: It is no picture.
        """
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            source = self._making(pseudonyms())(path, path.name)
        if isinstance(source, Scan):
            source.see()
            return source
        return PixelArray(in_light(np.asarray(as_image(source)), self.how.light), fit=self.how.fit)

    @property
    def augments(self) -> bool:
        """Whether the option `augment` asks for anything."""
        return self.view != "none"

    def augment(self, input: Any, rng: np.random.Generator) -> Any:
        """A training view by the option `augment`."""
        if self.view == "none":
            return input
        from headstart_healthcare.data.views import picture_view

        return PixelArray(picture_view(input, rng, how=self.view), fit=self.how.fit)

    def is_wanted(self, path: Path) -> bool:
        """Whether a file of a folder is read, told by its name alone."""
        return is_picture(path)

    def _below(self, folder: Path, names: Pseudonyms) -> list[Case]:
        choices = self.choices
        return cases_below(folder, self.splits, choices.schema, choices.patients, self.is_wanted, self._making(names))

    def _making(self, names: Pseudonyms) -> Any:
        return lambda path, key: Scan(str(path), names.of("scan", key), self.how)


def is_picture(path: Path) -> bool:
    """Told by its suffix; DICOM files often have none."""
    return path.suffix.lower() in (*PICTURES, *DICOM) or (not path.suffix and path.name != "DICOMDIR")


def _beside(root: Path, cases: list[Case]) -> list[str]:
    """How many pictures below the root no row names."""
    named = {os.path.normpath(case.key) for case in cases}
    extra = sum(
        str(path.relative_to(root)) not in named for path in files_in(root, lambda path: path.suffix.lower() in PICTURES)
    )
    return [f"{extra:,} pictures beside the table stand in none of its rows; they are not used."] if extra else []
