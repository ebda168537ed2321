"""Only plugins that the allow-lists name are imported: by name, by version, by the variable and by the user's file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.allowed import allow_lists
from headstart.errors import UsageError

SPY = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two distributions, version 1.0, whose import leaves a file behind."""
    for name in ("good", "other"):
        info = tmp_path / "site" / f"headstart_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: headstart-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[headstart]\n{name} = spy_{name}\n")
        (tmp_path / "site" / f"spy_{name}.py").write_text(SPY)
    return tmp_path / "site"


def call(site: Path, *args: str, file: str | None = None, variable: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "HEADSTART_PLUGINS": variable}
    if file is not None:
        (site.parent / "config.toml").write_text(file)
        environment["HEADSTART_CONFIG"] = str(site.parent / "config.toml")
    command = [sys.executable, "-m", "headstart", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def errors(done: subprocess.CompletedProcess[str]) -> dict[str, str | None]:
    assert done.returncode == 0, done.stderr
    return {record["name"]: record["error"] for record in json.loads(done.stdout)}


def imported(site: Path) -> set[str]:
    return {path.stem.removeprefix("spy_") for path in site.glob("*.imported")}


def test_without_a_list_all_are_imported(site: Path) -> None:
    assert errors(call(site, "plugins", "--json"))["other"] is None
    assert imported(site) == {"good", "other"}


@pytest.mark.parametrize(
    ("file", "variable"),
    [
        ('plugins = ["headstart-good"]', ""),
        ('plugins = ["headstart_good==1.0"]', ""),
        ('plugins = ["headstart-good", "headstart-other"]', "good==1.0.0"),
        (None, "headstart-good==1.0"),
    ],
)
def test_a_plugin_off_the_list_is_listed_and_never_imported(site: Path, file: str | None, variable: str) -> None:
    for args in (("plugins", "--json"), ("list", "heads"), ("doctor",)):
        done = call(site, *args, file=file, variable=variable)
        assert done.returncode == 0, done.stderr
        if args[0] == "plugins":
            assert errors(done)["good"] is None
            assert str(errors(done)["other"]).startswith("left out by ")
    assert imported(site) == {"good"}


def test_another_version_than_the_pinned_one_is_not_imported(site: Path) -> None:
    found = errors(call(site, "plugins", "--json", file='plugins = ["headstart-good==1.1"]'))
    assert "which allows version 1.1, and 1.0 is installed" in str(found["good"])
    assert imported(site) == set()


def test_an_empty_list_leaves_the_core_alone_and_a_typing_error_is_seen(site: Path) -> None:
    assert [name for name, error in errors(call(site, "plugins", "--json", file="plugins = []")).items() if not error] == [
        "core"
    ]
    found = errors(call(site, "plugins", "--json", file='plugins = ["headstart-god"]'))
    assert str(found["headstart-god"]).endswith("but not installed")
    assert imported(site) == set()


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ('plugins = ["headstart-good>=1"]', "'headstart-good>=1' is neither a name nor name==version"),
        ('plugins = ["headstart-good=="]', "is neither a name nor name==version"),
        ('plugins = "headstart-good"', "plugins is a list of names"),
        ('plugin = ["headstart-good"]', "there is no setting 'plugin'; known: plugins"),
        ("plugins = [", "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_read_stops_the_command_before_an_import(site: Path, file: str, says: str) -> None:
    done = call(site, "plugins", file=file)
    assert done.returncode == 2
    assert says in done.stderr
    assert imported(site) == set()


def test_a_named_file_that_is_absent_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="HEADSTART_CONFIG: there is no file"):
        allow_lists()


def test_the_usual_file_is_the_one_in_the_users_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADSTART_CONFIG", raising=False)
    monkeypatch.delenv("HEADSTART_PLUGINS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert allow_lists() == ()
    (tmp_path / "headstart").mkdir()
    (tmp_path / "headstart" / "config.toml").write_text('plugins = ["nlp"]')
    (found,) = allow_lists()
    assert found.refusal(("nlp", "headstart-nlp"), "0.1.0") == ""
    assert found.refusal(("vision", "headstart-vision"), "0.1.0") != ""
