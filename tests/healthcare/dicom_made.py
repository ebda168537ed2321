"""DICOM files made on the fly: pictures and series with every element that a test is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CR, CT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.2"


def made(pixels: np.ndarray, **elements: Any) -> Dataset:
    """A data set of one grey picture, 12 bits declared; `elements` replace or add; None takes an element out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CR, generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CR, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "CR", "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape[-2:]
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.SeriesInstanceUID, data.StudyInstanceUID = "1.2.3", generate_uid()
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.PixelData = pixels.astype("<i2" if pixels.dtype.kind == "i" else "<u2").tobytes()
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    return data


def write(path: Path, data: Dataset) -> Path:
    """Write it; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def picture(rows: int = 8, columns: int = 6, seed: int = 0) -> np.ndarray:
    """uint16 [H, W], 12 bits, not symmetric."""
    return np.random.default_rng(seed).integers(0, 4096, (rows, columns)).astype(np.uint16)


def series(
    folder: Path, voxels: np.ndarray, step: float = 2.5, uid: str = "1.2.3", numbers: list[int] | None = None, **elements: Any
) -> list[Path]:
    """One file per slice of int16 voxels [D, H, W], axial CT, bottom to top; `numbers` are written as InstanceNumber."""
    paths = []
    for at, values in enumerate(voxels):
        given = {
            "Modality": "CT", "SOPClassUID": CT, "SeriesInstanceUID": uid, "BitsStored": 16, "HighBit": 15,
            "ImagePositionPatient": [-30.0, -40.0, -100.0 + step * at], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.75], "RescaleSlope": 1, "RescaleIntercept": -1024,
            "InstanceNumber": (numbers or list(range(1, len(voxels) + 1)))[at],
        }  # fmt: skip
        paths.append(write(folder / f"slice{at:03d}.dcm", made(values, **{**given, **elements})))
    return paths


def changed(path: Path, **elements: Any) -> Path:
    """The same file with other elements; None takes one out."""
    data = pydicom.dcmread(path)
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)
    return path


def voxels(depth: int = 6, height: int = 5, width: int = 4, seed: int = 0) -> np.ndarray:
    """int16 [D, H, W] as stored: Hounsfield units + 1024."""
    return np.random.default_rng(seed).integers(0, 2000, (depth, height, width)).astype(np.int16)
