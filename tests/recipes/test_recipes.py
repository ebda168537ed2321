"""Every recipe of the repository says what it is, passes the static check, and one runs through the real command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headstart.recipe_file import check_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
SIZES = {"train": 60, "val": 40, "test": 80}
FILES = ("recipe.yaml", "recipe.lock.yaml", "predictions.parquet", "metrics.json", "metrics.jsonl", "ledger.json", "split.json")
FILES += ("data.json", "events.jsonl", "train.log", "env.json", "report.html", "model/manifest.json")


def opening(recipe: Path) -> str:
    """The comment that a recipe begins with, without its marks."""
    lines = []
    for line in recipe.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines)


def test_there_are_recipes():
    assert {path.relative_to(ROOT / "recipes").as_posix() for path in RECIPES} >= {
        "nlp/sentiment.yaml",
        "nlp/sentiment-probe.yaml",
        "nlp/sentiment-gradual.yaml",
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_passes_the_static_check(recipe):
    assert [str(problem) for problem in check_recipe(recipe)] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_opens_with_its_command_its_time_and_what_to_expect(recipe):
    said = opening(recipe)
    assert f"headstart run {recipe.relative_to(ROOT).as_posix()}" in said
    assert re.search(r"\d+ (s|seconds?|min|minutes?)\b", said), "its time"
    assert re.search(r"\b0\.\d{2}", said), "what to expect: a score"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_holds_nothing_but_what_differs_from_the_defaults(recipe):
    """STYLE 21: a default that is written down hides what matters, and goes stale."""
    from headstart.options import describe
    from headstart.plans import PLANS, plan_options
    from headstart.plugins import registry
    from headstart.recipe import Recipe

    loaded = Recipe.load(recipe)
    repeated = []
    for kind in ("data", "backbone", "head", "strategy"):
        part = getattr(loaded, kind)
        defaults = {option.name: option.default for option in describe(registry().find(kind, part.use)).options}
        repeated += [f"{kind}.{name}" for name, value in part.options.items() if value == defaults[name]]
    given = given_keys(recipe)
    for section in PLANS:
        plan = getattr(loaded, section)
        defaults = {option.name: option.default for option in plan_options(section)}
        repeated += [f"{section}.{name}" for name in given.get(section, ()) if getattr(plan, name) == defaults[name]]
    assert repeated == []


def given_keys(recipe: Path) -> dict[str, list[str]]:
    """Section -> the keys that stand in the file."""
    from headstart.located import read_document

    data = read_document(recipe).data
    return {section: list(value) for section, value in data.items() if isinstance(value, dict)}


@pytest.fixture(scope="module")
def finished(demo_packages, headstart, tmp_path_factory):
    """sentiment-probe on few examples, run by its command; the run's folder and what was printed."""
    out = tmp_path_factory.mktemp("runs")
    sizes = [f"--set=split.{name}={size}" for name, size in SIZES.items()]
    done = headstart(
        "run",
        "recipes/nlp/sentiment-probe.yaml",
        *sizes,
        "--set",
        "strategy.epochs=5",
        "--set",
        "train.store=memory",
        "--out",
        out,
    )
    assert done.returncode == 0, done.stderr
    return (out / "latest").resolve(), done


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_a_run_leaves_every_file_of_a_run_and_no_pickle(finished):
    folder, _ = finished
    assert [name for name in FILES if not (folder / name).is_file()] == []
    assert [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".bin", ".tmp")] == []


def test_the_probe_makes_exactly_one_pass_of_the_encoder_over_each_split(finished):
    folder, _ = finished
    ledger = read(folder, "ledger.json")
    assert set(ledger["executions"].values()) == {sum(SIZES.values()) + 3}, "each text once, and 3 to measure what a pass costs"
    assert ledger["phases"][0]["epochs"] == 5, "the pass is not one because there was one epoch"
    assert [phase["stored"] for phase in ledger["phases"]] == [["pooled"]]


def test_the_ledger_proves_that_nothing_but_the_head_moved(finished):
    phase = read(finished[0], "ledger.json")["phases"][0]
    assert phase["frozen"]["identical"] is True
    assert phase["frozen"]["tensors"] > 100
    assert (phase["trainable"]["tensors"], phase["trainable"]["unmoved"]) == (2, [])
    assert {stage for stage, drift in phase["drift"].items() if drift} == {"head"}


def test_predictions_hold_the_run_and_its_baselines_on_the_same_examples(finished):
    folder, _ = finished
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    tested = {model: [row["id"] for row in rows if (row["model"], row["split"]) == (model, "test")] for model in MODELS}
    assert [len(ids) for ids in tested.values()] == [80, 80, 80]
    assert (
        set(tested["run"])
        == set(tested["majority"])
        == set(tested["tfidf-logistic"])
        == set(read(folder, "split.json")["test"])
    )
    assert {row["target"] for row in rows} == {"negative", "positive"}
    assert all(abs(row["p:negative"] + row["p:positive"] - 1) < 1e-5 for row in rows if row["model"] == "run")


MODELS = ("run", "majority", "tfidf-logistic")


def test_metrics_are_those_of_the_saved_predictions(finished):
    folder, _ = finished
    metrics = read(folder, "metrics.json")
    assert metrics["n"] == SIZES
    assert set(metrics["differences"]) == set(metrics["baselines"]) == {"majority", "tfidf-logistic"}
    rows = [row for row in pq.read_table(folder / "predictions.parquet").to_pylist() if row["split"] == "test"]
    for model in MODELS:
        scores = metrics["test"] if model == "run" else metrics["baselines"][model]
        right = [row["target"] == row["prediction"] for row in rows if row["model"] == model]
        assert scores["accuracy"]["value"] == pytest.approx(sum(right) / 80)
        assert scores["accuracy"]["low"] <= scores["accuracy"]["value"] <= scores["accuracy"]["high"]
    assert metrics["test"][metrics["selected_by"]]["n"] == 80


def test_the_summary_names_score_baselines_and_a_next_command_that_works(finished, headstart, tmp_path):
    folder, done = finished
    assert f"report  {folder / 'report.html'}" in done.stdout
    assert "baseline tfidf-logistic: accuracy" in done.stdout
    command = shlex.split(next(line for line in done.stdout.splitlines() if line.startswith("next")))[2:]
    new = tmp_path / "new.txt"
    new.write_text("A warm and funny film.\nDull from end to end.\n", encoding="utf-8")
    written = tmp_path / "labelled.csv"
    done = headstart(
        *(str(new) if part == "NEW_FILE" else str(written) if part == "labelled.csv" else part for part in command)
    )
    assert done.returncode == 0, done.stderr
    assert written.read_text(encoding="utf-8").count("\n") == 3


def test_progress_goes_to_stderr_and_results_to_stdout(finished):
    _, done = finished
    assert "head 5/5" in done.stderr
    assert "head 5/5" not in done.stdout
    assert done.stdout.startswith("test (n=80)")


def test_a_missed_quality_gate_exits_5(finished, headstart, tmp_path):
    sizes = ["--set=split.train=20", "--set=split.val=20", "--set=split.test=20", "--set=strategy.epochs=1"]
    done = headstart("run", "recipes/nlp/sentiment-probe.yaml", *sizes, "--out", tmp_path, "--fail-under", "0.999", "--json")
    assert done.returncode == 5, done.stderr
    assert "under --fail-under 0.999" in done.stderr
    assert json.loads(done.stdout)["n"]["test"] == 20
