"""`healthcare/images`: patients, labels, site and subgroups from folders and tables, and a run with its clinical evaluation."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError, UsageError
from headstart.recipe import Part, Recipe
from headstart_healthcare.data.images import Images
from headstart_healthcare.reading.pixel_array import PixelArray

SHARED = Path(os.environ.get("HEADSTART_SHARED_DATA", Path(__file__).parents[3] / "shared/data")) / "chest-xray"


def picture(path: Path, *, is_sick: bool, seed: int) -> None:
    """Noise with a bright disc where it is sick: a planted signal."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(40, 90, (48, 48))
    if is_sick:
        y, x = np.mgrid[:48, :48]
        cy, cx = rng.integers(16, 32, 2)
        pixels = np.where((y - cy) ** 2 + (x - cx) ** 2 < 81, 200, pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def folder_of(root: Path, patients: int = 40, each: int = 2) -> Path:
    """CLASS/personN_k.png, half of the patients sick."""
    for patient in range(patients):
        label = "sick" if patient % 2 else "well"
        for k in range(each):
            picture(root / label / f"person{patient}_{k}.png", is_sick=bool(patient % 2), seed=10 * patient + k)
    return root


def table_of(root: Path, rows: list[dict[str, str]], name: str = "cases.csv") -> Path:
    """Rows as csv; each gets its picture unless it is there or `skip` is in its path."""
    root.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        if "absent" not in row["path"] and ".." not in row["path"]:
            picture(root / row["path"], is_sick=row.get("label") == "sick", seed=number)
    with (root / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root / name


def rows_of(count: int = 4, **columns: str) -> list[dict[str, str]]:
    return [
        {"path": f"a{i}.png", "label": "sick" if i % 2 else "well", "patient": f"p{i // 2}", **columns} for i in range(count)
    ]


def test_a_run_goes_through_the_clinical_evaluation_and_learns_a_planted_signal(tmp_path):
    folder_of(tmp_path / "data")
    options = {"path": str(tmp_path / "data"), "group": r"(person\d+)", "positive": "sick"}
    recipe = Recipe(
        Part("healthcare/images", options), Part("vision/efficientnet-lite0"), strategy=Part("probe", {"epochs": 20})
    )
    folder = recipe.run(tmp_path / "runs").folder
    measured = json.loads((folder / "metrics.json").read_text())["evaluations"]["healthcare/clinical"]["test"]
    assert measured["questions"]["sick"]["auroc"]["value"] >= 0.95
    assert "research use only" in (folder / "report.html").read_text(encoding="utf-8")
    split = json.loads((folder / "split.json").read_text())
    groups = {example.id: example.group for example in Images(path=str(tmp_path / "data"), group=r"(person\d+)").examples()}
    parts = [{groups[id] for id in split[name]} for name in ("train", "val", "test")]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_patients_have_to_be_told_or_denied():
    with pytest.raises(TypeError, match="group"):
        Images(path="somewhere")  # type: ignore[call-arg]  # what is tested
    assert not Images(path="somewhere", group="none").choices.patients.is_known
    with pytest.raises(UsageError, match="no table with such a column"):
        Images(path="somewhere", group="patient")


def test_a_rule_that_finds_nobody_is_refused(tmp_path):
    with pytest.raises(DataError, match="finds a patient in none of 80 paths"):
        Images(path=str(folder_of(tmp_path)), group=r"(subject\d+)").examples()


def test_no_patient_known_is_warned_of(tmp_path):
    data = Images(path=str(folder_of(tmp_path, patients=4)), group="none")
    assert all(example.group is None for example in data.examples())
    assert any("No patient is known" in text for text in data.facts()["warnings"])


def test_a_table_gives_patient_site_and_subgroups_and_no_name_leaves(tmp_path):
    rows = [{**row, "hospital": "St Mary", "sex": "F", "years": "63"} for row in rows_of()]
    data = Images(
        path=str(table_of(tmp_path, rows)), group="patient", site="hospital", age="years", subgroups=["sex"], positive="sick"
    )
    first, second, third, _ = data.examples()
    assert first.meta["subgroups"] == {"site": "St Mary", "sex": "F", "age": "60-79"}
    assert first.group == second.group != third.group
    assert data.target.positive == "sick"
    shown = f"{[(e.id, e.group, str(e.input), repr(e.input)) for e in data.examples()]} {json.dumps(data.facts())}"
    assert "a0.png" not in shown and "'p0'" not in shown


def test_a_picture_that_another_site_has_of_the_sick_alone_is_warned_of(tmp_path):
    rows = [{**row, "hospital": "north" if row["label"] == "sick" else "south"} for row in rows_of(20)]
    data = Images(path=str(table_of(tmp_path, rows)), group="patient", site="hospital")
    assert data.facts()["site_label_association"]["the class"] > 0.7
    assert any("recognising the site" in text for text in data.facts()["warnings"])


def test_findings_keep_what_is_unknown_and_count_uncertain_ones_by_the_policy(tmp_path):
    table = table_of(
        tmp_path,
        [
            {"path": "a.png", "patient": "1", "edema": "1", "mass": "-1"},
            {"path": "b.png", "patient": "2", "edema": "", "mass": "0"},
            {"path": "c.png", "patient": "3", "edema": "0", "mass": "1"},
        ],
    )
    data = Images(path=str(table), group="patient", labels=["edema", "mass"], uncertain={"mass": "ignore"})
    a, b, c = data.examples()
    assert (tuple(a.target), tuple(b.target), tuple(c.target)) == (("edema",), (), ("mass",))
    assert (a.meta["unknown"], b.meta["unknown"]) == (("mass",), ("edema",))
    assert (a.target.unknown, b.target.unknown) == ({"mass"}, {"edema"})
    assert data.facts()["unknown_labels"] == {"edema": 1, "mass": 1}
    ones = Images(path=str(table), group="patient", labels=["edema", "mass"], uncertain="ones").examples()
    assert tuple(ones[0].target) == ("edema", "mass")


def test_training_views_differ_are_repeatable_and_never_mirrored(tmp_path):
    path = tmp_path / "left.png"
    half = np.zeros((64, 64), np.uint8)
    half[:, :24] = 220
    Image.fromarray(half).save(path)
    for how in ("geometry", "intensity", "both"):
        data = Images(path=str(tmp_path), group="none", augment=how)
        scan = data.read(path)
        views = [data.augment(scan, np.random.default_rng(seed)).pixels() for seed in range(20)]
        assert all(view.dtype == np.float32 and view.shape == (64, 64) for view in views)
        assert all(view[20:44, :16].mean() > view[20:44, 48:].mean() + 0.2 for view in views)
        assert not np.array_equal(views[0], views[1])
        assert np.array_equal(views[0], data.augment(scan, np.random.default_rng(0)).pixels())


def test_a_view_with_nothing_drawn_is_the_picture_itself():
    from headstart_healthcare.data.views import picture_view

    class Still:
        def uniform(self, low, high, count=None):
            return np.zeros(count) if count else 0.0

    pixels = np.random.default_rng(0).random((30, 50)).astype(np.float32)
    assert np.allclose(picture_view(Pixels(pixels), Still(), how="geometry"), pixels, atol=1e-5)


class Pixels:
    def __init__(self, values):
        self.values = values

    def pixels(self):
        return self.values


def test_another_table_opens_with_its_labels_and_a_folder_without(tmp_path):
    data = Images(path=str(table_of(tmp_path / "a", rows_of())), group="patient")
    assert [example.target for example in data.open(table_of(tmp_path / "b", rows_of(2)))] == ["well", "sick"]
    assert [example.target for example in data.open(tmp_path / "b")] == [None, None]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the chest X-rays of shared/data are not here")
def test_the_chest_x_rays_patients_in_both_given_splits_and_copies_are_named():
    from headstart.audit import audit
    from headstart.recipe import SplitPlan
    from headstart.split import make_splits
    from headstart.survey import find_duplicates

    data = Images(path=str(SHARED), group=r"(person\d+|IM-\d+)", positive="PNEUMONIA")
    examples = data.examples()
    assert data.facts()["flow"] == {
        "listed": 5840, "excluded": {}, "read": 5840, "without label": 0, "labelled": 5840, "patients": 2775,
    }  # fmt: skip
    found = audit(examples, make_splits(examples, SplitPlan(), data.target)[0])
    given = [leak for leak in found.found if leak.kind == "group" and "test" in leak.splits]
    assert len(given) == 264
    assert find_duplicates(examples).extra >= 30


def marked(fit: str, shape: tuple[int, int] = (64, 48)) -> np.ndarray:
    """What a network of 32 x 32 sees of a black picture whose border is white, [32, 32] in [0, 1]."""
    from headstart_vision.expectation import Expectation

    pixels = np.zeros(shape, np.uint8)
    pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:] = 255, 255, 255, 255
    expects = Expectation(size=32, resize=40, mean=(0.0,), std=(1.0,))
    return expects.apply([PixelArray(pixels, fit=fit)])[0, 0].numpy()


def test_a_scan_is_shown_whole_and_only_centre_cuts_its_border_off(tmp_path):
    whole, centre, padded = marked("squeeze"), marked("centre"), marked("pad")
    assert whole[0, 5:-5].mean() > 0.5 and whole[5:-5, 0].mean() > 0.5, "the border is there on all sides"
    assert centre[0].max() < 0.1, "cut off"
    assert padded[16, :3].max() < 0.1 and padded[16, 4:6].max() > 0.5, "black beside it, in its proportions"
    picture(tmp_path / "sick" / "a.png", is_sick=True, seed=0)
    assert Images(path=str(tmp_path), group="none").read(tmp_path / "sick" / "a.png").fit == "squeeze"


def test_how_a_scan_is_shown_is_part_of_what_is_stored(tmp_path):
    picture(tmp_path / "sick" / "a.png", is_sick=True, seed=0)
    contents = {Images(path=str(tmp_path), group="none", fit=fit).examples()[0].input.content() for fit in ("squeeze", "pad")}
    assert len(contents) == 2


def test_pictures_that_are_scaled_compressed_or_relit_anew_are_named_unless_one_patient_has_both(tmp_path):
    rows = rows_of(6)
    table = table_of(tmp_path, rows)
    rng = np.random.default_rng(3)
    for row in rows:  # smooth scenes, as those of X-rays
        coarse = Image.fromarray(rng.integers(0, 255, (9, 9)).astype(np.uint8))
        coarse.resize((128, 128), Image.Resampling.BICUBIC).save(tmp_path / row["path"])
    first, second, third = (tmp_path / row["path"] for row in rows[:3])
    Image.open(first).resize((64, 64)).save(second)
    Image.fromarray((np.asarray(Image.open(first)) * 0.9).astype(np.uint8)).save(third)
    apart = Images(path=str(table), group="none")
    apart.examples()
    assert apart.facts()["nearly_identical"]["pairs"] == 3
    assert any("3 pairs of pictures look the same though they are not" in text for text in apart.facts()["warnings"])
    known = Images(path=str(table), group="patient")
    known.examples()
    assert known.facts()["nearly_identical"]["pairs"] == 2, "the first two are of one patient"


def test_in_its_own_light_a_picture_is_the_same_however_it_was_exposed(tmp_path):
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 160, (48, 40))
    for name, pixels in (("bright", scene + 60), ("dark", scene // 2), ("plain", scene)):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}.png")
    own = {
        name: Images(path=str(tmp_path), group="none", light="own").read(tmp_path / f"{name}.png")
        for name in ("bright", "dark")
    }
    seen = {name: one.pixels() for name, one in own.items()}
    assert np.abs(seen["bright"] - seen["dark"]).max() < 0.02, "halving rounds the grey levels"
    assert abs(seen["bright"].mean() - 0.45) < 0.01 and abs(seen["bright"].std() - 0.22) < 0.01
    stored = Images(path=str(tmp_path), group="none").read(tmp_path / "plain.png")
    assert stored.pixels().max() > 150 and stored.content() != own["dark"].content()
    colour = Images(path=str(tmp_path), group="none", light="own").read(rng.integers(0, 90, (9, 9, 3)).astype(np.uint8))
    assert colour.pixels().dtype == np.uint8 and abs(colour.pixels().mean() / 255 - 0.45) < 0.02


@pytest.mark.slow  # reads 3,264 pictures
@pytest.mark.skipif(not (SHARED.parent / "brain-mri").is_dir(), reason="the shared data are not here")
def test_copies_across_the_given_parts_of_the_brain_slices_are_named():
    from headstart.audit import audit
    from headstart.recipe import SplitPlan
    from headstart.split import make_splits

    data = Images(path=str(SHARED.parent / "brain-mri"), group="none")
    (split,) = make_splits(data.examples(), SplitPlan(), data.target)
    assert audit(data.examples(), split).counts()["identical"] >= 213
