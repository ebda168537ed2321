"""Plugins in isolation: real little distributions on disk, each with another fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from headstart.components import Component
from headstart.discovery import PluginRecord
from headstart.errors import MissingError, PluginError, UsageError
from headstart.plugins import Registry, UnknownNameError, registry

OFFER = """
from headstart.components import Component
from headstart.hookspecs import hookimpl

@hookimpl
def headstart_{hook}():
    yield Component("{name}", "headstart.builtin.strategies:Probe", "a part of a test")
"""


def install(site: Path, name: str, code: str, requires: tuple[str, ...] = ("headstart>=0.1",)) -> None:
    """Put a distribution `headstart-<name>` 1.0 into a folder as pip would."""
    module = f"hs_{name.replace('-', '_')}"
    info = site / f"headstart_{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: headstart-{name}\nVersion: 1.0\n{needs}", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[headstart]\n{name} = {module}\n", encoding="utf-8")
    (site / f"{module}.py").write_text(dedent(code), encoding="utf-8")


def headstart(site: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "HEADSTART_PLUGIN_SECONDS": "2", **variables}
    command = [sys.executable, "-m", "headstart", *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def records(site: Path, **variables: str) -> dict[str, dict[str, object]]:
    done = headstart(site, "plugins", "--json", **variables)
    assert done.returncode == 0, done.stderr
    return {record["name"]: record for record in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """One of each fault, beside a sound plugin."""
    site = tmp_path_factory.mktemp("site")
    install(site, "sound", OFFER.format(hook="strategies", name="sound/way"))
    install(site, "raising", "raise RuntimeError('no luck')")
    install(site, "leaving", "import sys; sys.exit(3)")
    install(site, "vanishing", "import os\ntry:\n    os._exit(0)\nexcept Exception:\n    pass")
    install(site, "aborting", "import os\nos.abort()")
    install(site, "forking", "import os\nif not os.fork():\n    os._exit(0)\nassert os.wait()[1] == 0")
    install(site, "circle", "import hs_circle_back")
    (site / "hs_circle_back.py").write_text("from hs_circle import headstart_heads", encoding="utf-8")
    install(site, "asking", "from headstart.plugins import registry\nassert registry().names('head')")
    install(site, "lacking", "import not_there_at_all", requires=("headstart", "not-there-at-all>=2"))
    install(site, "misspelt", OFFER.format(hook="strategys", name="misspelt/way"))
    install(site, "unmarked", "def headstart_heads():\n    return []")
    install(
        site, "future", "from pathlib import Path\nPath(__file__).with_name('imported').touch()", requires=("headstart>=99",)
    )
    install(site, "hanging", "import time\ntry:\n    time.sleep(60)\nexcept Exception:\n    pass")
    mixed = (
        OFFER.format(hook="strategies", name="mixed/way")
        + "    yield 'no component'\n    yield Component('Bad Name', 'a:B', '')\n"
    )
    install(site, "mixed", mixed)
    install(site, "thief", OFFER.format(hook="strategies", name="sound/way") + OFFER.format(hook="heads", name="linear"))
    install(site, "noisy", "print('hello from import')")
    install(
        site, "wrong-signature", OFFER.format(hook="heads", name="x/y").replace("headstart_heads()", "headstart_heads(extra)")
    )
    return site


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("raising", ["RuntimeError: no luck", "hs_raising.py:1"]),
        ("leaving", ["SystemExit"]),
        ("vanishing", ["import fails", "calls os._exit, which would end this process"]),
        ("aborting", ["import fails", "calls os.abort, which would end this process"]),
        ("circle", ["import fails: ImportError: cannot import name 'headstart_heads'", "circular import"]),
        ("lacking", ["'not_there_at_all' is not installed", "pip install 'not-there-at-all>=2'"]),
        ("misspelt", ["no hook named 'headstart_strategys'", "did you mean 'headstart_strategies'?"]),
        ("unmarked", ["'headstart_heads' is not marked with @hookimpl"]),
        ("future", ["needs headstart>=99", "this is headstart 0."]),
        ("hanging", ["longer than 2 s"]),
        ("mixed", ["'no component', which is not a Component", "'Bad Name' is not lower case"]),
        (
            "thief",
            ["'sound/way' is offered by headstart-sound 1.0 and headstart-thief 1.0", "'linear' needs the plugin's prefix"],
        ),
        ("sound", ["'sound/way' is offered by headstart-sound 1.0 and headstart-thief 1.0"]),
        ("wrong-signature", ["extra"]),
    ],
)
def test_a_broken_plugin_is_a_record_with_its_error(site, all_records, name, parts):
    assert [part for part in parts if part not in all_records[name]["error"]] == []


@pytest.fixture(scope="module")
def all_records(site) -> dict[str, dict[str, object]]:
    return records(site)


def test_everything_else_goes_on_beside_broken_plugins(site, all_records):
    assert all_records["core"]["error"] is None
    assert all_records["nlp"]["error"] is None
    assert all_records["noisy"]["error"] is None
    assert all_records["forking"]["error"] is None  # its child may end itself
    assert all_records["asking"]["error"] is None  # the plugins are asked for while they are loaded
    assert all_records["mixed"]["offers"]["strategy"] == ["mixed/way"]
    shown = headstart(site, "show", "mixed/way")
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, "mixed/way  (strategy, headstart.builtin.strategies:Probe)")
    assert headstart(site, "show", "linear").returncode == 0


def test_an_incompatible_plugin_is_not_imported(site, all_records):
    assert all_records["future"]["error"]
    assert not (site / "imported").exists()


def test_a_recipe_that_needs_no_broken_plugin_is_sound(site, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {use: table, path: x.csv}\nbackbone: nlp/encoder\n", encoding="utf-8")
    assert headstart(site, "check", str(recipe), "--recipe-only").returncode == 0


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("raising/way", "the plugin headstart-raising 1.0 does not work: import fails: RuntimeError: no luck"),
        ("sound/way", "offered by headstart-sound 1.0 and headstart-thief 1.0"),
    ],
)
def test_a_recipe_that_needs_a_broken_plugin_exits_4_and_says_where(site, tmp_path, strategy, said):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{use: table, path: x.csv}}\nbackbone: nlp/encoder\nstrategy: {strategy}\n", encoding="utf-8")
    done = headstart(site, "check", str(recipe), "--recipe-only")
    assert done.returncode == 4
    assert said in done.stderr
    assert f"{recipe}:3:11" in done.stderr


def test_what_a_plugin_prints_while_loading_is_not_in_the_results(site):
    done = headstart(site, "list", "heads", "--json")
    assert "hello from import" in done.stderr
    json.loads(done.stdout)


@pytest.mark.parametrize("allowed", ["mixed, noisy", "headstart-mixed,noisy"])
def test_an_allow_list_limits_loading_to_the_core_and_what_it_names(site, allowed):
    found = records(site, HEADSTART_PLUGINS=allowed)
    assert [name for name, record in found.items() if not record["error"]] == ["core", "noisy"]
    assert found["mixed"]["offers"]["strategy"] == ["mixed/way"]
    assert found["raising"]["error"] == "left out by HEADSTART_PLUGINS"


def test_an_allow_list_that_names_nothing_installed_says_so(site):
    assert "not installed" in records(site, HEADSTART_PLUGINS="mixd")["mixd"]["error"]


def test_no_plugins_leaves_the_core_alone(site):
    found = records(site, HEADSTART_NO_PLUGINS="1")
    assert [name for name, record in found.items() if not record["error"]] == ["core"]


def test_a_plugin_from_one_file_is_added_for_one_call(tmp_path):
    file = tmp_path / "my_way.py"
    file.write_text(OFFER.format(hook="strategies", name="my/way"), encoding="utf-8")
    assert headstart(tmp_path, "--plugin", str(file), "show", "my/way").returncode == 0
    assert headstart(tmp_path, "show", "my/way").returncode == 2


def test_the_parts_of_a_plugin_file_are_described_from_that_file(tmp_path):
    file = tmp_path / "my_file_data.py"
    file.write_text(
        "from headstart.components import Component\nfrom headstart.hookspecs import hookimpl\n"
        "from headstart.data import Data\n\n"
        "class Mine(Data):\n    '''Mine.'''\n    modality = 'sound'\n    def __init__(self, *, rate: int = 16000): ...\n\n"
        "@hookimpl\ndef headstart_data():\n    yield Component('my/sound', 'my_file_data:Mine', 'sounds')\n",
        encoding="utf-8",
    )
    done = headstart(tmp_path, "--plugin", str(file), "show", "my/sound", "--json")
    shown = json.loads(done.stdout)
    assert shown["attributes"]["modality"] == "sound"
    assert shown["options"][0]["default"] == 16000


def test_a_plugin_file_with_the_name_of_a_module_is_refused(tmp_path):
    file = tmp_path / "json.py"
    file.write_text("", encoding="utf-8")
    done = headstart(tmp_path / "elsewhere", "--plugin", str(file), "plugins")
    assert "rename the file" in done.stdout


def test_an_unknown_name_gets_a_suggestion_and_the_known_ones():
    with pytest.raises(UsageError, match=r"no backbone named 'nlp/encodr'; did you mean 'nlp/encoder'\? known: .*nlp/encoder"):
        registry().find("backbone", "nlp/encodr")


def test_a_name_of_another_kind_is_explained():
    with pytest.raises(UnknownNameError, match="'nlp/encoder' is a backbone; heads: "):
        registry().find("head", "nlp/encoder")


def test_a_known_family_that_is_not_installed_gives_its_line():
    core_alone = Registry([PluginRecord("core", "headstart", "0.1")])
    with pytest.raises(MissingError, match="pip install headstart-vision"):
        core_alone.find("backbone", "vision/resnet50")


def test_a_name_offered_twice_fails_at_look_up_and_leaves_the_rest():
    def offer(distribution: str, *names: str) -> PluginRecord:
        parts = tuple(Component(name, "a:B", "") for name in names)
        return PluginRecord(distribution, distribution, "1.0", {"head": parts})

    both = Registry([offer("one", "x/a", "x/b"), offer("two", "x/a", "y/c")])
    with pytest.raises(PluginError, match=r"'x/a' is offered by one 1.0 and two 1.0"):
        both.find("head", "x/a")
    assert both.find("head", "x/b").name == "x/b"
    assert both.find("head", "y/c").name == "y/c"


def test_recipes_of_plugins_are_named_by_their_path(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "reviews.yaml").touch()
    found = Registry([PluginRecord("x", "x", recipe_folders=(tmp_path,))])
    assert found.recipes() == {"text/reviews": tmp_path / "text" / "reviews.yaml"}
