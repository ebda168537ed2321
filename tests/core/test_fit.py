"""Whole runs on the tiny parts: the folder is complete, plain and repeatable, and what cannot be run leaves nothing."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.errors import DataError, MissingError, TrainingError, UsageError
from headstart.fit import fit, naming_the_log
from headstart.predictions import read_predictions
from headstart.recipe import Part, Recipe
from headstart.run import Run

GRADUAL = {"use": "gradual", "head_epochs": 2, "step": 1}
FILES = {
    "recipe.yaml", "recipe.lock.yaml", "model", "predictions.parquet", "metrics.json", "metrics.jsonl", "ledger.json",
    "split.json", "data.json", "events.jsonl", "train.log", "env.json", "report.html", "figures",
}  # fmt: skip


def lines(run: Run, name: str) -> list[dict[str, Any]]:
    return [strict(line) for line in (run.folder / name).read_text(encoding="utf-8").splitlines()]


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def run(tiny_for_module: Any, make_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A gradual run with its report."""
    folder = tmp_path_factory.mktemp("gradual")
    return fit(make_recipe(folder, groups=12, strategy=GRADUAL), folder / "runs")


def test_the_folder_holds_every_file_of_the_contract_and_only_plain_ones(run: Run) -> None:
    assert {path.name for path in run.folder.iterdir()} == FILES
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pt", ".pth", ".pkl", ".bin", ".joblib", ".tmp", ".partial")]
    pickled = re.compile(rb"\x80[\x02-\x05](?:\x95|[\x8c}\]c(])")  # protocol 2 to 5 and what usually follows
    assert not [path for path in files if pickled.match(path.read_bytes()[:3])]
    for path in files:
        if path.suffix == ".json":
            strict(path.read_text(encoding="utf-8"))
    assert lines(run, "metrics.jsonl")


def test_metrics_have_the_form_of_the_contract(run: Run) -> None:
    metrics = run.metrics
    assert metrics["target"] == {"kind": "class", "labels": ["bad", "good"], "positive": None}
    assert metrics["selected_by"] == "accuracy"
    assert sum(metrics["n"].values()) == 64
    assert metrics["test"]["accuracy"].keys() == {"value", "low", "high", "n", "method"}
    assert "groups" in metrics["test"]["accuracy"]["method"]
    assert metrics["baselines"].keys() == metrics["differences"].keys() == {"majority", "tfidf-logistic"}
    difference = metrics["differences"]["majority"]["accuracy"]["value"]
    assert difference == pytest.approx(
        metrics["test"]["accuracy"]["value"] - metrics["baselines"]["majority"]["accuracy"]["value"]
    )
    assert metrics["folds"] == []


def test_epochs_and_phases_are_told_alike_by_ledger_events_and_metrics(run: Run) -> None:
    ledger, epochs, events = (
        strict((run.folder / "ledger.json").read_text()),
        lines(run, "metrics.jsonl"),
        lines(run, "events.jsonl"),
    )
    assert ledger["stages"] == ["embedding", "block.1", "block.2", "head"]
    assert [phase["name"] for phase in ledger["phases"]] == list(dict.fromkeys(epoch["phase"] for epoch in epochs))
    assert ledger["total_steps"] == epochs[-1]["step"] == sum(phase["steps"] for phase in ledger["phases"])
    assert next(event for event in events if event["event"] == "epoch")["val"] == epochs[0]["val"]
    for phase in ledger["phases"]:
        assert phase["schedule"][0][0] == phase["start_step"]
        assert phase["schedule"][-1][0] == phase["start_step"] + phase["steps"] - 1
        assert len(phase["schedule"]) <= 60
        assert phase["frozen"]["identical"] is True
        assert phase["drift"].keys() == set(ledger["stages"])
    names = [event["event"] for event in events]
    assert names[0] == "start"
    assert names[-1] == "end"
    assert {"data", "split", "audit", "phase", "stored", "epoch", "baseline", "result"} <= set(names)
    assert all(event["time"] for event in events)


