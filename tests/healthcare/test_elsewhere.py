"""Beyond the own test part: other hospitals, data from elsewhere, two runs compared, inputs that are better not answered."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.cli.main import cli
from headstart.compare import compare
from headstart.errors import DataError
from headstart.example import Example, Target
from headstart.external import evaluate_external
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.predictions import read_predictions, write_predictions
from headstart.recipe import Part, Recipe, SplitPlan
from headstart.run import Run, load
from headstart.spread import spread_of
from headstart_healthcare.clinical.abstention import reasons, settle_abstention, traits_of
from headstart_healthcare.clinical.comparing import compare_areas, holm
from headstart_healthcare.clinical.delong import difference
from headstart_healthcare.clinical.shift import look_for_shift, shift_warnings
from headstart_healthcare.clinical.slight_views import views_of
from headstart_healthcare.data.images import Images
from headstart_healthcare.reading.pixel_array import PixelArray
from headstart_healthcare.reading.volume import VolumeArray

TARGET = Target("class", ("well", "sick"), "sick")
NAME = "healthcare/clinical"


def table(root: Path, patients: int = 120, seed: int = 0) -> Path:
    """One picture of each patient of three sites, a bright disc where sick."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        is_sick = number % 2 == 1
        y, x = np.mgrid[:48, :48]
        cy, cx = rng.integers(16, 32, 2)
        pixels = rng.integers(40, 90, (48, 48))
        pixels = np.where(is_sick & ((y - cy) ** 2 + (x - cx) ** 2 < 100), 200, pixels)
        file = root / f"{seed}-{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(file)
        site = ("north", "south", "west")[number // 2 % 3]
        rows.append({"path": file.name, "label": ("well", "sick")[is_sick], "patient": f"p{number}", "hospital": site})
    with (root / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root / "cases.csv"


def recipe(path: Path) -> Recipe:
    data = Part("healthcare/images", {"path": str(path), "group": "patient", "site": "hospital", "positive": "sick"})
    network = Part("vision/efficientnet-lite0", {"size": 64})
    split = SplitPlan(test=0.25, val=0.25)
    return Recipe(data, network, strategy=Part("probe", {"epochs": 15}), split=split, baselines="none")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("own")
    return recipe(table(root / "data")).run(root / "runs")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    return table(tmp_path_factory.mktemp("elsewhere"), patients=40, seed=7)


def test_external_data_are_judged_by_what_the_run_settled_and_nothing_is_refitted(run, elsewhere, tmp_path):
    model = {path: path.read_bytes() for path in (run.folder / "model").rglob("*") if path.is_file()}
    folder, found = evaluate_external(load(run.folder), elsewhere, tmp_path)
    settled = json.loads((run.folder / "model/evaluations.json").read_text())[NAME]["questions"]["sick"]
    measured = found["evaluations"][NAME]["questions"]["sick"]
    assert found["n"] == 40
    assert measured["at_threshold"]["threshold"] == settled["threshold"]
    assert {path: path.read_bytes() for path in model} == model
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["external"]["run"] == run.folder.name
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Here and elsewhere" in page and "research use only" in page.lower()
    assert folder.stat().st_mode & 0o077 == 0, "closed to others, as every clinical run"


def test_the_command_shows_external_figures_beside_the_runs_own(run, elsewhere, tmp_path):
    done = CliRunner().invoke(cli, ["evaluate", str(run.folder), str(elsewhere), "--external", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "(own test part " in done.output and "report.html" in done.output


def test_predict_says_of_strange_pictures_why_it_would_rather_not_answer(run, elsewhere, tmp_path):
    usual = Image.open(elsewhere.parent / "7-1.png")
    usual.save(tmp_path / "usual.png")
    Image.fromarray(255 - np.asarray(usual)).save(tmp_path / "inverted.png")
    colours = np.stack([np.asarray(usual), np.zeros((48, 48), np.uint8), np.full((48, 48), 90, np.uint8)], axis=2)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    done = CliRunner().invoke(cli, ["predict", str(run.folder), str(tmp_path), "-o", str(tmp_path / "said.csv")])
    assert done.exit_code == 0, done.output
    said = {row["id"]: row for row in csv.DictReader((tmp_path / "said.csv").open(encoding="utf-8"))}
    examples = {example.input.path.rsplit("/", 1)[1]: example.id for example in images(elsewhere).open(tmp_path)}
    assert not said[examples["usual.png"]]["abstain"]
    assert said[examples["usual.png"]]["set"] == "sick", "what cannot be ruled out stands beside the answer"
    assert "colour picture" in said[examples["colours.png"]]["abstain"]
    assert "brighter on average" in said[examples["inverted.png"]]["abstain"]


def test_predict_abstains_where_the_answer_hangs_on_slight_changes_of_the_picture(tmp_path):
    """A disc is bright and large or there is none; one that is neither is called otherwise when it is turned and relit."""
    given = replace(recipe(table(tmp_path / "data")), evaluation=Part(NAME, {"abstain": 0.05, "views": 3}))
    run = given.run(tmp_path / "runs")
    limits = json.loads((run.folder / "model/evaluations.json").read_text())[NAME]["abstain"]
    on_val = next(one for one in read_predictions(run.folder / "predictions.parquet") if one.split == "val").predictions
    spreads = [one.details["spread"] for one in on_val]
    assert limits["spread"] == pytest.approx(np.quantile(spreads, 0.95)), "settled on validation, kept with the model"
    assert run.metrics["evaluations"][NAME]["test"]["abstention"]["n"] == run.metrics["n"]["test"]

    between = tmp_path / "between"
    between.mkdir()
    y, x = np.mgrid[:48, :48]
    for level in range(60, 200, 10):
        pixels = np.random.default_rng(level).integers(40, 90, (48, 48))
        pixels = np.where((y - 24) ** 2 + (x - 24) ** 2 < 100, level, pixels)
        Image.fromarray(pixels.astype(np.uint8)).save(between / f"{level}.png")
    done = CliRunner().invoke(cli, ["predict", str(run.folder), str(between), "-o", str(tmp_path / "said.csv")])
    assert done.exit_code == 0, done.output
    said = list(csv.DictReader((tmp_path / "said.csv").open(encoding="utf-8")))
    unsteady = [float(row["p:sick"]) for row in said if "hangs on slight changes" in row["abstain"]]
    assert unsteady and len(unsteady) < len(said)


def test_slight_views_are_the_same_each_time_never_mirrored_and_smaller_than_those_of_training():
    rng = np.random.default_rng(0)
    left = np.zeros((64, 64), np.float32)
    left[:, :20] = rng.random((64, 20))
    first, again = (views_of(PixelArray(left), 4) for _ in range(2))
    assert all(np.array_equal(one.pixels(), two.pixels()) for one, two in zip(first, again, strict=True))
    for view in first:
        assert view.pixels()[:, :32].sum() > 3 * view.pixels()[:, 32:].sum(), "left stays left"
        assert 0 < np.abs(view.pixels() - left).mean() < 0.15
    volume = VolumeArray((rng.random((12, 14, 16)) * 255).astype(np.uint8))
    assert [view.shape for view in views_of(volume, 2)] == [(1, 12, 14, 16)] * 2
    assert views_of("a text", 3) == [] and views_of(volume, 0) == []


def test_spread_is_the_deviation_of_the_most_unsteady_probability():
    said = [Prediction("sick", {"sick": share, "well": 1 - share}) for share in (0.2, 0.4, 0.9)]
    assert spread_of(said) == pytest.approx(np.std([0.2, 0.4, 0.9]))
    assert spread_of(said[:1]) is None and spread_of([said[0], Prediction("sick")]) is None


def images(path: Path) -> Images:
    return Images(path=str(path), group="none")


def test_two_runs_are_compared_by_delongs_paired_test(run, tmp_path):
    other = recipe(Path(run.recipe.data.options["path"])).run(tmp_path)
    same = compare(run.folder, other.folder).evaluations[NAME]["auroc"]["sick"]
    assert (same["value"], same["p"]) == (0.0, 1.0)
    done = CliRunner().invoke(cli, ["compare", str(run.folder), str(other.folder)])
    assert "DeLong's paired test" in done.output


def test_the_paired_difference_is_that_of_delong_corrected_for_the_number_of_questions():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200)
    scores = [truth * strength + rng.normal(size=200) for strength in (2.0, 0.2)]
    shares = [1 / (1 + np.exp(-score)) for score in scores]
    outcomes = [saved(truth, share) for share in shares]
    found = compare_areas(outcomes[0], outcomes[1], TARGET, ({}, {}))["sick"]
    by_hand = difference(truth, *shares)
    assert by_hand is not None
    assert (found["value"], found["p"]) == (by_hand.value, by_hand.p)
    assert found["differs"]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_findings_that_are_not_known_of_all_are_compared_over_those_of_which_they_are(tmp_path):
    """Saved and read again: the others would count as healthy, which they may not be."""
    rng = np.random.default_rng(0)
    target = Target("labels", ("edema",))
    truth, unknown = rng.integers(0, 2, 150), rng.random(150) < 0.4
    examples = [
        Example(str(i), None, ("edema",) * int(one and not hidden), meta={"unknown": ("edema",) * int(hidden)})
        for i, (one, hidden) in enumerate(zip(truth, unknown, strict=True))
    ]
    read, by_hand = [], []
    for strength in (2.0, 0.5):
        share = 1 / (1 + np.exp(-(truth * strength + rng.normal(size=150))))
        by_hand.append(share[~unknown])
        outcome = Outcome("run", "test", examples, [Prediction((), {"edema": float(one)}) for one in share])
        write_predictions([outcome], tmp_path / "predictions.parquet")
        read += read_predictions(tmp_path / "predictions.parquet")
    measured = {"questions": {"edema": {"n": int((~unknown).sum())}}}
    found = compare_areas(read[0], read[1], target, (measured, measured))["edema"]
    assert found["value"] == pytest.approx(difference(truth[~unknown], *by_hand).value)
    older = [replace(one, examples=[replace(example, meta={}) for example in one.examples]) for one in read]
    assert "do not say for which" in compare_areas(older[0], older[1], target, (measured, measured))["edema"]["undefined"]


def saved(truth: np.ndarray, share: np.ndarray) -> Any:
    from headstart.predictions import SavedOutcome, SavedPrediction

    examples = [Example(str(i), None, TARGET.labels[one]) for i, one in enumerate(truth)]
    predictions = [SavedPrediction("sick", {"sick": float(one), "well": 1 - float(one)}) for one in share]
    return SavedOutcome("run", "test", -1, examples, predictions)


def test_the_run_keeps_what_is_familiar_to_it_and_counts_what_it_would_not_answer(run):
    assert (run.folder / "model/familiar.safetensors").is_file()
    measured = run.metrics["evaluations"][NAME]["test"]["abstention"]
    assert measured["n"] == run.metrics["n"]["test"]
    assert measured["share"] < 0.3, "test pictures are like those of training"


def test_limits_come_from_validation_and_too_small_a_part_gives_none():
    usual = [Prediction("well", details={"distance": 1 + i / 100}) for i in range(100)]
    limits = settle_abstention(usual, 0.1)
    assert limits["distance"] == pytest.approx(1.891)
    assert reasons(Prediction("well", details={"distance": 2.5}), limits)
    assert not reasons(Prediction("well", details={"distance": 1.5}), limits)
    unsteady = Prediction("well", details={"spread": 0.3})
    spread = settle_abstention([Prediction("well", details={"spread": i / 1000}) for i in range(100)], 0.1)
    assert "hangs on slight changes" in reasons(unsteady, spread)[0] and not reasons(unsteady, limits)
    assert settle_abstention(usual[:10], 0.1) == {} and settle_abstention(usual, 0.0) == {}


def test_grey_pictures_stored_in_three_channels_are_no_colour_pictures():
    grey = np.random.default_rng(0).integers(0, 255, (8, 6), dtype=np.uint8)
    assert traits_of(PixelArray(np.stack([grey] * 3, axis=2)))["colour"] == 0
    assert traits_of(PixelArray(grey))["proportion"] == 0.75


def looked(shift: float, seed: int = 0) -> dict[str, tuple[np.ndarray, list[Example]]]:
    """Features of two classes; those of the test are moved."""
    rng = np.random.default_rng(seed)
    found = {}
    for split, count in (("train", 300), ("val", 150), ("test", 150)):
        truth = rng.integers(0, 2, count)
        vectors = rng.normal(size=(count, 12)) + truth[:, None] * np.eye(12)[0] * 3
        vectors[:, 1] += shift if split == "test" else 0.0
        found[split] = (vectors, [Example(f"{split}{i}", None, TARGET.labels[one]) for i, one in enumerate(truth)])
    return found


def test_a_test_part_that_was_taken_differently_is_warned_of_and_one_like_validation_is_not():
    shifted = {"frozen": look_for_shift(looked(2.0), TARGET)}
    (text,) = shift_warnings(shifted, TARGET)
    assert text.startswith("validation looks too good for what the frozen features say")
    assert "can be told from those of validation" in text
    assert shift_warnings({"frozen": look_for_shift(looked(0.0), TARGET)}, TARGET) == []


def test_a_part_with_more_of_the_sick_is_no_other_way_of_taking_pictures():
    features = looked(0.0)
    vectors, examples = features["test"]
    kept = [i for i, example in enumerate(examples) if example.target == "sick" or i % 4 == 0]
    features["test"] = (vectors[kept], [examples[i] for i in kept])
    assert look_for_shift(features, TARGET)["told_apart"]["auroc"] < 0.6


@pytest.mark.slow  # three runs, each with its report
def test_every_site_is_tested_once_by_a_model_that_has_not_seen_it(tmp_path):
    path = table(tmp_path / "data", patients=72)
    file = tmp_path / "sites.yaml"
    file.write_text(
        f"name: sites\ndata: {{use: healthcare/images, path: {path}, group: patient, site: hospital, positive: sick}}\n"
        "backbone: {use: vision/efficientnet-lite0, size: 32}\nstrategy: {use: probe, epochs: 5}\nbaselines: none\n"
    )
    done = CliRunner().invoke(cli, ["sites", str(file), "--out", str(tmp_path / "runs"), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert list(found) == ["north", "south", "west"]
    assert sum(one["questions"]["sick"]["n"] for one in found.values()) == 72
    at = {
        example.id: example.meta["subgroups"]["site"]
        for example in Images(path=str(path), group="patient", site="hospital").examples()
    }
    for site, one in found.items():
        split = json.loads((tmp_path / "runs" / one["run"] / "split.json").read_text())
        assert {at[id] for id in split["test"]} == {site}
        assert site not in {at[id] for part in ("train", "val") for id in split[part]}


def test_a_site_that_nobody_names_is_refused(tmp_path):
    path = table(tmp_path, patients=8)
    with pytest.raises(DataError, match="the data name: north, south, west"):
        Images(path=str(path), group="patient", site="hospital", test_site="east").examples()
