"""Commands of the docs that take minutes and more: each is run as it stands, with fewer examples and without its rivals."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "core"))
from test_docs_accounted import UNRUN, Block

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("HEADSTART_SHARED_DATA", ROOT.parent / "shared/data"))
PAGES = ("docs/benchmarks.md", "docs/strategies.md", "docs/text.md")
FEW = ("split.train=60", "split.val=30", "split.test=60")
SMALL: Mapping[str, tuple[str, ...]] = {  # end of what is run -> what is added to it
    "sentiment.yaml": FEW,
    "sentiment-gradual.yaml": FEW,
    "sentiment-probe.yaml": FEW,
    "adapt.yaml": ("data.rows=60", "split.val=10"),
    "sst2.yaml": ("split.train=60", "split.val=30"),
    "defects.yaml": ("data.rows=80", "strategy.epochs=1"),
    "hymenoptera.yaml": ("data.rows=60",),
    "brain-mri.yaml": ("data.rows=200",),
    "chest-xray.yaml": ("data.rows=120",),
    "qa-squad.yaml": ("strategy.epochs=1",),
    "ner.yaml": ("strategy.epochs=1",),
}
SHORT: Mapping[str, str] = {  # script -> its options, in place of those on the page
    "few_labels.py": "--labels 4 --draws 1 --ways probe --test 40",
    "sst2_strategies.py": "--train 40 --only probe",
    "qa_strategies.py": "--train 20 --only probe",
    "chest_split.py": "--times 1 --rows 120",
    "chest_strategies.py": "--size 64 --train 60 --only probe",
    "c2_gradual.py": "--profile",
    "c4_volumes.py": "--rounds 1",
    "c5_sweep.py": "--heads 2",
}
WITH_RIVALS = ("c1_linear_probe.py", "c3_text.py")  # they install other frameworks, gigabytes, where there is an index
WHOLE = ("chest_ports.py",)  # makes features of all pictures, and has no small form
LETTER = "It was raining. We saw a dog. It ran away."
SENTENCE = "Peter B-PER\nlives O\nin O\nKiel B-LOC\n. O\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that looks like the root of a clone, with small files where the docs name some that are not part of it."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}: set HEADSTART_SHARED_DATA to the folder of the shared data")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/data").symlink_to(SHARED)
    root = tmp_path / "clone"
    root.mkdir()
    for name in ("recipes", "benchmarks"):
        (root / name).symlink_to(ROOT / name)
    (root / "train.tsv").symlink_to(SHARED / "sst2/train.tsv")
    articles = json.loads((SHARED / "squad/xquad.en.json").read_text(encoding="utf-8"))["data"]
    for name, part in (("train-v1.1.json", articles[:6]), ("dev-v1.1.json", articles[6:8])):
        (root / name).write_text(json.dumps({"version": "1.1", "data": part}), encoding="utf-8")
    for name, count in (("eng.train", 30), ("eng.testb", 10)):
        documents = (f"-DOCSTART- O\n\n{SENTENCE.replace('Peter', f'Peter{number}{name[4:]}')}" for number in range(count))
        (root / name).write_text("\n".join(documents), encoding="utf-8")
    (root / "new.txt").write_text("Anna lives in Bonn .\n", encoding="utf-8")
    (root / "letter.txt").write_text(LETTER, encoding="utf-8")
    return root


def program(place: Path, line: str) -> list[str] | None:
    """The command in its small form; None where it has none."""
    name, *words = shlex.split(line.partition(" > ")[0].replace("'>'", ">").partition(" > ")[0])
    if name == "python":
        script = Path(words[0]).name
        if script in WHOLE or script in WITH_RIVALS:
            return None
        out = ["--out", str(place / "out")] if "--out" in words else []
        return [sys.executable, words[0], *out, *shlex.split(SHORT[script])]
    words = [_filled(place, word) for word in words]
    fewer = next((SMALL[end] for end in SMALL if len(words) > 1 and words[1].endswith(f"/{end}")), ())
    added = [word for change in fewer for word in ("--set", change)]
    return [sys.executable, "-m", "headstart", *words, *added]


def _filled(place: Path, word: str) -> str:
    """RUN, runs/GRADUAL ... = the latest run whose name holds that word."""
    found = re.search(r"(?:runs/)?\b(RUN|GRADUAL|PROBE|ADAPTED)\b", word)
    if found is None:
        return word
    kind = {"RUN": "", "ADAPTED": "adapt"}.get(found[1], found[1].lower())
    runs = sorted(path for path in (place / "runs").iterdir() if kind in path.name and not path.is_symlink())
    return word.replace(found[0], str(runs[-1]))


def run(place: Path, line: str) -> None:
    command = program(place, line)
    if command is None:
        return
    variables = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    variables |= {"HEADSTART_CACHE": str(place / "cache"), "HEADSTART_PSEUDONYM_KEY": str(place / "key")}
    environment: dict[str, Any] = {**os.environ, **variables}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert done.stdout.strip(), "it says what it found"


def wanted(block: Block) -> bool:
    lines = [shlex.split(line) for line in block.lines]
    scripts = [Path(words[1]).name for words in lines if words[0] == "python"]
    return block.page in PAGES and not any(script in (*WITH_RIVALS, *WHOLE) for script in scripts)


LEFT = {  # first command of each block that nothing runs as it stands; its reason stands on the page
    "CONTRIBUTING.md": ["git clone", "make check"],
    "README.md": ["make demo"],
    "docs/benchmarks.md": [
        "python benchmarks/chest_ports.py",
        "python benchmarks/c1_linear_probe.py",
        "python benchmarks/c3_text.py",
        "python benchmarks/c3_text.py",
    ],
    "docs/gpu.md": ["torchrun --standalone", "python -m"],
    "docs/healthcare.md": ["pip install", "headstart run"],
    "docs/reliability.md": ["headstart run"],
    "docs/run-clinical.md": ["headstart cache"],
    "examples/headstart-protein/README.md": ["pip install", "cd examples/headstart-protein"],
}


def test_the_blocks_that_nothing_runs_are_these() -> None:
    left: dict[str, list[str]] = {}
    for block in UNRUN:
        if not wanted(block):
            words = shlex.split(block.lines[0])
            left.setdefault(block.page, []).append(" ".join(words[:2]))
    assert left == LEFT


@pytest.mark.slow  # minutes
@pytest.mark.parametrize("block", [block for block in UNRUN if wanted(block)], ids=str)
def test_a_block_that_takes_minutes_runs_in_its_small_form(demo_packages: None, place: Path, block: Block) -> None:
    for package in ("elpv_dataset",) if "defects" in block.code else ():
        if util.find_spec(package) is None:
            pytest.skip(f"not installed: {package}")
    if "runs/latest" in block.lines[0]:
        run(place, "headstart run recipes/nlp/sentiment.yaml")
    for line in block.lines:
        run(place, line)