def test_split_data_and_predictions_agree(run: Run) -> None:
    split, data = (strict((run.folder / name).read_text()) for name in ("split.json", "data.json"))
    ids = [id for name in ("train", "val", "test") for id in split[name]]
    assert len(ids) == len(set(ids)) == 64
    for name in ("train", "val", "test"):
        assert sum(data["counts"][name].values()) == len(split[name])
    outcomes = {(outcome.model, outcome.split): outcome for outcome in read_predictions(run.folder / "predictions.parquet")}
    for key in (("run", "val"), ("run", "test"), ("majority", "test"), ("tfidf-logistic", "test")):
        assert [example.id for example in outcomes[key].examples] == split[key[1]]
    tested = outcomes["run", "test"]
    right = sum(p.value == example.target for p, example in zip(tested.predictions, tested.examples, strict=True))
    assert right / len(split["test"]) == pytest.approx(run.metrics["test"]["accuracy"]["value"])
    for prediction in tested.predictions:
        assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_the_lock_names_every_option_and_the_recipe_is_as_given(tiny, write_csv, tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", 40)
    given = "# my comment\ndata: {use: table, path: rows.csv}\nbackbone: tiny/words\nstrategy: {use: probe, epochs: 1}\n"
    (tmp_path / "recipe.yaml").write_text(given, encoding="utf-8")
    run = fit(Recipe.load(tmp_path / "recipe.yaml", ["train.seed=3"]), tmp_path / "runs", report=False)
    assert (run.folder / "recipe.yaml").read_text(encoding="utf-8") == given + "# --set train.seed=3\n"
    again = Recipe.load(run.folder / "recipe.lock.yaml")
    assert again.train.seed == 3
    assert again.backbone.options == {"width": 8, "dropout": 0.2, "seed": 0, "weights": ""}
    assert Path(again.data.options["path"]) == tmp_path / "rows.csv"


def test_runs_never_share_a_folder_and_latest_leads_to_the_newest(run_tiny: Callable[..., Run]) -> None:
    first, second = run_tiny(baselines="none"), run_tiny(baselines="none")
    assert first.folder != second.folder
    assert (second.folder.parent / "latest").resolve() == second.folder.resolve()
    assert first.metrics == json.loads((first.folder / "metrics.json").read_text())


def test_equal_seeds_give_equal_runs_and_another_seed_another(run_tiny: Callable[..., Run]) -> None:
    strategy = {"use": "full", "epochs": 2, "lr": 0.05}
    first, again = run_tiny(strategy=strategy), run_tiny(strategy=strategy)
    other = run_tiny(strategy=strategy, train={"seed": 1, "device": "cpu"})
    assert first.metrics == again.metrics
    for name in ("predictions.parquet", "ledger.json", "split.json", "model/manifest.json"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    assert (first.folder / "split.json").read_bytes() == (other.folder / "split.json").read_bytes()
    assert (first.folder / "model/manifest.json").read_bytes() != (other.folder / "model/manifest.json").read_bytes()


def test_cross_validation_tests_every_example_once_and_keeps_a_model_of_all(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(split={"folds": 4, "val": 0.2}, report=True)
    outcomes = read_predictions(run.folder / "predictions.parquet")
    tested = [o for o in outcomes if (o.model, o.split) == ("run", "test")]
    assert [outcome.fold for outcome in tested] == [0, 1, 2, 3]
    assert set(Counter(example.id for outcome in tested for example in outcome.examples).values()) == {1}
    assert run.metrics["test"]["accuracy"]["n"] == run.metrics["n"]["test"] == 64
    assert run.metrics["n"]["train"] + run.metrics["n"]["val"] == 64
    shares = [scores["accuracy"] for scores in run.metrics["folds"]]
    assert sum(shares) / 4 == pytest.approx(run.metrics["test"]["accuracy"]["value"])
    assert len(json.loads((run.folder / "split.json").read_text())["folds"]) == 4
    assert len(run.predict(["a warm funny film"])) == 1


def test_epochs_of_folds_say_their_fold_and_those_of_the_kept_model_none(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(split={"folds": 3, "val": 0.2}, strategy={"use": "probe", "epochs": 1})
    assert [epoch.get("fold") for epoch in lines(run, "metrics.jsonl")] == [1, 2, 3, None]
    assert [event.get("fold") for event in lines(run, "events.jsonl") if event["event"] == "epoch"] == [1, 2, 3, None]


def test_the_environment_names_each_plugin_with_its_version_or_file_and_no_path(run: Run) -> None:
    plugins = json.loads((run.folder / "env.json").read_text())["plugins"]
    assert plugins["tiny_parts"] == "tiny_parts.py"
    assert re.fullmatch(r"headstart \d.*", plugins["core"])


def test_a_run_of_an_absent_plugin_says_which_and_how_to_give_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSTART_PLUGIN_FILES")
    said = r"'tiny/words'; this run was made with the plugin 'tiny_parts': headstart --plugin tiny_parts\.py"
    with pytest.raises(MissingError, match=said):
        _ = Run(run.folder).recipe


def test_with_folds_the_kept_model_learns_from_all_even_where_the_data_bring_a_split(tiny, tmp_path, make_recipe) -> None:
    recipe = make_recipe(tmp_path, split={"folds": 3, "by": "stratified", "val": 0})
    table = Path(recipe.data.options["path"])
    rows = table.read_text(encoding="utf-8").splitlines()
    marked = [f"{row},{'split' if i == 0 else 'test' if i % 3 == 0 else 'train'}" for i, row in enumerate(rows)]
    table.write_text("\n".join(marked) + "\n", encoding="utf-8")
    options = {**recipe.data.options, "split": "split"}
    run = fit(replace(recipe, data=Part("table", options)), tmp_path / "runs", report=False)
    assert run.metrics["n"] == {"train": 64, "val": 0, "test": 64}


@pytest.mark.parametrize("head", ["logistic", "svm", "knn", "kmeans"])
def test_heads_that_learn_in_one_go_run_and_load(run_tiny: Callable[..., Run], head: str) -> None:
    run = run_tiny(head=head, strategy="probe", report=head == "kmeans")
    ledger = json.loads((run.folder / "ledger.json").read_text())
    assert set(ledger["executions"].values()) == {sum(run.metrics["n"].values()) + 3}  # each example once; 3 to measure
    assert ledger["phases"][0]["stored"] == ["pooled"]
    assert run.metrics["test"][run.metrics["selected_by"]]["n"] == 16
    assert run.predict(["a warm funny film"])[0].value


def test_a_closed_head_under_a_thawing_strategy_is_refused_before_anything_is_written(tiny, make_recipe, tmp_path) -> None:
    recipe = replace(make_recipe(tmp_path), head=Part("knn"), strategy=Part("gradual", {"head_epochs": 1}))
    with pytest.raises(UsageError, match=r"head 'knn' learns in one go .* strategy 'gradual' .* use strategy: probe"):
        fit(recipe, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("kind", "head", "score"), [("number", "regression", "r2"), ("labels", "multilabel", "micro_f1")])
def test_numbers_and_sets_of_labels_run(run_tiny: Callable[..., Run], kind: str, head: str, score: str) -> None:
    run = run_tiny(kind=kind, head=head, strategy={"use": "full", "epochs": 2}, report=True)
    assert run.metrics["selected_by"] == score
    assert run.metrics["target"]["kind"] == kind
    [prediction] = run.predict(["a warm funny film"])
    assert isinstance(prediction.value, {"number": float, "labels": tuple}[kind])


def test_the_number_of_examples_is_told_also_where_each_has_several_labels(run_tiny, capsys) -> None:
    run_tiny(kind="labels", head="multilabel", baselines="none")
    assert "train 32 · val 16 · test 16" in capsys.readouterr().err


def test_a_run_without_test_and_validation_finishes(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(split={"test": 0, "val": 0}, report=True)
    assert run.metrics["n"] == {"train": 64, "val": 0, "test": 0}
    assert not run.metrics.keys() & {"test", "val"}
    assert run.predict(["a warm film"])[0].value in ("bad", "good")


@pytest.mark.parametrize("turns", [1, 2])
def test_a_plugins_strategy_may_thaw_and_freeze_again(run_tiny: Callable[..., Run], turns: int) -> None:
    run = run_tiny(strategy={"use": "tiny/seesaw", "turns": turns}, baselines="none")
    phases = json.loads((run.folder / "ledger.json").read_text())["phases"]
    assert [phase["stored"] for phase in phases] == [[], ["pooled"]] * turns
    assert phases[0]["rates"]["head"] == phases[1]["rates"]["block.1"] == 0


def test_missing_data_leave_nothing(tiny, make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    gone = replace(recipe, data=Part("table", {**recipe.data.options, "path": str(tmp_path / "gone.csv")}))
    with pytest.raises(DataError, match=r"gone\.csv"):
        fit(gone, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_device_that_is_not_there_leaves_nothing(tiny, make_recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.device: 'cuda:77' is not usable"):
        fit(make_recipe(tmp_path, train={"device": "cuda:77"}), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_an_output_that_is_a_file_is_named(tiny, make_recipe, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(UsageError, match=r"cannot make a folder for the run under '.*runs'"):
        fit(make_recipe(tmp_path), tmp_path / "runs")


def test_training_that_fails_says_where_its_log_is_and_keeps_no_model(tiny, make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, strategy={"use": "full", "epochs": 2, "lr": 1e38, "head_lr": 1e38})
    with pytest.raises(TrainingError, match=r"the loss is .* nothing of this run was kept but its log: ") as caught:
        fit(recipe, tmp_path / "runs")
    log = Path(str(caught.value).rpartition(": ")[2])
    last = strict(log.read_text().splitlines()[-1])
    assert (last["event"], last["error"]) == ("stopped", "TrainingError")
    assert not {"model", "metrics.json", "predictions.parquet"} & {path.name for path in log.parent.iterdir()}
    assert not (tmp_path / "runs" / "latest").exists()


def test_a_run_that_ends_after_its_model_was_written_says_that_it_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").touch()
    told: list[str] = []

    def tell(event: str, **_: Any) -> None:
        told.append(event)

    stopped = "interrupted; what was finished was kept beside its log"
    with pytest.raises(KeyboardInterrupt, match=stopped), naming_the_log(tmp_path, tell):
        raise KeyboardInterrupt
    with pytest.raises(OSError, match="disk full") as caught, naming_the_log(tmp_path, tell):
        raise OSError("disk full")
    assert caught.value.__notes__ == [f"what was finished was kept beside its log: {tmp_path / 'events.jsonl'}"]
    assert told == ["stopped", "stopped"]


def test_predicting_leaves_the_callers_random_numbers_alone(run: Run) -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    Run(run.folder).predict(["a film"])
    assert torch.equal(torch.rand(2), expected)


def test_a_tracker_that_fails_does_not_end_the_run() -> None:
    from headstart.events import Events, isolated

    heard: list[str] = []

    def fragile(event: Any) -> None:
        heard.append(event["event"])
        raise RuntimeError("no connection")

    tell = Events([isolated(fragile)])
    tell("start")
    tell("end")
    assert heard == ["start"]


def test_figures_that_are_not_finite_become_null_in_the_log(tmp_path: Path) -> None:
    from headstart.events import Events, to_jsonl

    Events([to_jsonl(tmp_path / "events.jsonl")])("epoch", val={"loss": math.nan}, lr=[1.0, math.inf])
    found = strict((tmp_path / "events.jsonl").read_text())
    assert (found["val"], found["lr"]) == ({"loss": None}, [1.0, None])
