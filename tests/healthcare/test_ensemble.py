"""Several runs together: the mean of their answers, judged by what was settled on shared validation examples."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.build import make_data
from headstart.cli.main import cli
from headstart.ensemble import Ensemble
from headstart.errors import DataError, UsageError
from headstart.fit import fit
from headstart.predictions import read_predictions, write_predictions
from headstart.recipe import Part, Recipe, SplitPlan
from headstart.run import Run, load
from headstart_healthcare.clinical.delong import area

NAME, SHARE = "healthcare/clinical", 0.4


def picture(root: Path, name: str, level: int, seed: int) -> Path:
    """A disc of some brightness on noise."""
    y, x = np.mgrid[:32, :32]
    pixels = np.random.default_rng(seed).integers(40, 110, (32, 32))
    pixels = np.where((y - 16) ** 2 + (x - 16) ** 2 < 60, level, pixels)
    root.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(root / name)
    return root / name


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two runs that differ in their seed, on pictures of which some are hard to tell."""
    root = tmp_path_factory.mktemp("members")
    rng = np.random.default_rng(0)
    for number in range(160):
        is_sick = number % 2 == 1
        level = int(np.clip(rng.normal(125 if is_sick else 95, 22), 0, 255))
        picture(root / "data" / ("sick" if is_sick else "well"), f"{number}.png", level, number)
    data = Part("healthcare/images", {"path": str(root / "data"), "group": "none", "positive": "sick"})
    network = Part("vision/efficientnet-lite0", {"size": 32})
    base = Recipe(
        data, network, strategy=Part("probe", {"epochs": 2}), split=SplitPlan(test=0.25, val=0.3), baselines="none",
        head=Part("linear", {"dropout": 0.5}), evaluation=Part(NAME, {"abstain": SHARE}),
    )  # fmt: skip
    seeded = [replace(base, train=replace(base.train, seed=seed)) for seed in range(2)]
    return [load(fit(one, root / "runs", quiet=True, report=False).folder) for one in seeded]


def saved(run: Run, split: str) -> dict[str, tuple[str, float]]:
    """Id -> truth and the probability that the run gave out."""
    part = next(one for one in read_predictions(run.folder / "predictions.parquet") if (one.model, one.split) == ("run", split))
    pairs = zip(part.examples, part.predictions, strict=True)
    return {example.id: (example.target, said.probabilities["sick"]) for example, said in pairs}


def test_limit_and_threshold_come_from_the_shared_validation_part_and_figures_from_the_test(members):
    together = Ensemble(tuple(members))
    on_val = [saved(run, "val") for run in members]
    apart = [np.std([part[id][1] for part in on_val]) for id in on_val[0]]
    settled = together.evaluations.settled[NAME]
    assert settled["abstain"]["disagreement"] == pytest.approx(np.quantile(apart, 1 - SHARE), abs=1e-3)
    on_test = [saved(run, "test") for run in members]
    mean = np.array([np.mean([part[id][1] for part in on_test]) for id in on_test[0]])
    truth = np.array([on_test[0][id][0] == "sick" for id in on_test[0]], dtype=int)
    found = together.evaluate()
    measured = found["evaluations"][NAME]
    assert found["n"] == len(truth)
    assert measured["questions"]["sick"]["auroc"]["value"] == pytest.approx(area(truth, mean).value)
    assert measured["questions"]["sick"]["at_threshold"]["threshold"] == settled["questions"]["sick"]["threshold"]
    assert measured["abstention"]["n"] == len(truth)


def test_the_command_answers_by_the_mean_and_abstains_where_the_runs_disagree(members, tmp_path):
    for number, level in enumerate(range(60, 160, 4)):
        picture(tmp_path / "new", f"{number}.png", level, 1000 + number)
    first, second = (str(run.folder) for run in members)
    given = [first, str(tmp_path / "new"), "--with", second, "-o", str(tmp_path / "said.csv")]
    done = CliRunner().invoke(cli, ["predict", *given])
    assert done.exit_code == 0, done.output
    assert "2 runs together, on the 40 test examples that they share" in done.stderr and "accuracy" in done.stderr
    said = {row["id"]: row for row in csv.DictReader((tmp_path / "said.csv").open(encoding="utf-8"))}
    examples = make_data(members[0].recipe.data).open(tmp_path / "new")
    shares = [[one.probabilities["sick"] for one in run.predict_examples(examples)] for run in members]
    alone = {example.id: pair for example, pair in zip(examples, zip(*shares, strict=True), strict=True)}
    limit = Ensemble(tuple(members)).evaluations.settled[NAME]["abstain"]["disagreement"]
    apart = {id: np.std(pair) for id, pair in alone.items()}
    assert set(said) == set(apart)
    for id, row in said.items():
        if abs(apart[id] - limit) > 1e-3:
            assert ("the runs disagree" in row["abstain"]) == (apart[id] > limit)
    assert len({"disagree" in row["abstain"] for row in said.values()}) == 2, "some and not all"
    means = [np.mean(alone[id]) for id in said]
    assert np.all(np.diff([float(said[id]["p:sick"]) for id in np.array(list(said))[np.argsort(means)]]) >= -1e-9)


def test_each_member_keeps_the_answers_in_its_trail(members, tmp_path):
    picture(tmp_path / "new", "one.png", 200, 0)
    examples = make_data(members[0].recipe.data).open(tmp_path / "new")
    (said,) = Ensemble(tuple(members)).predict_examples(examples)
    for run in members:
        lines = [json.loads(line) for line in (run.folder / "audit.jsonl").read_text().splitlines()]
        call, answer, seal = lines[-3:]
        assert (call["event"], seal["event"]) == ("predict", "seal")
        assert call["together with"] == [other.folder.name for other in members if other is not run]
        assert (answer["id"], answer["answer"]) == (examples[0].id, said.value)


def test_what_cannot_answer_together_is_refused(members, tmp_path):
    with pytest.raises(UsageError, match="two different runs"):
        Ensemble((members[0], load(members[0].folder)))
    own = members[0].recipe
    other = replace(own, data=replace(own.data, options={**own.data.options, "light": "own"}))
    stranger = Run(members[1].folder)
    stranger.__dict__["recipe"] = other  # what its lock would say
    with pytest.raises(UsageError, match="on other data"):
        Ensemble((members[0], stranger))
    apart = Path(shutil.copytree(members[1].folder, tmp_path / "apart"))
    outcomes = [
        replace(one, examples=[replace(example, id=f"other {example.id}") for example in one.examples])
        for one in read_predictions(apart / "predictions.parquet")
    ]
    write_predictions(outcomes, apart / "predictions.parquet")
    with pytest.raises(DataError, match="share no example of the split 'val'"):
        _ = Ensemble((members[0], load(apart))).evaluations
