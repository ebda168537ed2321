"""`headstart plugins new`: every choice of parts is a whole package, and what cannot be written leaves nothing behind."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from headstart.cli.main import execute
from headstart.errors import UsageError
from headstart.scaffold.naming import names_for
from headstart.scaffold.writing import KINDS, package_files, write_package

CHOICES = [chosen for size in range(1, 5) for chosen in itertools.combinations(KINDS, size)]
ONE_SCREEN = 80  # lines of a part, its docstrings and blank lines among them


@pytest.mark.parametrize("kinds", CHOICES, ids="+".join)
def test_every_choice_of_parts_is_a_package_of_sound_files(kinds):
    files = package_files(names_for("headstart-audio"), kinds)
    for path, text in files.items():
        assert "@{" not in text, path
        if path.endswith(".py"):
            ast.parse(text)
            assert max(map(len, text.splitlines()), default=0) <= 128, path
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["entry-points"]["headstart"] == {"audio": "headstart_audio.plugin"}
    assert project["dependencies"] == ["headstart>=0.1,<0.2"]
    assert {path for path in files if path.startswith("src/headstart_audio/") and Path(path).stem in KINDS} == {
        f"src/headstart_audio/{kind}.py" for kind in kinds
    }
    assert ("tests/stand_ins.py" in files) == (not {"backbone", "data"} <= set(kinds))


@pytest.mark.parametrize("kinds", [KINDS, ("head",)], ids="+".join)
def test_a_long_name_is_written_in_lines_that_fit(kinds):
    long = names_for("headstart-magnetoencephalography")
    wide = [
        (path, line)
        for path, text in package_files(long, kinds).items()
        for line in text.splitlines()
        if path.endswith(".py") and len(line) > 128
    ]
    assert wide == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_fits_on_a_screen(kind):
    assert len(package_files(names_for("headstart-audio"), KINDS)[f"src/headstart_audio/{kind}.py"].splitlines()) <= ONE_SCREEN


def test_the_plugin_module_imports_nothing_but_the_hook_and_the_component():
    tree = ast.parse(package_files(names_for("headstart-audio"), KINDS)["src/headstart_audio/plugin.py"])
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "pathlib", "headstart"}


@pytest.fixture
def written(tmp_path) -> tuple[Path, dict[str, str]]:
    """A written package with all parts, and an environment in which it is as if installed."""
    package = write_package("headstart-audio", folder=tmp_path)
    return package, as_installed(package, tmp_path / "site")


def as_installed(package: Path, site: Path) -> dict[str, str]:
    """The environment with the package's source and its metadata on the path, as `pip install -e` leaves them."""
    info = site / "headstart_audio-0.1.0.dist-info"
    info.mkdir(parents=True)
    needs = "Requires-Dist: headstart>=0.1,<0.2\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: headstart-audio\nVersion: 0.1.0\n{needs}", encoding="utf-8")
    (info / "entry_points.txt").write_text("[headstart]\naudio = headstart_audio.plugin\n", encoding="utf-8")
    path = os.pathsep.join([str(site), str(package / "src")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HEADSTART_PLUGINS": "audio"}


def call(environment: dict[str, str], *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *args]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def test_the_written_plugin_is_listed_and_its_recipe_is_sound(written):
    _, environment = written
    records = {each["name"]: each for each in json.loads(call(environment, "headstart", "plugins", "--json").stdout)}
    assert records["audio"]["error"] is None
    offers = {kind: names for kind, names in records["audio"]["offers"].items() if names}
    assert offers == {
        "backbone": ["audio/net"],
        "head": ["audio/prototypes"],
        "strategy": ["audio/top-down"],
        "data": ["audio/signals"],
        "case": ["audio/cases"],
    }
    checked = call(environment, "headstart", "check", "audio/example", "--recipe-only")
    assert checked.returncode == 0, checked.stderr
    assert "audio/signals x audio/net x audio/prototypes x audio/top-down" in checked.stdout


@pytest.mark.slow  # every check of every part, a whole run and mypy over torch: half a minute each
@pytest.mark.parametrize(
    "kinds", [(), ("backbone",), ("head",), ("strategy",), ("data",)], ids=lambda kinds: "+".join(kinds) or "all"
)
def test_the_written_tests_pass(kinds, tmp_path):
    package = write_package("headstart-audio", kinds, tmp_path)
    done = call(as_installed(package, tmp_path / "site"), "pytest", "-q", "-p", "no:cacheprovider", cwd=package)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory) -> str:
    """What mypy learnt of torch, kept from one of these tests to the next."""
    return f"--cache-dir={tmp_path_factory.mktemp('mypy')}"


@pytest.mark.slow  # as above
@pytest.mark.parametrize(
    "kinds", [(), ("backbone",), ("head",), ("strategy",), ("data",)], ids=lambda kinds: "+".join(kinds) or "all"
)
def test_the_written_package_passes_mypy_strict_and_ruff(kinds, tmp_path, mypy_cache):
    package = write_package("headstart-audio", kinds, tmp_path)
    environment = {**as_installed(package, tmp_path / "site"), "MYPYPATH": "src"}
    for tool in (("mypy", mypy_cache), ("ruff", "check", "--no-cache", "."), ("ruff", "format", "--no-cache", "--check", ".")):
        done = call(environment, *tool, cwd=package)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow  # as above
def test_the_plugin_of_the_tutorial_passes_mypy_strict(tmp_path, mypy_cache):
    page = (Path(__file__).parents[3] / "docs/write-a-plugin.md").read_text(encoding="utf-8")
    code = re.search(r"<!-- file: digits\.py -->\n```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "digits.py").write_text(code[1], encoding="utf-8")
    done = call(dict(os.environ), "mypy", "--strict", mypy_cache, "digits.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow  # as above
def test_the_third_party_example_passes_mypy_strict(tmp_path, mypy_cache):
    """What of transformers it uses counts as untyped: mypy takes a minute of CPU to read all that it imports."""
    settings = "[mypy]\nstrict = true\n[mypy-transformers.*]\nfollow_imports = skip\nignore_missing_imports = true\n"
    (tmp_path / "mypy.ini").write_text(f"{settings}[mypy-scipy.*]\nignore_missing_imports = true\n", encoding="utf-8")
    source = Path(__file__).parents[3] / "examples/headstart-protein/src"
    environment = {**os.environ, "MYPYPATH": str(source)}
    done = call(environment, "mypy", "--config-file=mypy.ini", mypy_cache, "-p", "headstart_protein", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Headstart_Audio", "did you mean 'headstart-audio'"),
        ("headstart--audio", "did you mean 'headstart-audio'"),
        ("../audio", "lower case letters, digits and single hyphens"),
        ("", "is not a name like"),
        ("json", "'json' is a module already"),
        ("headstart", "is a module already"),
        ("class", "is a module already"),
        ("headstart-core", "'core' is taken by the plugin headstart"),
        ("numpy", "a module named 'numpy' is installed already"),
        ("a" * 61, "is not a name like"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(name, says, tmp_path):
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        write_package(name, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_as_it_is(tmp_path):
    (tmp_path / "headstart-audio").mkdir()
    (tmp_path / "headstart-audio" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already; choose another name"):
        write_package("headstart-audio", folder=tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["headstart-audio", "mine.txt"]


def test_a_disk_that_fails_halfway_leaves_nothing(tmp_path, monkeypatch):
    write, written = Path.write_text, []

    def full(self: Path, *args, **options):
        written.append(self)
        if len(written) > 5:
            raise OSError(28, "No space left on device")
        return write(self, *args, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        write_package("headstart-audio", folder=tmp_path)
    assert len(written) > 5
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_type_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute(["plugins", "new", "headstart-audio", "--head"]) == 0
    assert "pip install -e headstart-audio" in capsys.readouterr().out
    assert execute(["plugins", "new", "headstart-audio"]) == 2
    assert "exists already" in capsys.readouterr().err
