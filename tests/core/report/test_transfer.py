"""The figure "transfer against training from scratch": the right numbers over the right work, and honest words."""

from __future__ import annotations

import json

import pytest

from headstart.report.evidence import Evidence
from headstart.report.figures_transfer import operations, transfer
from headstart.report.figures_verdict import sentence
from headstart.report.page import write_report
from headstart.run_files import RunFiles


@pytest.fixture
def compared(run_folder):
    """A run folder with a baseline "scratch": `compared(bound)`; every step of the run costs 10, every one of scratch 100."""

    def compared(bound: str = "work"):
        folder = run_folder("binary")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        phases = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))["phases"]
        works = [
            {"name": p["name"], "start_step": p["start_step"], "steps": p["steps"], "once": 1000 if i == 0 else 0, "step": 10.0}
            for i, p in enumerate(phases)
        ]
        curve = [{"flops": 100 * at, "value": 0.5 + at / 200} for at in (5, 10, 15, 20)]
        scratch = {"flops": 2000, "steps": 20, "passes": 0.4, "seconds": 3.0, "bound": bound, "curve": curve}
        metrics["transfer"] = {"fold": None, "run": {"flops": 3640, "seconds": 2.0, "phases": works}, "scratch": scratch}
        metrics["baselines"]["scratch"] = metrics["baselines"]["majority"]
        metrics["differences"]["scratch"] = metrics["differences"]["majority"]
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        return folder

    return compared


def test_the_runs_curve_begins_after_its_frozen_pass_and_ends_at_all_its_work(compared) -> None:
    figure = transfer(Evidence(RunFiles(compared())))
    ours = [row["operations"] for row in figure.rows if row["model"] == "this run"]
    assert ours[0] == 1000 + 24 * 10  # the fixture's epochs have 24 steps
    assert ours[-1] == 1000 + (3 + 4 * 2) * 24 * 10 == 3640
    assert ours == sorted(ours)
    assert [row["operations"] for row in figure.rows if row["model"] == "random weights"] == [500, 1000, 1500, 2000]


@pytest.mark.parametrize(
    ("bound", "words"), [("work", "Both took the same"), ("least", "took more"), ("time", "took less computation than the run")]
)
def test_the_sentence_says_who_had_how_much_and_when_the_run_had_reached_it(compared, bound, words) -> None:
    said = transfer(Evidence(RunFiles(compared(bound)))).sentence
    assert words in said
    assert "3.64e+03 FLOP" in said or "3640 FLOP" in said
    assert "20 steps or 0.4 passes" in said
    assert "Random weights came to a validation accuracy of 0.600 after 2e+03 FLOP" in said
    assert "the run had it after 1.24e+03 FLOP" in said


def test_the_page_has_the_figure_and_the_verdict_asks_whether_transfer_helped(compared) -> None:
    folder = compared()
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Transfer against training from scratch" in page
    assert (folder / "figures" / "transfer.csv").exists()
    assert "Did transfer help? Better than the same network from random weights by" in sentence(Evidence(RunFiles(folder)))


def test_without_the_baseline_there_is_neither(run_folder) -> None:
    evidence = Evidence(RunFiles(run_folder("binary")))
    assert transfer(evidence) is None
    assert "Did transfer help" not in sentence(evidence)


@pytest.mark.parametrize(("flops", "text"), [(3.21e12, "3.21 TFLOP"), (5e8, "500 MFLOP"), (7.0, "7 FLOP")])
def test_operations_have_their_unit(flops, text) -> None:
    assert operations(flops) == text
