"""Broken plugins beside a sound demo: they are listed with their errors, and the demo runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MISSPELT = """
from headstart.components import Component
from headstart.hookspecs import hookimpl

@hookimpl
def headstart_bakbones():
    yield Component("misspelt/net", "nowhere:Net", "a backbone that nobody will see")
"""
TRACE = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"


def install(site: Path, name: str, code: str, needs: str) -> None:
    """A distribution `headstart-<name>` as pip lays it down."""
    info = site / f"headstart_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: headstart-{name}\nVersion: 1.0\nRequires-Dist: {needs}\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(f"[headstart]\n{name} = headstart_{name}\n", encoding="utf-8")
    (site / f"headstart_{name}.py").write_text(code, encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One plugin that raises, one for another core, one with a misspelt hook."""
    site = tmp_path_factory.mktemp("site")
    install(site, "raising", "raise RuntimeError('the licence server is gone')\n", "headstart>=0.1")
    install(site, "future", TRACE, "headstart>=7,<8")
    install(site, "misspelt", MISSPELT, "headstart>=0.1")
    return site


@pytest.fixture(scope="module")
def path(site):
    """PYTHONPATH with the broken plugins on it."""
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))


def test_all_three_are_listed_with_their_errors(headstart, site, path):
    done = headstart("plugins", "--json", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    errors = {record["name"]: record["error"] or "" for record in json.loads(done.stdout)}
    assert "RuntimeError: the licence server is gone" in errors["raising"]
    assert "needs headstart" in errors["future"]
    assert "did you mean 'headstart_backbones'?" in errors["misspelt"]
    assert (errors["core"], errors["nlp"]) == ("", "")
    assert not (site / "headstart_future.imported").exists(), "a plugin for another core is not even imported"


def test_people_see_the_errors_too(headstart, path):
    done = headstart("plugins", PYTHONPATH=path)
    for name, said in (("raising", "licence server"), ("future", "needs headstart"), ("misspelt", "headstart_bakbones")):
        assert any(name in line and said in line for line in done.stdout.splitlines()), name


def test_the_demo_runs_beside_them(demo_packages, headstart, path, tmp_path):
    sizes = ["--set=split.train=24", "--set=split.val=20", "--set=split.test=20", "--set=strategy.epochs=1"]
    done = headstart("run", "recipes/nlp/sentiment-probe.yaml", *sizes, "--out", tmp_path, "--json", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == {"train": 24, "val": 20, "test": 20}


def test_what_belongs_to_a_broken_plugin_is_refused_with_its_reason(headstart, path, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {use: table, path: rows.csv}\nbackbone: raising/net\n", encoding="utf-8")
    done = headstart("check", recipe, PYTHONPATH=path)
    assert done.returncode == 4
    assert "the licence server is gone" in done.stderr
