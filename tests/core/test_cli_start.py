"""How the command starts: quickly, without torch, with the right exit codes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.cli.main import COMMANDS

HEAVY = ("torch", "transformers", "sklearn", "datasets", "scipy", "altair")
SPY = """
import sys
from headstart.cli.main import execute
code = execute(sys.argv[1:])
print("LOADED", *(name for name in {names!r} if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""
SOUND = "data: {use: table, path: none.csv, text: review}\nbackbone: nlp/encoder\n"


def start(*args: str, names: tuple[str, ...] = HEAVY, **variables: str) -> tuple[int, str, str, set[str]]:
    """Run the command in its own process; exit code, stdout, stderr and which of `names` were imported."""
    command = [sys.executable, "-c", SPY.format(names=names), *args]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    errors, _, loaded = done.stderr.rpartition("LOADED")
    return done.returncode, done.stdout, errors, set(loaded.split())


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("-h",)])
def test_help_and_version_import_neither_torch_nor_pydantic_nor_rich_nor_plugins(args):
    names = (*HEAVY, "pydantic", "rich", "griffe", "headstart.plugins", "headstart_nlp")
    code, out, _, loaded = start(*args, names=names)
    assert code == 0
    assert out
    assert not loaded


def test_help_takes_at_most_0_3_seconds_of_cpu():
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "headstart", "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) <= 0.3


def test_help_names_every_command():
    _, out, _, _ = start("--help")
    listed = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.startswith("  ") and line.strip()}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize(
    "args",
    [
        ("list", "backbones"),
        ("list", "--json"),
        ("show", "nlp/encoder"),
        ("show", "gradual", "--json"),
        ("plugins",),
    ],
)
def test_listing_and_showing_import_no_torch(args):
    code, out, _, loaded = start(*args)
    assert code == 0
    assert out
    assert not loaded


def test_show_prints_options_with_type_default_and_help():
    _, out, _, _ = start("show", "nlp/encoder")
    assert "pooling: Literal['mean', 'cls'" in out
    assert '= "mean"' in out
    assert "ports    pooled, tokens, mask" in out
    assert "Apache-2.0" in out


def test_a_recipe_is_checked_without_torch(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SOUND, encoding="utf-8")
    code, out, _, loaded = start("check", str(recipe), "--recipe-only")
    assert (code, loaded) == (0, set())
    assert "table x nlp/encoder x linear x probe" in out


def test_six_mistakes_are_six_located_errors_at_once(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data:\n  use: table\n  txt: review\n  path: x.csv\n"
        "backbone: nlp/encodr\nhead: {use: regression}\n"
        "strategy:\n  use: full\n  epochs: many\n"
        "train:\n  lr: 1e-4\n  batch_size: 0\n",
        encoding="utf-8",
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, out, errors, loaded = start("check", str(recipe))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (code, out, loaded) == (2, "", set())
    places = [line.split(": ")[0].rpartition("yaml:")[2] for line in errors.splitlines() if line.startswith(str(recipe))]
    assert places == ["3:3", "5:11", "6:13", "9:11", "11:3", "12:15"]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_problems_as_json_go_to_stdout(tmp_path):
    import json

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SOUND + "epochs: 3\n", encoding="utf-8")
    code, out, _, _ = start("check", str(recipe), "--json")
    problem = json.loads(out)["recipe"]["problems"][0]
    assert code == 2
    assert (problem["line"], problem["column"], problem["message"]) == (3, 1, "unknown key 'epochs'")


def test_a_misspelt_command_gets_a_suggestion():
    code, _, errors, _ = start("plugns")
    assert code == 2
    assert "Did you mean 'plugins'?" in errors


def test_a_missing_plugin_exits_4_with_the_line_that_installs_it(tmp_path):
    code, _, errors, _ = start("show", "nlp/encoder", HEADSTART_NO_PLUGINS="1")
    assert code == 4
    assert "left out by HEADSTART_NO_PLUGINS" in errors


def test_offline_is_set_before_anything_is_imported(tmp_path):
    plugin = tmp_path / "spy_offline.py"
    plugin.write_text(
        "import os\nfrom headstart.hookspecs import hookimpl\nimport click\n"
        "seen = os.environ.get('HF_HUB_OFFLINE')\n"
        "@hookimpl\ndef headstart_commands():\n    yield click.Command('seen', callback=lambda: click.echo(f'seen={seen}'))\n",
        encoding="utf-8",
    )
    code, out, _, _ = start("--offline", "--plugin", str(plugin), "seen")
    assert (code, out) == (0, "seen=1\n")


