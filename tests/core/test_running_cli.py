"""run, predict and evaluate as a person calls them: what is printed where, and the exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from headstart.cli.main import execute
from headstart.cli.running import score_lines, stopping_in_order, summary
from headstart.recipe import Recipe

RECIPE = """
name: moods
data: {{use: table, path: "{path}", text: text, label: label}}
backbone: tiny/words
strategy: {{use: probe, epochs: 3}}
split: {{test: 0.25, val: 0.25}}
train: {{device: cpu}}
"""


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


@pytest.fixture
def call(tiny: Any, capfd: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Run one command line in this process, everything captured, also what libraries write to the descriptors."""

    def call(*args: object) -> Called:
        capfd.readouterr()
        code = execute([str(arg) for arg in args])
        return Called(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="module")
def place(tiny_for_module: Any, write_csv: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.csv, new.csv, recipe.yaml and one finished run in runs/."""
    from headstart.fit import fit

    place = tmp_path_factory.mktemp("place")
    write_csv(place / "rows.csv")
    write_csv(place / "new.csv", 12, seed=1)
    (place / "recipe.yaml").write_text(RECIPE.format(path=place / "rows.csv"), encoding="utf-8")
    fit(Recipe.load(place / "recipe.yaml"), place / "runs", report=False)
    return place


def test_run_prints_one_json_document_and_keeps_progress_on_stderr(call, place: Path, tmp_path: Path) -> None:
    done = call("run", place / "recipe.yaml", "--json", "--out", tmp_path / "runs", "--set", "train.seed=2")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)
    folder = Path(metrics.pop("run"))
    assert metrics == json.loads((folder / "metrics.json").read_text())
    assert "head 3/3" in done.err
    assert (folder / "report.html").exists()
    names = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
    wanted = ["start", "data", "split", "audit", "phase", *["stored"] * 2, *["epoch"] * 3, "stored", "floor", *["baseline"] * 2]
    assert names == [*wanted, "result", "end"]
    assert "step" not in names


def test_run_prints_score_baselines_and_paths_for_people(call, place: Path, tmp_path: Path) -> None:
    done = call("run", place / "recipe.yaml", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    assert "test (n=16)" in done.out
    assert re.search(r"  accuracy +0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", done.out)
    assert re.search(r"baseline majority: accuracy .*; run minus baseline", done.out)
    folder = (tmp_path / "runs" / "latest").resolve()
    assert f"headstart predict {folder}" in done.out.replace(str(tmp_path / "runs" / folder.name), str(folder))


def test_a_run_without_a_test_says_so_and_misses_every_gate(call, place: Path, tmp_path: Path) -> None:
    args = ("--out", tmp_path / "runs", "--set", "split.test=0", "--set", "baselines=none")
    done = call("run", place / "recipe.yaml", *args, "--fail-under", "0.1")
    assert done.code == 5
    assert "there is no test part; validation (n=16), which also chose the best epoch\n  accuracy " in done.out
    assert "n=0" not in done.out
    assert "this run has none; set split.test" in done.err


@pytest.mark.parametrize(("gate", "code"), [("0.0", 0), ("1.01", 5)])
def test_fail_under_decides_the_exit_code_after_the_result_is_printed(call, place, tmp_path, gate: str, code: int) -> None:
    args = ("--json", "--out", tmp_path / "runs", "--set", "baselines=none", "--fail-under", gate)
    done = call("run", place / "recipe.yaml", *args)
    assert done.code == code
    assert json.loads(done.out)["test"]
    assert ("under --fail-under 1.01" in done.err) == (code == 5)


def test_a_recipe_that_is_wrong_exits_2_and_missing_data_3(call, place: Path, tmp_path: Path) -> None:
    done = call("run", place / "recipe.yaml", "--set", "train.sed=3", "--out", tmp_path / "runs")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'seed'" in done.err
    done = call("run", place / "recipe.yaml", "--set", "data.path=gone.csv", "--out", tmp_path / "runs")
    assert (done.code, done.out) == (3, "")
    assert "gone.csv" in done.err
    assert not (tmp_path / "runs").exists()


def test_an_option_out_of_range_exits_2_with_nothing_written(call, place: Path, tmp_path: Path) -> None:
    done = call("run", place / "recipe.yaml", "--set", "strategy.epochs=0", "--out", tmp_path / "runs")
    assert done.code == 2
    assert "epochs is 0; it must be at least 1" in done.err
    assert not (tmp_path / "runs").exists()


def run_of(place: Path) -> Path:
    return place / "runs" / "latest"


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "csv": read_csv,
    "jsonl": lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()],
    "parquet": lambda path: pq.read_table(path).to_pylist(),
}


@pytest.mark.parametrize("form", READERS)
def test_predict_writes_names_of_classes_and_probabilities(call, place: Path, tmp_path: Path, form: str) -> None:
    output = tmp_path / f"labelled.{form}"
    done = call("predict", run_of(place), place / "new.csv", "-o", output)
    assert (done.code, done.out) == (0, f"12 predictions in {output}\n"), done.err
    rows = READERS[form](output)
    assert len(rows) == 12
    for row in rows:
        assert list(row) == ["id", "prediction", "p:bad", "p:good"]
        shares = {label: float(row[f"p:{label}"]) for label in ("bad", "good")}
        assert sum(shares.values()) == pytest.approx(1)
        assert row["prediction"] == max(shares, key=shares.__getitem__)


def test_predict_without_output_prints_json_lines(call, place: Path, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("a warm film\na dull film\n", encoding="utf-8")
    done = call("predict", run_of(place), tmp_path / "new.txt")
    assert done.code == 0, done.err
    assert [json.loads(line)["prediction"] in ("bad", "good") for line in done.out.splitlines()] == [True, True]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("predict", "{run}", "{place}/gone.csv"), 3, "gone.csv: there is no such file"),
        (("evaluate", "{run}", "{place}/gone.csv"), 3, "gone.csv: there is no such file"),
        (("predict", "{place}/gone", "{place}/new.csv"), 2, "not a run"),
        (("predict", "{place}", "{place}/new.csv"), 2, "not a run"),
        (("predict", "{run}", "{place}/new.csv", "-o", "{place}/out.xlsx"), 2, "must end with .csv, .jsonl, .parquet"),
        (("predict", "{run}", "{place}/new.csv", "-o", "{place}/no/out.csv"), 2, "there is no folder"),
        (("predict", "{run}", "{place}"), 3, "is a folder; name one of its files"),
        (("predict", "{run}", "{place}/new.csv", "-o", "/proc/out.csv"), 2, "cannot write '/proc/out.csv': "),
        (("predict", "{place}/stopped", "{place}/new.csv"), 2, "this run did not finish"),
        (("report", "{place}/stopped"), 2, "this run did not finish"),
        (("compare", "{run}", "{place}/stopped"), 2, "this run did not finish"),
        (("evaluate", "{run}", "{place}/plain.csv"), 3, "no example has a label"),
        (("evaluate", "{run}", "{place}/odd.csv"), 3, "labels ['odd'] are unknown to this run"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_its_exit_code(call, place: Path, args, code: int, message: str) -> None:
    (place / "plain.csv").write_text("text\na warm film\n", encoding="utf-8")
    (place / "odd.csv").write_text("text,label\na warm film,odd\n", encoding="utf-8")
    (place / "stopped").mkdir(exist_ok=True)
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        (place / "stopped" / name).write_text((run_of(place) / name).read_text(encoding="utf-8"), encoding="utf-8")
    done = call(*(arg.format(run=run_of(place), place=place) for arg in args))
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_evaluate_scores_a_labelled_file(call, place: Path) -> None:
    done = call("evaluate", run_of(place), place / "new.csv", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["n"] == found["test"]["accuracy"]["n"] == 12
    people = call("evaluate", run_of(place), place / "new.csv")
    assert people.out.startswith("n = 12\n  accuracy ")


def test_evaluating_the_test_rows_gives_the_runs_own_score(call, place: Path, tmp_path: Path) -> None:
    run = run_of(place)
    tested = set(json.loads((run / "split.json").read_text())["test"])
    rows = read_csv(place / "rows.csv")
    ids = [example.id for example in examples_of(run)]
    with (tmp_path / "test.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for id, row in zip(ids, rows, strict=True) if id in tested)
    found = json.loads(call("evaluate", run, tmp_path / "test.csv", "--json").out)
    metrics = json.loads((run / "metrics.json").read_text())
    assert found["test"]["accuracy"] == metrics["test"]["accuracy"]
    assert found["test"]["log_loss"]["value"] == pytest.approx(metrics["test"]["log_loss"]["value"], abs=1e-6)


def examples_of(run: Path) -> Any:
    from headstart.build import make_data

    return make_data(Recipe.load(run / "recipe.lock.yaml").data).examples()


@pytest.mark.parametrize(
    ("number", "code", "word", "error"),
    [(signal.SIGINT, 130, "interrupted", "KeyboardInterrupt"), (signal.SIGTERM, 143, "stopped by SIGTERM", "Terminated")],
)
def test_a_run_that_is_stopped_says_one_true_sentence_and_exits_by_its_signal(
    tiny: Any, place: Path, tmp_path: Path, number: int, code: int, word: str, error: str
) -> None:
    runs = tmp_path / "runs"
    options = ["--set", "strategy.epochs=100000", "--set", "strategy.patience=null", "--set", "baselines=none"]
    command = [sys.executable, "-m", "headstart", "run", str(place / "recipe.yaml"), "--json", "--out", str(runs), *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        # a test run in the background of a shell ignores SIGINT, and its children would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads run here
    )
    try:
        waited = time.monotonic()
        while not list(runs.glob("*/metrics.jsonl")) and time.monotonic() - waited < 60:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (code, ""), err
    [folder] = [path for path in runs.iterdir() if not path.name.startswith(".")]
    said, last = err.splitlines()[-2:]
    assert said == f"{word}; what was done is kept, and the run can go on; its log: {folder / 'events.jsonl'}"
    assert last == f"resume  headstart run --resume {folder}"
    assert "Traceback" not in err
    assert err.count(word) == 1
    assert not {"model", "metrics.json", "predictions.parquet"} & {path.name for path in folder.iterdir()}
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[-1])["error"] == error


def test_a_second_sigterm_ends_the_process_at_once() -> None:
    script = (
        "import os, signal\n"
        "from headstart.cli.running import Terminated, stopping_in_order\n"
        "try:\n"
        "    with stopping_in_order():\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        except Terminated:\n"
        "            print('first', flush=True)\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "finally:\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "first\n"), done.stderr


def test_after_a_run_sigterm_is_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping_in_order():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_next_command_repeats_the_plugins_that_were_given(place: Path) -> None:
    metrics = json.loads((run_of(place) / "metrics.json").read_text())
    next_line = summary(Path("runs/a b"), metrics, plugins=[Path("my parts.py"), Path("more.py")])[-1]
    assert next_line == "next    headstart --plugin 'my parts.py' --plugin more.py predict 'runs/a b' NEW_FILE -o labelled.csv"


def test_a_plugin_flag_reaches_the_next_command(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("HEADSTART_PLUGIN_FILES", "")
    plugin = Path(__file__).with_name("tiny_parts.py")
    args = ["--plugin", plugin, "run", place / "recipe.yaml", "--out", tmp_path, "--set", "baselines=none"]
    assert execute([str(arg) for arg in args]) == 0
    assert f"headstart --plugin {plugin} predict {tmp_path}" in capsys.readouterr().out


def test_scores_stand_below_each_other_also_beside_a_long_name() -> None:
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    lines = score_lines({"auroc": score, "mean_average_precision": score})
    assert len({line.index("0.500") for line in lines}) == 1


def test_a_run_without_test_and_validation_says_that_nothing_is_known(place: Path) -> None:
    metrics = {"selected_by": "accuracy", "n": {"train": 9, "val": 0, "test": 0}, "test": {}, "val": {}, "baselines": {}}
    assert summary(Path("runs/x"), metrics)[0].startswith("there is neither a test nor a validation part")


def test_without_a_browser_the_report_says_so_in_one_line(tiny: Any, place: Path, tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    command = [sys.executable, "-m", "headstart", "report", str(run_of(place)), "--open"]
    environment = {**variables, "PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert (done.returncode, done.stderr) == (0, "no browser was found; open the page yourself\n")
    assert done.stdout == f"{run_of(place).resolve() / 'report.html'}\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "name a FILE, or one question with -q"),
        (["-q", "Who?"], "-q and -c go together, without FILE"),
        (["rows.csv", "-q", "Who?", "-c", "a.txt"], "-q and -c go together, without FILE"),
    ],
)
def test_predict_says_what_to_give_it(call, tmp_path: Path, given: list[str], said: str) -> None:
    done = call("predict", tmp_path, *given)
    assert done.code == 2
    assert said in done.err
