"""The MedMNIST v2 sets that recipes use: task, classes, which class is looked for, sizes and checksums of the official files.

Source: Yang et al. 2023, Scientific Data 10, 41 (doi 10.1038/s41597-022-01721-8), and `info.py` of the package medmnist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "https://zenodo.org/records/10519652/files"
CHEST = (
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
    "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
)  # fmt: skip
ORGANS = (
    "liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart", "lung-right", "lung-left",
    "spleen", "pancreas",
)  # fmt: skip


@dataclass(frozen=True)
class MedSet:
    """One set.

    Attributes:
        labels: By the number that stands in the file; of a multi-label set, by column.
        counts: Of train, val and test in the official file.
        md5: Of the official file of 28 pixels or voxels.
        positive: What is looked for, which is not always the class with the number 1.
        is_volume: Three axes.
        is_multilabel: A column for each finding.
    """

    labels: tuple[str, ...]
    counts: tuple[int, int, int]
    md5: str
    positive: str | None = None
    is_volume: bool = False
    is_multilabel: bool = False


SETS: Mapping[str, MedSet] = {
    "pneumoniamnist": MedSet(
        ("normal", "pneumonia"), (4708, 524, 624), "28209eda62fecd6e6a2d98b1501bb15f", positive="pneumonia"
    ),
    "breastmnist": MedSet(  # 0 is malignant: taking 1 for the disease would turn sensitivity and specificity round
        ("malignant", "normal-or-benign"), (546, 78, 156), "750601b1f35ba3300ea97c75c52ff8f6", positive="malignant"
    ),
    "retinamnist": MedSet(("0", "1", "2", "3", "4"), (1080, 120, 400), "bd4c0672f1bba3e3a89f0e4e876791e4"),
    "chestmnist": MedSet(CHEST, (78468, 11219, 22433), "02c8a6516a18b556561a56cbdd36c4a8", is_multilabel=True),
    "organmnist3d": MedSet(ORGANS, (971, 161, 610), "a0c5a1ff56af4f155c46d46fbb45a2fe", is_volume=True),
    "nodulemnist3d": MedSet(
        ("benign", "malignant"), (1158, 165, 310), "8755a7e9e05a4d9ce80a24c3e7a256f3", positive="malignant", is_volume=True
    ),
    "adrenalmnist3d": MedSet(
        ("normal", "hyperplasia"), (1188, 98, 298), "bbd3c5a5576322bc4cdfea780653b1ce", positive="hyperplasia", is_volume=True
    ),
}
