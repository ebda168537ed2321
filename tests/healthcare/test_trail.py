"""The audit trail: what a clinical run did hangs together, and any later change is found."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.cli.main import cli
from headstart.errors import HeadstartError
from headstart.recipe import Part, Recipe, SplitPlan
from headstart_healthcare.privacy.pseudonyms import VARIABLE
from headstart_healthcare.report.datasheet import datasheet
from headstart_healthcare.trail.chain import FILE, append, breaks, linked, read
from headstart_healthcare.trail.keeping import Trail, faults_of, seal_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a generated file of MedMNIST's layout."""
    root = tmp_path_factory.mktemp("trail")
    rng, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 32), ("val", 24), ("test", 24)):
        labels = np.arange(count) % 2
        images = rng.integers(0, 90, (count, 28, 28)) + labels[:, None, None] * 120
        arrays |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels[:, None].astype(np.uint8)}
    np.savez(root / "set.npz", **arrays)
    data = Part("healthcare/medmnist", {"path": str(root / "set.npz"), "set": "pneumoniamnist", "group": "none"})
    network = Part("vision/efficientnet-lite0", {"size": 32, "weights": "none"})
    return Recipe(data, network, strategy=Part("probe", {"epochs": 1}), baselines="none").run(root / "runs").folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(finished, tmp_path / finished.name))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pictures in folders, which predicts others."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(110):
        label = ("well", "sick")[number % 2]
        (root / "data" / label).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 90, (28, 28)) + 120 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(root / "data" / label / f"{number}.png")
    data = Part("healthcare/images", {"path": str(root / "data"), "group": "none", "positive": "sick"})
    network = Part("vision/efficientnet-lite0", {"size": 32, "weights": "none"})
    plan = SplitPlan(val=0.25, test=0.2)
    given = Recipe(data, network, strategy=Part("probe", {"epochs": 1}), split=plan, baselines="none")
    return given.run(root / "runs").folder


@pytest.fixture
def clinic(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def verified(run: Path) -> tuple[int, str]:
    """Exit code of the command and what it says."""
    done = CliRunner().invoke(cli, ["audit", "verify", str(run)])
    if isinstance(done.exception, HeadstartError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_a_run_tells_what_decided_its_model_and_is_verified(run):
    entries = read(run / FILE)
    events = [entry["event"] for entry in entries]
    assert events[0] == "start" and events[-2:] == ["end", "seal"]
    assert {"data", "split", "result"} <= set(events)
    settled = json.loads((run / "model/evaluations.json").read_text())["healthcare/clinical"]["questions"]
    assert entries[-2]["thresholds"] == {label: one["threshold"] for label, one in settled.items()}
    assert {"predictions.parquet", "model/manifest.json", "metrics.json"} <= set(entries[-2]["files"])
    code, said = verified(run)
    assert code == 0 and entries[-1]["hash"] in said
    shown = CliRunner().invoke(cli, ["audit", "show", str(run)])
    assert len(shown.output.splitlines()) == len(entries)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.parquet", "model/evaluations.json"])
def test_a_file_that_was_changed_is_named(run, name):
    with (run / name).open("ab") as file:
        file.write(b" ")
    code, said = verified(run)
    assert code == 3 and f"{name} is" in said


def test_a_report_may_be_written_again(run):
    (run / "report.html").write_text("again")
    assert faults_of(run) == []


def test_a_line_that_was_changed_left_out_or_cut_off_is_found(run):
    lines = (run / FILE).read_text().splitlines()
    for changed, words in (
        ([lines[0].replace("probe", "other"), *lines[1:]], "line 1 (start) was changed"),
        ([*lines[:1], *lines[2:]], "line 2 does not follow"),
        (lines[:-2], "has no end"),
        ([*lines[:-1], "{"], "changed or cut off"),
    ):
        (run / FILE).write_text("\n".join(changed) + "\n")
        code, said = verified(run)
        assert code == 3 and words in said, words


def test_a_trail_that_was_written_anew_lacks_the_seal(run, tmp_path, monkeypatch):
    """Whoever changes a line can link all lines anew, but cannot make the seal without the project's key."""
    entries = [{k: v for k, v in one.items() if k not in ("before", "hash", "number")} for one in read(run / FILE)]
    entries[0]["strategy"] = "other"
    (run / FILE).write_text("".join(json.dumps(one) + "\n" for one in linked(entries)))
    assert breaks(read(run / FILE)) == []
    assert "the seal was not made with this project's key" in verified(run)[1]
    before = seal_of("a")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other.key"))
    assert seal_of("a") != before


def test_a_run_that_goes_on_elsewhere_continues_its_trail_and_others_have_none(tmp_path):
    append(tmp_path / FILE, [{"event": "start"}, {"event": "stopped"}])
    trail, time = Trail(), "2026-01-01"
    trail({"event": "resumed", "time": time, "phase": "head", "epoch": 2, "step": 7})
    trail({"event": "end", "time": time, "folder": str(tmp_path)})
    entries = read(tmp_path / FILE)
    assert [entry["event"] for entry in entries] == ["start", "stopped", "resumed", "end", "seal"]
    assert breaks(entries) == []
    plain = tmp_path / "plain"
    plain.mkdir()
    trail({"event": "start", "time": time, "folder": str(plain), "backbone": "b", "strategy": "s"})
    trail({"event": "data", "time": time})
    trail({"event": "end", "time": time, "folder": str(plain)})
    assert not (plain / FILE).exists()
    code, said = verified(plain)
    assert code == 3 and "only runs on clinical data have one" in said


def asked(run: Path, folder: Path) -> list[dict]:
    """Predictions for three pictures, as the command writes them."""
    folder.mkdir()
    for name, grey in (("DOE_JANE", 40), ("ROE_RICHARD", 200)):
        Image.fromarray(np.random.default_rng(grey).integers(grey, grey + 40, (28, 28)).astype(np.uint8)).save(
            folder / f"{name}.png"
        )
    Image.fromarray(np.full((28, 28, 3), (250, 0, 0), np.uint8)).save(folder / "colour.png")
    done = CliRunner().invoke(cli, ["predict", str(run), str(folder), "-o", str(folder / "said.jsonl")])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]


def test_every_answer_stands_in_the_trail_with_model_decision_and_reason(clinic, tmp_path):
    before = read(clinic / FILE)
    said = {row["id"]: row for row in asked(clinic, tmp_path / "new")}
    entries = read(clinic / FILE)[len(before) :]
    assert [entry["event"] for entry in entries] == ["predict", "answer", "answer", "answer", "seal"]
    model = sha256((clinic / "model/manifest.json").read_bytes()).hexdigest()
    for entry in entries[1:-1]:
        row = said.pop(entry["id"])
        assert entry["model"] == model and entry["answer"] == row["prediction"]
        assert entry["probabilities"]["sick"] == pytest.approx(row["p:sick"], abs=1e-4)
        assert entry["abstains"] == ("abstain" in row) and "; ".join(entry["reasons"]) == row.get("abstain", "")
    assert said == {} and any(entry.get("abstains") for entry in entries) and entries[0]["who"].startswith("user-")
    text = (clinic / FILE).read_text()
    assert not any(name in text for name in ("DOE", "ROE", "colour.png", str(tmp_path)))
    code, words = verified(clinic)
    assert code == 0 and "1 calls of predict since then, 3 answers" in words


def test_an_answer_that_was_changed_or_taken_out_is_found(clinic, tmp_path):
    asked(clinic, tmp_path / "new")
    lines = (clinic / FILE).read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if '"event": "answer"' in line)
    other = json.dumps({**json.loads(lines[at]), "answer": "well" if '"answer": "sick"' in lines[at] else "sick"})
    for changed, words in (
        ([*lines[:at], other, *lines[at + 1 :]], "(answer) was changed"),
        ([*lines[:at], *lines[at + 1 :]], "does not follow"),
        (lines[:-1], "has no end"),
    ):
        (clinic / FILE).write_text("\n".join(changed) + "\n")
        code, said = verified(clinic)
        assert code == 3 and words in said, words


