"""The pages for three readers: every command runs as it stands, in the order of the page, on small data made here."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = re.compile(r"^```sh\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^<!-- file: (?P<name>[\w.-]+) -->\n```yaml\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
# one process for all commands of a page: torch is imported once; an error ends the page, as it would end the reader's patience
RUN = """
import json, sys, time
from headstart.cli.main import execute
for arguments in json.loads(sys.argv[1]):
    print("$ headstart", *arguments, flush=True)
    if code := execute(arguments):
        sys.exit(f"exit code {code}: headstart {' '.join(arguments)}")
    print(f"({time.process_time():.0f} s of CPU up to here)", flush=True)
"""


def commands(page: str) -> list[list[str]]:
    """Arguments of every command of a page, in its order."""
    blocks = SHELL.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert lines
    assert [line for line in lines if not line.startswith("headstart ")] == []
    return [shlex.split(line)[1:] for line in lines]


def follow(page: str, folder: Path) -> str:
    """Do what a page says in a folder; what was printed."""
    for name, code in FILE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        (folder / name).write_text(code, encoding="utf-8")
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HEADSTART_PSEUDONYM_KEY": str(folder / "key"),
    }
    call = [sys.executable, "-c", RUN, json.dumps(commands(page))]
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, table: list[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(table)


@pytest.fixture
def draw() -> Iterator[Callable[[Path, bool], None]]:
    """`draw(path, is_marked)`: grey noise, with a bright square in the middle where it is marked."""
    from PIL import Image

    rng = np.random.default_rng(0)

    def picture(path: Path, is_marked: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = rng.normal(90, 25, (48, 48))
        values[12:36, 12:36] += 70 * is_marked
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB").save(path)

    return picture  # type: ignore[return-value]


@pytest.mark.slow  # two runs with reports: 40 s of CPU and more
def test_the_text_analysts_page(demo_packages, tmp_path):
    praise, blame = (
        ("warm", "funny", "moving", "clever", "bright", "tender"),
        ("dull", "cold", "boring", "clumsy", "grey", "flat"),
    )
    pairs = [(a, b) for a in range(6) for b in range(6) if a != b]
    labelled = [
        (f"A {words[a]} and {words[b]} film.", label) for words, label in ((praise, "good"), (blame, "bad")) for a, b in pairs
    ]
    write_rows(tmp_path / "reviews.csv", [("text", "label"), *labelled])
    write_rows(tmp_path / "later.csv", [("text", "label"), ("A tender surprise.", "good"), ("Clumsy from end to end.", "bad")])
    write_rows(tmp_path / "new.csv", [("text",), ("Warm and funny.",), ("A grey bore.",), ("Clever and bright.",)])
    said = follow("run-text.md", tmp_path)
    assert "±28 points" in said  # the page says so of a test of 12 texts
    found = rows(tmp_path / "labelled.csv")
    assert [row["prediction"] for row in found] == ["good", "bad", "good"]
    assert (tmp_path / "gradual/latest/report.html").is_file()


@pytest.mark.slow  # two runs, two dry runs and a mosaic with a real network
def test_the_vision_engineers_page(tmp_path, draw):
    pytest.importorskip("headstart_vision")
    for at in range(20):
        draw(tmp_path / f"photographs/crack/part{at}.png", True)
        draw(tmp_path / f"photographs/sound/part{at}.png", False)
    draw(tmp_path / "new/a.png", True)
    draw(tmp_path / "new/b.png", False)
    follow("run-vision.md", tmp_path)
    assert (tmp_path / "seen.html").stat().st_size > 10_000
    assert sorted(row["prediction"] for row in rows(tmp_path / "sorted.csv")) == ["crack", "sound"]
    ledger = json.loads((tmp_path / "top/latest/ledger.json").read_text(encoding="utf-8"))
    assert ledger["executions"]


@pytest.mark.slow  # two runs with clinical reports and explanations: 53 s of CPU
def test_the_clinical_researchers_page(tmp_path, draw):
    pytest.importorskip("headstart_healthcare")
    pytest.importorskip("headstart_vision")
    for person in range(24):
        for view in range(2):
            draw(tmp_path / f"chest/NORMAL/person{person}_view{view}.png", False)
            draw(tmp_path / f"chest/PNEUMONIA/person{100 + person}_view{view}.png", True)
    draw(tmp_path / "new/person500_view0.png", True)
    follow("run-clinical.md", tmp_path)
    assert (tmp_path / "set-aside.csv").is_file()
    (answer,) = rows(tmp_path / "answers.csv")
    assert answer["prediction"] == "PNEUMONIA"
    assert "person500" not in json.dumps(answer)
    latest = (tmp_path / "runs/latest").resolve()
    where = json.loads((latest / "split.json").read_text(encoding="utf-8"))
    assert "person" not in json.dumps([where[part] for part in ("train", "val", "test")])
    assert json.loads((latest / "privacy.json").read_text(encoding="utf-8"))
    report = (latest / "report.html").read_text(encoding="utf-8")
    for promised in ("AUROC", "ensitivity", "pecificity", "alibration"):
        assert promised in report


@pytest.mark.parametrize("page", ["run-text.md", "run-vision.md", "run-clinical.md"])
def test_every_command_and_option_of_a_page_exists(page):
    """Quick, without running them: a page does not go on naming what was renamed."""
    from headstart.cli.main import cli

    context = click.Context(cli)
    for name, *arguments in commands(page):
        command = cli.get_command(context, name)
        assert command is not None, name
        inner = click.Context(command, info_name=name, parent=context)
        command.make_parser(inner).parse_args(args=list(arguments))  # raises for an option that there is not


@pytest.mark.parametrize("page", ["choosing.md", "run-vision.md"])
def test_figures_of_ours_are_those_of_the_benchmarks(page):
    """A figure with an interval is measured in one place; other pages repeat it to the letter."""
    measured = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    found = re.findall(r"\d\.\d+ \[\d\.\d+, \d\.\d+\]", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert found
    assert [figure for figure in found if figure not in measured] == []
