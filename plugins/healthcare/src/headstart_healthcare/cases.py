"""Cases: what the conformance kit runs the plugin's parts with, `headstart plugins test healthcare`. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.testing import BackboneCase, Case, DataCase, HeadCase
from headstart_healthcare.backbones.catalogue import BACKBONES, PICTURES, VOLUMES

SLOW = "one of many alike; building and copying it takes seconds"
QUICK = ("monai-resnet10-3d",)
FLAT = {"weights": "none", "channels": 1, "size": 64}
SIZES = {"radimagenet-inception-v3": 96, "rad-dino": 56}  # the smallest that the one takes; a multiple of the other's patches
WITHIN_A_BAG = {
    "replay_is_exact_at_every_boundary": "Inside, a bag's instances are one flat batch, as many as each volume has, so no row "
    "of a boundary belongs to one example; the core says so and computes the network anew, the ports behind it are stored."
}


def cases() -> list[Case]:
    """Every network with random weights on small inputs, and every reader on files made here."""
    return [
        *(_network(name, target) for name, target, *_ in BACKBONES[3:]),
        BackboneCase(use="healthcare/inflated", options={"options": {"weights": "none"}, "size": 32}, slow=SLOW),
        BackboneCase(
            use="healthcare/slices",
            options={"main": "healthcare/monai-resnet10", "options": FLAT, "slices": 3},
            known=WITHIN_A_BAG,
            slow=SLOW,
        ),
        BackboneCase(
            use="healthcare/patches",
            options={"main": "healthcare/monai-resnet10-3d", "options": {"weights": "none", "width": 0.25}, "size": 16},
            known=WITHIN_A_BAG,
            slow=SLOW,
        ),
        HeadCase(use="healthcare/ordinal"),
        HeadCase(use="healthcare/multilabel"),
        HeadCase(use="healthcare/bag"),
        DataCase(use="healthcare/volumes", options=volumes, source=one_volume),
        DataCase(use="healthcare/images", options=images, source=one_picture),
        DataCase(use="healthcare/dicom", options=dicom, source=one_dicom),
        DataCase(use="healthcare/planes", options=planes, source=lambda _folder: one_slice()),
        DataCase(use="healthcare/medmnist", options=lambda folder: medmnist(folder, "pneumoniamnist", (28, 28))),
        DataCase(use="healthcare/medmnist-3d", options=lambda folder: medmnist(folder, "nodulemnist3d", (28, 28, 28))),
    ]


def _network(name: str, target: str) -> BackboneCase:
    if target.startswith(VOLUMES):
        width = {"width": 0.25} if "resnet" in name else {}
        options: dict[str, Any] = {"weights": "none", "size": 32, **width}
    else:
        options = {
            "weights": "none",
            "size": SIZES.get(name, 64),
            **({"channels": 1} if target.startswith(PICTURES) else {}),
        }
    return BackboneCase(use=f"healthcare/{name}", options=options, slow="" if name in QUICK else SLOW)


def volumes(folder: Path) -> dict[str, Any]:
    """Small NIfTI files in two class folders."""
    for at in range(4):
        _volume(folder / f"volumes/{('well', 'sick')[at % 2]}/sub-{at}_T1w.nii.gz", at)
    return {"path": str(folder / "volumes"), "group": "none"}


def one_volume(folder: Path) -> str:
    """A new volume."""
    return str(_volume(folder / "new.nii.gz", 99))


def images(folder: Path) -> dict[str, Any]:
    """Grey pictures in two class folders."""
    for at in range(8):
        _picture(folder / f"pictures/{('well', 'sick')[at % 2]}/{at}.png", at)
    return {"path": str(folder / "pictures"), "group": "none"}


def one_picture(folder: Path) -> str:
    """A new picture."""
    return str(_picture(folder / "new.png", 99))


def one_slice() -> Any:
    """A slice in memory, as those that are cut out of volumes."""
    return np.random.default_rng(99).integers(0, 256, (32, 32)).astype(np.uint8)


def dicom(folder: Path) -> dict[str, Any]:
    """Small DICOM pictures of four patients in two class folders."""
    for at in range(8):
        _dicom(folder / f"dicom/{('well', 'sick')[at % 2]}/{at}.dcm", at)
    return {"path": str(folder / "dicom"), "group": "PatientID"}


def one_dicom(folder: Path) -> str:
    """A new DICOM picture."""
    return str(_dicom(folder / "new.dcm", 99))


def planes(folder: Path) -> dict[str, Any]:
    """Three volumes, one for each split."""
    files = {split: [str(_volume(folder / f"{split}.nii.gz", at))] for at, split in enumerate(("train", "val", "test"))}
    return {**files, "group": "none", "slices": 2}


def medmnist(folder: Path, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """A file in the layout of MedMNIST v2."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = generator.integers(0, 256, (6, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.array([[0], [1]] * 3, dtype=np.uint8)
    np.savez_compressed(folder / "file.npz", **arrays)
    return {"set": name, "group": "none", "path": str(folder / "file.npz")}


def _dicom(path: Path, seed: int) -> Path:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{seed + 1}")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = f"1.2.{seed // 2 + 1}", "1.2.3", f"P{seed // 2}"
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel, data.PixelRepresentation = "CR", "MONOCHROME2", 1, 0
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 24, 20, 16, 12, 11
    data.PixelData = np.random.default_rng(seed).integers(0, 4096, (24, 20), dtype=np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def _volume(path: Path, seed: int) -> Path:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).random((8, 7, 6)).astype(np.float32)
    make: Any = nibabel.Nifti1Image  # nibabel has no types
    make(values, np.diag([2.0, 3.0, 4.0, 1.0])).to_filename(path)
    return path


def _picture(path: Path, seed: int) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 32), dtype=np.uint8)).save(path)
    return path
