"""`healthcare/planes`: the plane of a slice is derived from the file's orientation, whatever order its axes are stored in."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import nibabel
import numpy as np
import pytest

from headstart.errors import DataError, UsageError
from headstart.recipe import Recipe
from headstart_healthcare.data.planes import Planes

RECIPE = Path(__file__).parents[2] / "recipes/healthcare/mri-plane.yaml"


def head(path: Path, *, seed: int = 0, turned: bool = False, times: int = 0) -> str:
    """A box that is 40 mm wide, 60 long and 20 high, with noise; `turned` stores its axes in another order."""
    rng = np.random.default_rng(seed)
    values = np.zeros((30, 40, 20), np.float32)
    values[5:25, 5:35, 5:15] = 1
    values += rng.random(values.shape, np.float32) * 0.05
    affine = np.diag([2.0, 2, 2, 1])
    if turned:
        values, affine = values.transpose(2, 0, 1)[::-1], affine[:, [2, 0, 1, 3]] @ np.diag([-1.0, 1, 1, 1])
    if times:
        values = np.stack([values] * times, axis=3)
    nibabel.Nifti1Image(values, affine).to_filename(path)
    return str(path)


def sides(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width in pixels of what is bright."""
    return tuple(int((pixels > 0.5).any(axis=axis).sum()) for axis in (1, 0))  # type: ignore[return-value]  # two of them


def data_of(tmp_path: Path, **options: object) -> Planes:
    files = [[head(tmp_path / f"{name}.nii.gz", seed=at)] for at, name in enumerate(("a", "b", "c"))]
    given = {"train": files[0], "val": files[1], "test": files[2], "group": "none", "slices": 4}
    return Planes(**{**given, **options})  # type: ignore[arg-type]  # what is tested


def test_each_plane_shows_the_two_lengths_that_it_should(tmp_path):
    examples = data_of(tmp_path).examples()
    assert len(examples) == 3 * 3 * 4
    shown = {example.target: sides(example.input.pixels()) for example in examples}
    assert shown == {"axial": (30, 20), "coronal": (10, 20), "sagittal": (10, 30)}
    assert {example.input.pixels().shape for example in examples if example.target == "sagittal"} == {(40, 40)}


def test_the_stored_order_of_axes_changes_nothing(tmp_path):
    straight = data_of(tmp_path).examples()
    turned = data_of(tmp_path, test=[head(tmp_path / "t.nii.gz", seed=2, turned=True)]).examples()
    pairs = [(a.input.pixels(), b.input.pixels()) for a, b in zip(straight, turned, strict=True)]
    assert all(np.allclose(a, b, atol=1e-3) for a, b in pairs)


def test_volumes_stay_whole_and_one_in_two_parts_is_refused(tmp_path):
    data = data_of(tmp_path)
    splits = {(e.meta["split"], e.input.name.split("-")[0]) for e in data.examples()}
    assert splits == {("train", "train"), ("val", "val"), ("test", "test")}
    same = [head(tmp_path / "s.nii.gz")]
    with pytest.raises(DataError, match="stands twice"):
        data_of(tmp_path, train=same, test=same).examples()


def test_a_file_with_several_time_points_is_read_at_one(tmp_path):
    data = data_of(tmp_path, test=[head(tmp_path / "f.nii.gz", seed=2, times=3)], time=2)
    assert len(data.examples()) == 36


def test_that_the_label_is_derived_is_said(tmp_path):
    facts = data_of(tmp_path).facts()
    assert any("derived, and is no diagnosis" in text for text in facts["notes"])
    assert any("say nothing about other people" in text for text in facts["warnings"])
    with pytest.raises(UsageError, match="write group: none"):
        data_of(tmp_path, group="patient")


def test_the_recipe_runs_offline_on_real_scans_with_its_clinical_report(tmp_path):
    """Under a minute on one core."""
    present = {(one.metadata["Name"] or "").lower() for one in metadata.distributions()}
    if missing := [name for name in ("nilearn", "dipy") if name not in present]:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install 'headstart-healthcare[demo]'")
    import json

    folder = Recipe.load(RECIPE).run(tmp_path).folder
    metrics = json.loads((folder / "metrics.json").read_text())
    questions = metrics["evaluations"]["healthcare/clinical"]["test"]["questions"]
    assert set(questions) == {"axial", "coronal", "sagittal"}
    assert metrics["test"]["auroc"]["value"] > 0.9
    assert metrics["test"]["accuracy"]["value"] > metrics["baselines"]["histogram-logistic"]["accuracy"]["high"]
    assert "In 100 patients like these" in (folder / "report.html").read_text(encoding="utf-8")
