"""Cases: what the conformance kit runs the plugin's parts with, `headstart plugins test vision`. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.testing import BackboneCase, Case, DataCase
from headstart_vision.catalogue import CLASSIC

SIDES = {"inception-v3": 80, "alexnet": 64, "vit-h-14": 28}  # of the smallest pictures that keep every layer at work
QUICK = ("squeezenet1-1",)
SLOW = "one of many alike; building and copying it takes seconds"


def cases() -> list[Case]:
    """Every network with random weights on small pictures, and every reader on pictures made here."""
    return [
        BackboneCase(use="vision/efficientnet-lite0", options={"size": 48}, slow=SLOW),
        *(_network(name, "" if name in QUICK else SLOW) for name, *_ in CLASSIC),
        BackboneCase(use="vision/timm", options={"model": "vit_tiny_patch16_224", "weights": "none", "size": 64}, slow=SLOW),
        DataCase(use="vision/folder", options=folder, source=one_picture),
        DataCase(use="vision/table", options=table, source=one_picture),
    ]


def _network(name: str, slow: str) -> BackboneCase:
    side = SIDES.get(name, 64 if "vit" in name or "swin" in name else 48)
    return BackboneCase(use=f"vision/{name}", options={"weights": "none", "size": side}, slow=slow)


def folder(home: Path) -> dict[str, Any]:
    """Pictures in two class folders."""
    for at in range(8):
        _paint(home / f"pictures/{('blue', 'red')[at % 2]}/{at}.png", at)
    return {"path": str(home / "pictures")}


def table(home: Path) -> dict[str, Any]:
    """The same, named by a csv."""
    rows = ["file,label", *(f"{at}.png,{('blue', 'red')[at % 2]}" for at in range(8))]
    for at in range(8):
        _paint(home / f"{at}.png", at)
    (home / "pictures.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {"path": str(home / "pictures.csv"), "picture": "file", "label": "label"}


def one_picture(home: Path) -> str:
    """A new picture."""
    return str(_paint(home / "new.png", 99))


def _paint(path: Path, seed: int) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    colour = ((40, 60, 200), (200, 60, 40))[seed % 2]
    noise = np.random.default_rng(seed).integers(-20, 21, (24, 32, 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)
    return path
