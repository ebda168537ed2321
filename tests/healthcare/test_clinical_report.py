"""The clinical section: drawn from metrics.json, adds up to 100 patients, shows no hidden subgroup, breaks no report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.report.evidence import Evidence
from headstart.report.figure import Figure
from headstart.report.page import write_report
from headstart.run_files import RunFiles
from headstart_healthcare.clinical.evaluation import Clinical
from headstart_healthcare.report.page import NAME, figures

TARGET = Target("class", ("normal", "pneumonia"), positive="pneumonia")


def _outcome(split: str, n: int, seed: int, women: int) -> Outcome:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, n)
    sick = rng.random(n) < 1 / (1 + np.exp(-x))
    examples = [
        Example(
            f"{split}{i}", None, "pneumonia" if sick[i] else "normal", meta={"subgroups": {"sex": "F" if i < women else "M"}}
        )
        for i in range(n)
    ]
    said = [float(1 / (1 + np.exp(-value))) for value in x]
    predictions = [Prediction("pneumonia" if p > 0.5 else "normal", {"normal": 1 - p, "pneumonia": p}) for p in said]
    return Outcome("run", split, examples, predictions)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with nothing but clinical figures; 12 women, too few to be shown."""
    clinical = Clinical()
    settled = clinical.settle(_outcome("val", 300, 0, 100), TARGET)
    measured = clinical.measure(_outcome("test", 300, 1, 12), TARGET, settled)
    made = tmp_path_factory.mktemp("run")
    metrics: dict[str, Any] = {"evaluations": {NAME: {"test": measured}}, "target": {"kind": "class", "labels": TARGET.labels}}
    (made / "metrics.json").write_text(json.dumps(metrics))
    return made


@pytest.fixture(scope="module")
def drawn(folder: Path) -> dict[str, Figure]:
    return {figure.name.partition("-pneumonia")[0]: figure for figure in figures(Evidence(RunFiles(folder)))}


def test_every_figure_of_the_first_page_is_there(drawn: dict[str, Figure]) -> None:
    first = ["patients", "clinical", "calibration", "net-benefit", "risk-coverage", "subgroups"]
    assert list(drawn) == [*first, "sets", "checklist"]


def test_surer_answers_and_the_sets_of_labels_are_told(drawn: dict[str, Figure], folder: Path) -> None:
    measured = json.loads((folder / "metrics.json").read_text())["evaluations"][NAME]["test"]
    points = measured["questions"]["pneumonia"]["risk_coverage"]["points"]
    assert f"of the surer half {100 * points[0]['wrong']:.1f} %" in drawn["risk-coverage"].sentence
    assert points[0]["wrong"] < points[-1]["wrong"]
    assert {row["label"] for row in drawn["sets"].rows} == {"normal", "pneumonia"}
    assert "at least 90 %" in drawn["sets"].sentence and "one label:" in drawn["sets"].sentence


def test_the_dots_are_a_hundred_and_agree_with_the_counts(drawn: dict[str, Figure]) -> None:
    (counts,) = drawn["patients"].rows
    assert sum(counts.values()) == 100
    (chart,) = drawn["patients"].charts
    dots = [row["outcome"] for data in chart["datasets"].values() for row in data]
    assert {name: dots.count(name) for name in counts} == dict(counts)


def test_a_small_subgroup_is_named_without_a_figure(drawn: dict[str, Figure]) -> None:
    women = next(row for row in drawn["subgroups"].rows if row["subgroup"] == "sex: F")
    assert set(women) == {"subgroup", "n"} and women["n"] == "not shown"
    assert "sex: F" in drawn["subgroups"].sentence


def test_intervals_hold_their_values(drawn: dict[str, Figure]) -> None:
    assert [row["measure"] for row in drawn["clinical"].rows][:2] == ["AUROC", "AUPRC"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in drawn["clinical"].rows)


def test_the_page_holds_the_section(folder: Path) -> None:
    text = write_report(folder).read_text()
    assert "For the clinical reader" in text and "In 100 patients like these" in text


def test_a_section_that_fails_is_said_in_its_place(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "metrics.json"
    broken.write_text(
        json.dumps({"evaluations": {NAME: {"test": {"questions": {"pneumonia": {"at_threshold": {"tp": "x"}}}}}}})
    )
    assert "could not be drawn" in write_report(tmp_path).read_text()


def test_runs_without_clinical_figures_have_no_section(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert "For the clinical reader" not in write_report(tmp_path).read_text()


def test_the_checklist_fills_in_what_the_run_knows_and_names_the_rest(drawn: dict[str, Figure]) -> None:
    rows = {row["item"]: row for row in drawn["checklist"].rows}
    assert rows["discrimination with intervals"]["state"] == "filled in"
    assert rows["discrimination with intervals"]["here"].startswith("pneumonia: AUROC 0.")
    assert rows["subgroups"]["here"] == "pneumonia: sex"
    assert rows["test elsewhere"] == {
        "item": "test elsewhere", "asked by": "TRIPOD+AI, CLAIM", "state": "not done in this run", "here": "",
    }  # fmt: skip
    author = [row["item"] for row in rows.values() if row["state"] == "for the author"]
    assert "intended use, users and population" in author and all(item in drawn["checklist"].sentence for item in author)
    assert not any(row["here"] for row in rows.values() if row["state"] != "filled in")


def test_runs_without_the_clinical_evaluation_have_no_checklist(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    assert figures(Evidence(RunFiles(tmp_path))) == []
