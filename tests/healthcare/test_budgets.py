"""Broken files against the budget: 0, 1, 5 and 50 % of pictures and volumes, just within `max_bad` and just over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from headstart.data_check import check_data
from headstart.errors import DataError, UsageError
from headstart.recipe import Part, Recipe
from headstart_healthcare.data.images import Images
from headstart_healthcare.data.volumes import Volumes

COUNT = 100


def picture(path: Path, number: int, *, is_broken: bool) -> None:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    if is_broken:
        path.with_suffix(".png").write_bytes(path.with_suffix(".png").read_bytes()[:40])


def volume(path: Path, number: int, *, is_broken: bool) -> None:
    voxels = np.random.default_rng(number).random((5, 4, 3)).astype(np.float32)
    if is_broken:
        voxels[1, 2, 1] = (np.nan, np.inf)[number % 2]
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(path.with_suffix(".nii"))


KINDS = [
    pytest.param(Images, "healthcare/images", picture, {"not-image"}, id="pictures"),
    pytest.param(Volumes, "healthcare/volumes", volume, {"not-finite"}, id="volumes"),
]


def written(folder: Path, write: Callable[..., None], broken: int) -> Path:
    """Files in two folders of classes, so many of them broken."""
    for name in "xy":
        (folder / name).mkdir()
    for number in range(COUNT):
        write(folder / "xy"[number % 2] / f"{number:03d}", number, is_broken=number < broken)
    return folder


@pytest.mark.parametrize(("part", "name", "write", "reasons"), KINDS)
def test_broken_files_count_against_the_budget(tmp_path, part, name, write, reasons, budget) -> None:
    broken, max_bad, is_read = budget
    options: dict[str, Any] = {"path": str(written(tmp_path, write, broken)), "group": "none", "max_bad": max_bad}
    data = part(**options)
    if not is_read:
        said = rf"{broken} of {COUNT} files cannot be used, over the budget of {max_bad:g} \(data\.max_bad\): scan-"
        with pytest.raises(DataError, match=said):
            data.examples()
        [finding] = check_data(Recipe(Part(name, options), Part("none"), Part("linear"))).findings
        assert finding.level == "error"
        return
    assert len(data.examples()) == COUNT - broken
    quarantined = data.facts()["quarantined"]
    assert len(quarantined) == broken
    assert set(quarantined.values()) <= reasons
    assert all(file.startswith("scan-") for file in quarantined), "by pseudonym"


@pytest.mark.parametrize("part", [Images, Volumes])
@pytest.mark.parametrize("max_bad", [-0.1, 1.5])
def test_a_budget_that_is_no_share_is_refused(tmp_path: Path, part: type, max_bad: float) -> None:
    with pytest.raises(
        UsageError, match=rf"data\.max_bad: {max_bad} is no share of the files; 0 = none may be broken, 1 = all"
    ):
        part(path=str(tmp_path), group="none", max_bad=max_bad)
