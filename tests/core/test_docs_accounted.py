"""Nothing on a page is skipped silently: a block is run by a test, or says why not and can still be typed as it stands."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest

from headstart.located import parse
from headstart.recipe_file import check_recipe, find_recipe

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md", "recipes/**/*.md", "benchmarks/*.md")
    for page in ROOT.glob(pattern)
)
FENCE = re.compile(r"(?P<marks>(?:^<!--[^\n]*-->\n)*)^```(?P<language>[^\n]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^\n]*?) -->")
FOLLOWED = {  # pages whose shell blocks a test follows line by line -> that test
    "docs/run-text.md": "tests/recipes/test_docs_commands.py",
    "docs/run-vision.md": "tests/recipes/test_docs_commands.py",
    "docs/run-clinical.md": "tests/recipes/test_docs_commands.py",
    "examples/headstart-protein/README.md": "examples/headstart-protein/tests/test_readme.py",
}
RUN = {  # as tests/core/test_docs.py has them
    str(page.relative_to(ROOT))
    for pattern in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "plugins/*/README.md")
    for page in ROOT.glob(pattern)
}
STAND_INS = {  # modality -> data that fits, where an example leaves it out
    "nlp": "{use: table, path: x.csv}",
    "vision": "{use: vision/folder, path: .}",
    "healthcare": "{use: healthcare/volumes, path: ., group: none}",
}


@dataclass(frozen=True)
class Block:
    """One fenced block; `reason` says why no test runs it, "" = one does."""

    page: str
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """What is typed, without prompt and comment."""
        bare = (line.removeprefix("$ ") for line in self.code.splitlines() if line.strip())
        return [shlex.join(words) for line in bare if (words := shlex.split(line.replace("&&", " && "), comments=True))]


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            reason = NOT_RUN.search(match["marks"])
            line = text.count("\n", 0, match.start("language")) + 1
            said = reason["reason"] if reason else ""
            yield Block(str(page.relative_to(ROOT)), line, match["language"], match["code"], said)


EVERY = list(blocks())
UNRUN = [block for block in EVERY if block.reason and block.language in ("console", "sh")]


def test_blocks_are_found_on_every_kind_of_page():
    assert {block.page.partition("/")[0] for block in EVERY} >= {"README.md", "CONTRIBUTING.md", "docs", "plugins", "examples"}
    assert len(EVERY) > 60
    fences = sum(len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(EVERY), "a fence is opened and not closed, or indented"


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_a_block_is_run_or_says_why_not(block):
    if block.reason:
        assert len(block.reason.split()) >= 3, "write a whole reason"
    elif block.language in ("python", "console"):
        assert block.page in RUN, "tests/core/test_docs.py does not run this page"
    elif block.language == "sh":
        assert block.page in FOLLOWED, "no test follows this page: use `console`, or write <!-- not run: REASON -->"
    else:
        assert block.language in ("yaml", "toml", "text"), "name the language: python, console, sh, yaml, toml or text"


@pytest.mark.parametrize(("page", "test"), FOLLOWED.items())
def test_the_test_that_follows_a_page_names_it(page, test):
    assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [each for each in EVERY if each.language == "console" and not each.reason], ids=str)
def test_a_console_block_holds_nothing_but_commands_that_its_test_runs(block):
    typed = [line for line in block.code.splitlines() if line.strip()]
    assert [line for line in typed if not re.match(r"\$ (?:[A-Z_]+=\S+ )*(headstart|python) ", line)] == []


@pytest.mark.parametrize("block", [each for each in EVERY if each.language == "toml"], ids=str)
def test_a_toml_block_can_be_read(block):
    assert tomllib.loads(block.code)


@pytest.mark.parametrize("block", UNRUN, ids=str)
def test_what_is_not_run_can_still_be_typed(block):
    """Commands and options exist, recipes are sound with what `--set` changes, and scripts are there with their options."""
    for line in block.lines:
        name, *arguments = shlex.split(line)
        if name == "headstart":
            demand_typeable(arguments)
        elif name.endswith("python") and arguments[0].endswith(".py"):
            source = (ROOT / arguments[0]).read_text(encoding="utf-8")
            assert [word for word in arguments[1:] if word.startswith("--") and f'"{word}"' not in source] == [], line
        elif name == "make":
            assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), line


def demand_typeable(arguments: list[str]) -> None:
    from headstart.cli.main import cli

    context = click.Context(cli)
    while arguments[0].startswith("--"):  # flags of every command, like --offline
        assert any(arguments[0] in option.opts for option in cli.params), arguments[0]
        arguments = arguments[1:]
    command = cli.get_command(context, arguments[0])
    assert command is not None, arguments[0]
    command.make_parser(click.Context(command, parent=context)).parse_args(args=arguments[1:])
    if arguments[0] == "run" and "--resume" not in arguments and not arguments[1].startswith(("runs/", "kit/")):
        overrides = [word for flag, word in pairwise(arguments) if flag == "--set"]
        path = find_recipe(arguments[1] if not (ROOT / arguments[1]).exists() else ROOT / arguments[1])
        assert [str(problem) for problem in check_recipe(path, overrides)] == []


@pytest.mark.parametrize("block", [each for each in EVERY if each.language == "yaml"], ids=str)
def test_an_example_of_a_recipe_is_sound(block, tmp_path):
    """With stand-ins for the parts that it leaves out: every key, option and value is one that the code knows."""
    document = parse(block.code, str(block)).data
    text = block.code
    named = re.findall(r"\b(nlp|vision|healthcare|protein|digits)/", block.code)
    if "digits" in named:
        pytest.skip("its plugin is on the page; the page's commands run it")
    if "data" not in document:
        text += f"\ndata: {STAND_INS[named[0] if named else 'nlp']}\n"
    if "backbone" not in document:
        text += "\nbackbone: " + {"vision": "vision/resnet18"}.get(named[0] if named else "nlp", "nlp/encoder") + "\n"
    file = tmp_path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    assert [str(problem) for problem in check_recipe(file)] == []
