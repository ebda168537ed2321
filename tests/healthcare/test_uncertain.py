"""Uncertain findings: what training makes of -1 by each policy of CheXpert, and that no score counts what nobody knows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.nn import functional

from headstart.cli.main import cli
from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.fit import fit
from headstart.recipe import Part, Recipe, SplitPlan
from headstart_healthcare.clinical.delong import area
from headstart_healthcare.data.images import Images
from headstart_healthcare.data.volumes import Volumes
from headstart_healthcare.heads.findings import Findings
from headstart_healthcare.heads.multilabel import KnownMultiLabel

LABELS = ("edema", "mass")
FINDINGS = Target("labels", LABELS)


def table(root: Path, cells: str = "", pictures: int = 6) -> Path:
    """A picture and a row for each; the first four of edema and mass are given or 1, -1 and -1, 0."""
    rows = cells or "a0.png,1,1,-1\na1.png,2,-1,0\na2.png,3,-1,-1\na3.png,4,0,1\na4.png,5,,-1\na5.png,6,,\n"
    for number in range(pictures):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"a{number}.png")
    (root / "t.csv").write_text("path,who,edema,mass\n" + rows)
    return root / "t.csv"


def targets(path: Path, uncertain: Any, **options: Any) -> list[Findings]:
    data = Images(path=str(path), group="who", labels=list(LABELS), uncertain=uncertain, **options)
    return [example.target for example in data.examples()]


def test_smooth_aims_between_the_two_numbers_and_is_unknown_to_every_score(tmp_path):
    path = table(tmp_path)
    found = targets(path, {"edema": "smooth", "mass": "smooth(0, 0.3)"})
    assert [sorted(one.soft) for one in found[:5]] == [["mass"], ["edema"], ["edema", "mass"], [], ["mass"]]
    assert all(0.55 <= one.soft["edema"] <= 0.85 for one in found[1:3])
    assert all(0 <= one.soft["mass"] <= 0.3 for one in (found[0], found[2], found[4]))
    assert found[1].soft["edema"] != found[2].soft["edema"], "another number for each file"
    assert [one and one.soft for one in targets(path, {"edema": "smooth", "mass": "smooth(0, 0.3)"})] == [
        one and one.soft for one in found
    ]
    assert found[0] == ("edema",) and found[0].unknown == {"mass"}
    assert found[2] is not None and targets(path, "ignore")[2] is None, "there is something to learn from it"
    assert found[5] is None, "what is not known at all stays so"
    assert copy.deepcopy(found[0]).soft == found[0].soft


def test_a_head_that_sees_nothing_learns_the_probability_that_is_aimed_at():
    head = KnownMultiLabel({"pooled": 3}, FINDINGS)
    aims = [Findings((), ("mass",), {"edema": 0.7})] * 8
    head.settle(aims)
    before = head.out.weight[1].detach().clone()
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        sum(head.loss({"pooled": torch.ones(8, 3)}, aims).values()).backward()
        optimiser.step()
    said = head.predict({"pooled": torch.ones(1, 3)})[0].probabilities
    assert said["edema"] == pytest.approx(0.7, abs=0.01)
    assert torch.equal(head.out.weight[1], before), "mass was never aimed at"


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_uncertain_as_a_class_is_cross_entropy_over_three_and_predicts_without_it(weights):
    torch.manual_seed(0)
    head = KnownMultiLabel({"pooled": 5}, FINDINGS, uncertain="class", label_weights=weights)
    torch.nn.init.normal_(head.maybe.weight)
    pooled = torch.randn(6, 5)
    given = [
        Findings(("edema",)), Findings((), (), {}, ("edema",)), Findings(("mass",), ("edema",)), Findings(()),
        Findings((), (), {}, ("edema", "mass")), Findings(("edema", "mass")),
    ]  # fmt: skip
    head.settle(given)
    (found,) = head.loss({"pooled": pooled}, given).values()
    logits = torch.stack([torch.zeros(6, 2), head.out(pooled), head.maybe(pooled)], dim=2)  # [B, K, no | yes | uncertain]
    losses, count = 0.0, 0
    for row, target in enumerate(given):
        for at, label in enumerate(LABELS):
            if label in target.unknown - target.third:
                continue
            truth = 2 if label in target.third else int(label in target)
            weight = head.positive_weight[at] if truth == 1 else 1.0
            losses += weight * functional.cross_entropy(logits[row, at][None], torch.tensor([truth]))
            count += 1
    assert count == 11
    torch.testing.assert_close(found, losses / count)
    said = head.predict({"pooled": pooled})[0].probabilities["edema"]
    no, yes, _ = logits[0, 0].detach().softmax(dim=0).tolist()
    assert said == pytest.approx(yes / (yes + no), abs=1e-6)


def test_batches_add_up_whatever_is_aimed_at():
    torch.manual_seed(1)
    given = [
        Findings(("edema",), (), {"mass": 0.6}), Findings((), ("edema",)), Findings((), (), {"edema": 0.2}, ()),
        Findings(("mass",), (), {}, ()),
    ]  # fmt: skip
    for options in ({}, {"loss": "focal"}, {"uncertain": "class"}):
        head = KnownMultiLabel({"pooled": 5}, FINDINGS, **options)
        head.settle(given)
        pooled = torch.randn(4, 5)
        (whole,) = head.loss({"pooled": pooled}, given).values()
        halves = [next(iter(head.loss({"pooled": pooled[at : at + 2]}, given[at : at + 2]).values())) for at in (0, 2)]
        torch.testing.assert_close(whole, sum(halves) / 2)
        assert torch.isfinite(whole) and whole > 0


def test_what_contradicts_itself_is_refused(tmp_path):
    path = table(tmp_path)
    with pytest.raises(UsageError, match="'guess' is none of ignore, zeros, ones, smooth, multiclass, teacher"):
        targets(path, "guess")
    with pytest.raises(UsageError, match="draws no probabilities"):
        targets(path, "smooth(0.9, 0.1)")
    with pytest.raises(UsageError, match=r"wants data\.teacher"):
        targets(path, "teacher")
    head = KnownMultiLabel({"pooled": 5}, FINDINGS)
    with pytest.raises(UsageError, match="uncertain: class"):
        head.settle([one for one in targets(path, "multiclass") if one is not None])
    with pytest.raises(UsageError, match="exclude each other"):
        KnownMultiLabel({"pooled": 5}, FINDINGS, uncertain="class", loss="focal")
    (tmp_path / "participants.tsv").write_text("participant_id\tedema\nsub-1\t-1\n")
    with pytest.raises(UsageError, match="a teacher is asked by file"):
        Volumes(path=str(tmp_path), group="participant_id", labels=["edema"], uncertain="teacher").examples()
    (tmp_path / "said.csv").write_text("id,p:edema\nscan-0,0.5\n")
    with pytest.raises(DataError, match=r":3: data.teacher says nothing of 'edema' of scan-"):
        targets(path, {"edema": "teacher", "mass": "ignore"}, teacher=str(tmp_path / "said.csv"))
    (tmp_path / "said.csv").write_text("id,p:edema\nscan-0,yes\n")
    with pytest.raises(DataError, match="where a probability is read"):
        targets(path, {"edema": "teacher", "mass": "ignore"}, teacher=str(tmp_path / "said.csv"))


def test_a_teacher_is_asked_of_volumes_too(tmp_path):
    for name in ("a", "b"):
        values = np.random.default_rng(ord(name)).random((8, 7, 6)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii")
    (tmp_path / "t.csv").write_text("path,edema\na.nii,-1\nb.nii,1\n")
    options: dict[str, Any] = {"path": str(tmp_path / "t.csv"), "group": "none", "labels": ["edema"]}
    ids = [example.id for example in Volumes(**options, uncertain="ignore").examples()]
    (tmp_path / "said.csv").write_text(f"id,p:edema\n{ids[0]},0.25\n{ids[1]},0.75\n")
    taught = Volumes(**options, uncertain="teacher", teacher=str(tmp_path / "said.csv")).examples()
    assert [example.target.soft for example in taught] == [{"edema": 0.25}, {}]


def test_a_run_teaches_the_next_what_is_uncertain(tmp_path):
    """Edema is brightness: the teacher, who learns from the certain, tells the uncertain ones by it."""
    rows = []
    for number in range(60):
        bright = number % 2
        pixels = np.random.default_rng(number).integers(0, 80, (32, 32)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"a{number}.png")
        rows.append(f"a{number}.png,{number},{-1 if number % 6 in (2, 3) else bright},{int(number % 3 == 0)}")
    (tmp_path / "t.csv").write_text("path,who,edema,mass\n" + "\n".join(rows) + "\n")
    options = {"path": str(tmp_path / "t.csv"), "group": "who", "labels": list(LABELS), "uncertain": "ignore"}
    given = Recipe(
        Part("healthcare/images", options), Part("vision/efficientnet-lite0", {"size": 32}), head=Part("healthcare/multilabel"),
        strategy=Part("probe", {"epochs": 40}), split=SplitPlan(test=0.2, val=0.2), baselines="none",
    )  # fmt: skip
    run = fit(given, tmp_path / "runs", quiet=True, report=False)
    unknown = json.loads((run.folder / "data.json").read_text())["unknown"]
    parts = json.loads((run.folder / "split.json").read_text())
    assert sum(part["edema"] for part in unknown.values()) == 20 and all(set(part) <= {"edema"} for part in unknown.values())
    assert all(len(parts[name]) > part["edema"] for name, part in unknown.items())
    done = CliRunner().invoke(cli, ["predict", str(run.folder), str(tmp_path / "t.csv"), "-o", str(tmp_path / "said.csv")])
    assert done.exit_code == 0, done.output
    found = targets(tmp_path / "t.csv", {"edema": "teacher"}, teacher=str(tmp_path / "said.csv"))
    soft = {number: one.soft["edema"] for number, one in enumerate(found) if "edema" in one.soft}
    assert list(soft) == [number for number in range(60) if number % 6 in (2, 3)]
    is_bright = np.array([number % 2 for number in soft])
    assert area(is_bright, np.array(list(soft.values()))).value > 0.95, "it tells them by what it learnt from the others"
