"""`headstart explain` on real runs: pictures and volumes with a planted sign, from training to the report."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from headstart.cli.main import execute
from headstart.errors import DataError, UsageError
from headstart.example import Example
from headstart.explained_cases import CLOSE, SURE, WRONG, choose_cases
from headstart.predictions import SavedOutcome, SavedPrediction
from headstart.run import Run, load
from headstart_healthcare.explain.explaining import explain_run
from headstart_healthcare.privacy.pseudonyms import VARIABLE

KEY_BYTES = 32

RECIPE = """
name: planted
data: {{use: healthcare/{data}, path: {path}, group: '(p[0-9]+)', positive: sick}}
backbone: {{use: {backbone}}}
head: {head}
strategy: {{use: probe, epochs: 6}}
split: {{test: 0.3, val: 0.2}}
train: {{batch_size: 8, device: cpu}}
baselines: none
"""


def planted(shape: tuple[int, ...], radius: int, seed: int, *, is_sick: bool) -> np.ndarray:
    """Grey noise, with a striped ball somewhere off the edge: float32 in [0, 1]."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0.4, 0.06, shape)
    if is_sick:
        place = [int(generator.integers(radius, side - radius)) for side in shape]
        grid = np.indices(shape)
        distance = np.sqrt(sum((line - at) ** 2 for line, at in zip(grid, place, strict=True)))
        values = np.where(distance < radius, np.where(grid[-1] % 8 < 4, 0.95, 0.05), values)
    return values.clip(0, 1).astype(np.float32)


def save_picture(values: np.ndarray, path: Path) -> None:
    Image.fromarray(np.uint8(values * 255)).save(path.with_suffix(".png"))


def save_volume(values: np.ndarray, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(values * 1000, np.diag([2.0, 2.0, 2.0, 1.0])), path.with_suffix(".nii.gz"))


@pytest.fixture(autouse=True)
def known_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pseudonyms every time: splits hang on them."""
    file = tmp_path / "pseudonym.key"
    file.write_text("5a" * KEY_BYTES)
    file.chmod(0o600)
    monkeypatch.setenv(VARIABLE, str(file))


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """Trains a recipe on planted data of a kind and opens the run."""

    def made(kind: str, backbone: str, *, count: int, head: str = "linear") -> Run:
        shape, save = ((128, 128), save_picture) if kind == "images" else ((48, 48, 48), save_volume)
        for at in range(count):
            label = "sick" if at % 2 else "well"
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            save(planted(shape, 14 if kind == "images" else 10, at, is_sick=at % 2 == 1), tmp_path / "data" / label / f"p{at}")
        recipe = RECIPE.format(data=kind, path=tmp_path / "data", backbone=backbone, head=head)
        (tmp_path / "planted.yaml").write_text(recipe)
        assert execute(["run", str(tmp_path / "planted.yaml"), "--out", str(tmp_path / "runs")]) == 0
        return load(tmp_path / "runs" / "latest")

    return made


def size_of(file: Path) -> tuple[int, int]:
    """Width and height out of a PNG's header."""
    width, height = struct.unpack(">II", file.read_bytes()[16:24])
    return width, height


