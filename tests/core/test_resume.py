"""A run that is killed anywhere goes on to the same weights, scores and predictions, to the bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parent))
from resuming import KILLED, Children, differing, results

SITES = {
    "prepare": 1,
    "store.half": 1,
    "phase": 3,  # between two phases: the next stage is about to be thawed
    "backward": 9,
    "ema": 12,
    "validate": 3,
    "epoch": 3,
    "checkpoint.half": 3,
    "checkpoint.manifest.half": 3,
    "checkpoint.rename": 3,
    "evaluate": 1,
    "save": 1,
}
FURTHER = {
    "store.replace": 2,
    "store.fsync": 1,
    "forward": 14,
    "step": 10,
    "stepped": 11,
    "best": 2,
    "checkpoint.begin": 2,
    "checkpoint.open": 3,
    "checkpoint.fsync": 2,
    "checkpoint.replace": 4,
    "checkpoint.facts.half": 3,
    "checkpoint.remove": 2,
    "round": 1,
    "saved": 1,
    "metrics": 1,
    "report": 1,
    "end": 1,
}


@pytest.mark.parametrize("site", SITES)
def test_a_run_killed_at_a_site_ends_as_if_nothing_had_been(children: Children, undisturbed: Path, site: str) -> None:
    kill_and_resume(children, undisturbed, site, SITES[site])


@pytest.mark.slow  # two processes for each of 17 further sites
@pytest.mark.parametrize("site", FURTHER)
def test_a_run_killed_at_any_other_site_ends_the_same(children: Children, undisturbed: Path, site: str) -> None:
    kill_and_resume(children, undisturbed, site, FURTHER[site])


def kill_and_resume(children: Children, undisturbed: Path, site: str, number: int) -> None:
    code, folder = children.run(f"killed-{site}", fault=f"{site}:{number}")
    assert code == KILLED, f"{site} was passed less than {number} times"
    assert children.resume(folder) == 0, children.log
    assert differing(undisturbed, folder) == []


def test_a_run_killed_again_and_again_while_it_goes_on_ends_the_same(children: Children, undisturbed: Path) -> None:
    code, folder = children.run("often", fault="step:6")
    assert code == KILLED
    for fault in ("restore:1", "step:2", "checkpoint.half:1", "report:1"):
        assert children.resume(folder, fault=fault) == KILLED, (fault, children.log)
    assert children.resume(folder) == 0, children.log
    assert differing(undisturbed, folder) == []


@pytest.mark.parametrize("workers", [0, 3])
def test_a_run_goes_on_with_another_number_of_workers(children: Children, undisturbed: Path, workers: int) -> None:
    code, folder = children.run(f"workers-{workers}", fault="step:15")
    assert code == KILLED
    assert children.resume(folder, f"train.workers={workers}") == 0, children.log
    assert differing(undisturbed, folder) == []


def test_an_unfrozen_backbone_stays_unfrozen_when_the_run_goes_on(children: Children, undisturbed: Path) -> None:
    code, folder = children.run("thawed", fault="step:20")
    assert code == KILLED
    saved = max(path for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    facts = json.loads((saved / "state.json").read_text())
    assert facts["passage"]["phase"].startswith("thaw")  # it was killed in a phase in which the backbone trains
    assert children.resume(folder) == 0, children.log
    phases = results(folder)["ledger"]["phases"]
    assert all(not phase["trainable"]["unmoved"] for phase in phases)
    assert phases == results(undisturbed)["ledger"]["phases"]


def test_a_few_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    from soak_kill import soak

    found = soak(4, 0, tmp_path)
    assert (found["kills"], found["lost"], found["mismatches"]) == (4, 0, 0)


@pytest.mark.slow  # 30 kills take a minute and more
def test_thirty_kills_at_random_times_lose_nothing(tmp_path: Path) -> None:
    from soak_kill import soak

    found = soak(30, 1, tmp_path)
    assert (found["kills"], found["lost"], found["mismatches"]) == (30, 0, 0)
