"""What headstart-vision offers; importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from headstart.components import Component
from headstart.hookspecs import hookimpl
from headstart_vision.catalogue import CLASSIC


@hookimpl
def headstart_data() -> Iterator[Component]:
    """Readers of pictures."""
    yield Component("vision/folder", "headstart_vision.folder:Folder", "pictures in class folders, or beside a metadata file")
    yield Component("vision/table", "headstart_vision.table:PictureTable", "pictures that a csv, jsonl or parquet table names")


@hookimpl
def headstart_backbones() -> Iterator[Component]:
    """Picture networks: one with weights out of a package, torchvision's, and any of timm's."""
    yield Component(
        "vision/efficientnet-lite0",
        "headstart_vision.backbones.lite:EfficientNetLite0",
        "EfficientNet-Lite0 with ImageNet weights, 4.7 M, offline; Tan & Le 2019",
        licence="Apache-2.0",
        megabytes=18.8,
    )
    for name, target, megabytes, summary in CLASSIC:
        licence = "CC-BY-NC-4.0" if name == "vit-h-14" else "BSD-3-Clause"  # its default weights are SWAG's
        yield Component(f"vision/{name}", f"headstart_vision.backbones.{target}", summary, licence=licence, megabytes=megabytes)
    yield Component(
        "vision/timm",
        "headstart_vision.backbones.timm_network:Timm",
        "any of timm's networks by `model: NAME`, weights from the hub, a folder or a file; Wightman 2019",
        licence="each its own",
    )


@hookimpl
def headstart_cases() -> Iterator[Component]:
    """What the conformance kit runs these parts with."""
    yield Component("vision/cases", "headstart_vision.cases:cases", "random weights, small pictures")