def test_answers_are_given_where_the_trail_cannot_be_written_and_that_is_said(clinic, tmp_path, caplog):
    (clinic / FILE).write_text((clinic / FILE).read_text() + "{half a li")
    assert len(asked(clinic, tmp_path / "new")) == 3
    assert "3 answers could not be written into the audit trail" in caplog.text


def test_two_that_write_at_once_keep_one_chain(tmp_path):
    def write(name: int) -> None:
        for _ in range(20):
            append(tmp_path / FILE, [{"event": f"by {name}", "words": "w" * 5000}], seal=seal_of)

    threads = [Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path / FILE)) == 120 and breaks(read(tmp_path / FILE)) == []


def test_the_datasheet_tells_what_the_run_knows_of_its_data_and_leaves_the_rest_to_the_author(clinic):
    text = (clinic / "datasheet.md").read_text(encoding="utf-8")
    counts = json.loads((clinic / "data.json").read_text())["counts"]
    assert "Research use only" in text and text.count("for the author") >= 5
    for label in ("sick", "well"):
        assert f"|{label}|" + "|".join(str(counts[part][label]) for part in ("train", "val", "test")) + "|\n" in text
    assert "files listed 110, read 110, labelled 110" in text and "no patient is known" in text
    entries = read(clinic / FILE)
    assert "datasheet.md" in next(entry for entry in entries if entry["event"] == "end")["files"]


def test_a_datasheet_counts_what_was_set_aside_and_what_nobody_knows():
    flow = {"listed": 9, "read": 7, "labelled": 6, "patients": 4, "excluded": {"truncated": 2}}
    facts = {"research_only": True, "flow": flow, "spacing": {"patient": 7}}
    told = {
        "facts": facts,
        "counts": {"train": {"edema": 2, "mass": 1}, "test": {"mass": 4}},
        "unknown": {"train": {"edema": 3}, "test": {}},
        "groups": {"train": 3, "test": 1},
        "audit": {"found": [], "policy": "error"},
    }
    text = datasheet(told)
    assert "|label|train|test|not known in train|not known in test|" in text
    assert "|edema|2|0|3|0|" in text and "|mass|1|4|0|0|" in text
    assert "set aside, the file ends before its pixels do: 2" in text and "patients in train: 3" in text