def command_of(tmp_path: Path, body: str) -> str:
    """A plugin file whose command `act` runs `body`."""
    plugin = tmp_path / "acting.py"
    plugin.write_text(
        "from headstart.hookspecs import hookimpl\nimport click\n"
        f"def act():\n    {body}\n"
        "@hookimpl\ndef headstart_commands():\n    yield click.Command('act', callback=act)\n",
        encoding="utf-8",
    )
    return str(plugin)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("from headstart.errors import DataError; raise DataError('no rows')", 3, "error: no rows"),
        ("from headstart.errors import WeightsError; raise WeightsError('no weights')", 4, "error: no weights"),
        ("from headstart.errors import QualityGateError; raise QualityGateError('0.5 < 0.9')", 5, "0.5 < 0.9"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("raise ZeroDivisionError('by zero')", 1, "this is a fault of headstart; run again with --debug"),
        ("raise OSError(28, 'No space left on device', 'x.bin')", 1, "error: x.bin: No space left on device; make room there"),
        ("e = ValueError('odd'); e.add_note('see the log'); raise e", 1, "--debug to see where\nsee the log"),
        ("click.get_current_context().exit(7)", 7, ""),
    ],
)
def test_errors_become_exit_codes_without_a_traceback(tmp_path, body, code, said):
    result, _, errors, _ = start("--plugin", command_of(tmp_path, body), "act")
    assert result == code
    assert said in errors
    assert "Traceback" not in errors


def test_debug_shows_the_traceback_also_as_the_last_word(tmp_path):
    plugin = command_of(tmp_path, "raise ZeroDivisionError('by zero')")
    command = [sys.executable, "-m", "headstart", "--plugin", plugin, "act", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "in act" in done.stderr


def test_cp_copies_a_recipe_and_keeps_its_places_true(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from" / "rows.csv").write_text("review,label\n", encoding="utf-8")
    source = tmp_path / "from" / "recipe.yaml"
    source.write_text("# kept\ndata: {use: table, path: rows.csv, text: review}\nbackbone: nlp/encoder\n", encoding="utf-8")
    code, _, _, _ = start("cp", str(source), str(tmp_path / "to"))
    copy = (tmp_path / "to" / "recipe.yaml").read_text(encoding="utf-8")
    assert code == 0
    assert copy == source.read_text(encoding="utf-8").replace("rows.csv", "../from/rows.csv")
    code, _, errors, _ = start("cp", str(source), str(tmp_path / "to"))
    assert code == 2
    assert "--force" in errors


def test_importing_headstart_imports_no_torch_and_its_public_names_are_there():
    script = (
        "import sys, headstart\n"
        "assert 'torch' not in sys.modules\n"
        "headstart.Recipe, headstart.Part, headstart.Component, headstart.hookimpl, headstart.errors.DataError\n"
        "assert 'torch' not in sys.modules\n"
        "print(headstart.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    from importlib.metadata import version

    assert done.stdout.strip() == version("headstart")


@pytest.mark.parametrize(("given", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_the_commands_threads_sleep_while_they_wait_unless_told_otherwise(given, found):
    tell = "import atexit, os; atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY']))"
    code = f"{tell}; from headstart.cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert done.stdout.splitlines()[-1] == found


def test_every_public_name_can_be_imported():
    import headstart

    assert [name for name in headstart.__all__ if getattr(headstart, name, None) is None] == []
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = headstart.Nothing


@pytest.mark.parametrize("args", [("schema", "-o", "/proc/s.json"), ("cp", "nlp/sentiment-probe", "/proc/")])
def test_what_cannot_be_written_is_one_sentence_and_exit_2(args):
    code, out, errors, _ = start(*args)
    assert (code, out) == (2, "")
    assert "error: cannot write '/proc/" in errors
    assert "fault of headstart" not in errors


def test_copying_a_misspelt_recipe_is_answered_with_the_nearest_name(tmp_path):
    code, _, errors, _ = start("cp", "nlp/sentiment-prob", str(tmp_path))
    assert code == 2
    assert "did you mean 'nlp/sentiment-probe'? known: " in errors
