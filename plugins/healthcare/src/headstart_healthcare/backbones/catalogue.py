"""Catalogue: the backbones that the plugin offers, one row each; importing it imports no torch."""

from __future__ import annotations

PICTURES, VOLUMES = "monai_pictures", "monai_volumes"
RESEARCH = "MSRLA (research only)"

BACKBONES: tuple[tuple[str, str, str, float, str], ...] = (
    # name, module:class, licence and megabytes of the weights, what it is
    ("inflated", "inflated:Inflated", "that of the network", 0, "a network on pictures inflated; Carreira & Zisserman 2017"),
    ("slices", "bags:Slices", "that of the network", 0, "a volume as a bag of slices, each seen by a network on pictures"),
    ("patches", "bags:Patches", "that of the network", 0, "a volume as a bag of patches, each seen by a network on volumes"),
    ("monai-resnet10", f"{PICTURES}:MonaiResNet10", "", 0, "MONAI's ResNet-10 on pictures, from scratch"),
    ("monai-resnet18", f"{PICTURES}:MonaiResNet18", "BSD-3-Clause", 44.7, "MONAI's ResNet-18 on pictures; He et al. 2015"),
    ("monai-resnet34", f"{PICTURES}:MonaiResNet34", "BSD-3-Clause", 83.3, "MONAI's ResNet-34 on pictures; He et al. 2015"),
    ("monai-resnet50", f"{PICTURES}:MonaiResNet50", "BSD-3-Clause", 97.8, "MONAI's ResNet-50 on pictures; He et al. 2015"),
    ("monai-densenet121", f"{PICTURES}:MonaiDenseNet121", "BSD-3-Clause", 30.8, "MONAI's DenseNet-121 on pictures; Huang 2016"),
    ("monai-resnet10-3d", f"{VOLUMES}:MonaiResNet10Volume", "", 0, "MONAI's ResNet-10 on volumes, from scratch"),
    ("monai-resnet18-3d", f"{VOLUMES}:MonaiResNet18Volume", "", 0, "MONAI's ResNet-18 on volumes, from scratch"),
    ("monai-resnet34-3d", f"{VOLUMES}:MonaiResNet34Volume", "", 0, "MONAI's ResNet-34 on volumes, from scratch"),
    ("monai-resnet50-3d", f"{VOLUMES}:MonaiResNet50Volume", "", 0, "MONAI's ResNet-50 on volumes, from scratch"),
    ("monai-densenet121-3d", f"{VOLUMES}:MonaiDenseNet121Volume", "", 0, "MONAI's DenseNet-121 on volumes, from scratch"),
    ("medicalnet-10", f"{VOLUMES}:MedicalNet10", "MIT", 57, "MedicalNet's ResNet-10: CT and MR volumes; Chen et al. 2019"),
    ("medicalnet-18", f"{VOLUMES}:MedicalNet18", "MIT", 132, "MedicalNet's ResNet-18: CT and MR volumes; Chen et al. 2019"),
    ("medicalnet-34", f"{VOLUMES}:MedicalNet34", "MIT", 254, "MedicalNet's ResNet-34: CT and MR volumes; Chen et al. 2019"),
    ("medicalnet-50", f"{VOLUMES}:MedicalNet50", "MIT", 185, "MedicalNet's ResNet-50: CT and MR volumes; Chen et al. 2019"),
    ("xrv-densenet121", "chest_xray:XrvDenseNet121", "Apache-2.0", 28, "torchxrayvision's DenseNet-121: chest X-rays"),
    ("xrv-resnet50", "chest_xray:XrvResNet50", "Apache-2.0", 94, "torchxrayvision's ResNet-50: chest X-rays"),
    ("radimagenet-resnet50", "radimagenet:RadImageNetResNet50", "MIT", 94, "RadImageNet's ResNet-50: CT, MR, ultrasound"),
    ("radimagenet-densenet121", "radimagenet:RadImageNetDenseNet121", "MIT", 28, "RadImageNet's DenseNet-121"),
    ("radimagenet-inception-v3", "radimagenet:RadImageNetInceptionV3", "MIT", 87, "RadImageNet's Inception v3"),
    ("rad-dino", "rad_dino:RadDino", RESEARCH, 346, "ViT of chest X-rays; Perez-Garcia et al. 2024"),
)  # fmt: skip
"""MONAI's networks on pictures take torchvision's weights, whose size is given; the others' sizes follow from their numbers of
parameters, as no machine here has the files."""
