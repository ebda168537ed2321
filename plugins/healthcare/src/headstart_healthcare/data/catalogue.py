"""What data parts this plugin offers: name, class and one line; plain data, so that listing imports nothing heavy."""

from __future__ import annotations

DATA = (
    ("images", "images:Images", "pictures of patients, PNG to DICOM, in class folders or a table; clinical evaluation"),
    ("dicom", "dicom:Dicom", "DICOM pictures with patients and subgroups by their tags; clinical evaluation"),
    ("volumes", "volumes:Volumes", "NIfTI files, DICOM series and BIDS folders as volumes; clinical evaluation"),
    ("planes", "planes:Planes", "slices of volumes told apart by their plane, a derived label"),
    ("medmnist", "medmnist:MedMNIST", "MedMNIST v2 pictures, by file or name; Yang et al. 2023"),
    ("medmnist-3d", "medmnist:MedMNIST3D", "MedMNIST v2 volumes, by file or name; Yang et al. 2023"),
)