def test_pictures_are_explained_checked_and_shown_in_the_report(run_of, capsys) -> None:
    run = run_of("images", "vision/efficientnet-lite0, channels: 1, size: 128", count=40)
    assert "heatmaps" not in (run.folder / "report.html").read_text()
    capsys.readouterr()
    assert execute(["explain", str(run.folder), "--cases", "3"]) == 0
    said = capsys.readouterr().out
    assert said.count("randomised-weights check: ") == 2
    assert "do not locate disease reliably" in said
    found = json.loads((run.folder / "explanations" / "explanations.json").read_text())
    assert [one["method"] for one in found["methods"]] == ["grad-cam", "occlusion"]
    assert "8 x 8 cells" in found["methods"][0]["read"]
    assert found["methods"][0]["agreement"] < 0.5
    assert {size_of(run.folder / "explanations" / case["file"]) for case in found["cases"]} == {(3 * 128 + 2 * 2, 128)}
    page = (run.folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 3
    assert "What the answers hang on" in page
    assert "p1.png" not in page + json.dumps(found), "names of files are never shown"


def test_volumes_are_explained_in_three_planes(run_of, tmp_path: Path) -> None:
    run = run_of("volumes", "healthcare/inflated, size: 48", count=20)
    found = explain_run(run, cases=2, method="grad-cam")
    assert "map.3, 6 x 6 x 6" in found["methods"][0]["read"] or "map.2, 12 x 12 x 12" in found["methods"][0]["read"]
    sizes = {size_of(run.folder / "explanations" / case["file"]) for case in found["cases"]}
    assert sizes == {(3 * 48 + 2 * 2, 2 * 48 + 2)}
    new = explain_run(run, [str(tmp_path / "data" / "sick" / "p1.nii.gz")], method="grad-cam")
    assert [case["why"] for case in new["cases"]] == ["asked for"]
    assert new["cases"][0]["label"] == "sick"


def test_a_head_that_was_solved_in_one_go_is_explained_too(run_of) -> None:
    run = run_of("images", "vision/efficientnet-lite0, channels: 1, size: 128", count=30, head="logistic")
    found = explain_run(run, cases=2, method="grad-cam")
    assert len(found["cases"]) == 2
    assert found["methods"][0]["defined"] > 0


def test_what_cannot_be_explained_is_said(run_of, capsys, tmp_path: Path) -> None:
    run = run_of("volumes", "healthcare/slices, slices: 4, options: {channels: 1, size: 64}", count=16, head="healthcare/bag")
    assert execute(["explain", str(run.folder)]) == 2
    assert "of a bag, predictions name the slices that counted" in capsys.readouterr().err
    assert all("attention" in prediction.details for prediction in run.predict([str(tmp_path / "data/sick/p1.nii.gz")]))
    assert execute(["explain", str(run.folder), "--method", "tea-leaves"]) == 2
    assert "methods: both, grad-cam, occlusion" in capsys.readouterr().err
    with pytest.raises(UsageError, match="cases is 0"):
        explain_run(run, cases=0)
    (run.folder / "predictions.parquet").unlink()
    with pytest.raises(DataError, match="no test part to choose cases from"):
        explain_run(load(run.folder))


# the choice of cases


def outcome(rows: list[tuple[str, str, float, bool]]) -> SavedOutcome:
    """Rows of truth, answer, probability of the answer, and whether the run would not answer."""
    examples = [Example(str(at), None, truth) for at, (truth, *_) in enumerate(rows)]
    predictions = [
        SavedPrediction(said, {said: share, "ab"["ab".index(said) - 1]: 1 - share}, {"abstain": True} if left else {})
        for _, said, share, left in rows
    ]
    return SavedOutcome("run", "test", -1, examples, predictions)


def test_cases_are_the_surest_errors_the_closest_calls_and_the_surest_of_each_answer() -> None:
    rows = [
        ("a", "b", 0.7, False), ("a", "b", 0.95, False), ("b", "b", 0.52, False), ("a", "a", 0.99, False),
        ("a", "a", 0.98, False), ("b", "b", 0.9, False), ("b", "a", 0.999, True),
    ]  # fmt: skip
    found = choose_cases(outcome(rows), "class", 4)
    assert [(case.id, case.why) for case in found] == [("1", WRONG), ("2", CLOSE), ("3", SURE), ("5", SURE)]
    assert found[0].label == "b"
    assert found[0].truth == "a"
    assert found[0].probability == pytest.approx(0.95)


def test_of_findings_the_most_probable_is_explained() -> None:
    predictions = [SavedPrediction(("mass",), {"mass": 0.8, "edema": 0.3}), SavedPrediction((), {"mass": 0.1, "edema": 0.45})]
    found = choose_cases(
        SavedOutcome("run", "test", -1, [Example("0", None, ("mass",)), Example("1", None, ("edema",))], predictions),
        "labels",
        3,
    )
    assert {case.id: case.label for case in found} == {"0": "mass", "1": "edema"}
    assert {case.id: case.why for case in found}["1"] in (WRONG, CLOSE)
