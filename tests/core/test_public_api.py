"""The public API: what it was at the last release stands in docs/api.txt, and every change of it in the changelog."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import headstart

ROOT = Path(__file__).resolve().parents[2]


def reference():
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "docs/reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unannounced(before: Iterable[str], now: Iterable[str], unreleased: str) -> list[str]:
    """Changed lines of the API whose last name does not stand in backticks in the changelog's unreleased part."""
    changed = sorted(set(before) ^ set(now))
    said = " ".join(re.findall(r"`([^`]+)`", unreleased))
    return [line for line in changed if line.partition("(")[0].rpartition(".")[2] not in re.findall(r"\w+", said)]


def test_every_change_of_the_public_api_stands_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## [")[0] or text.partition("\n## ")[2].partition("\n## ")[0]
    before = (ROOT / "docs/api.txt").read_text(encoding="utf-8").splitlines()
    missing = unannounced(before, reference().api(), unreleased)
    assert missing == [], "name them in CHANGELOG.md, unreleased; or, at a release: python docs/reference.py --release"


def test_a_change_that_nobody_announced_is_seen():
    before = ["Head", "Head.predict(features)", "load(path)"]
    now = ["Head", "Head.predict(features, seed=0)", "Stage"]
    assert unannounced(before, now, "Nothing.") == [
        "Head.predict(features)",
        "Head.predict(features, seed=0)",
        "Stage",
        "load(path)",
    ]
    assert unannounced(before, now, "`Head.predict` takes `seed`; `Stage` is new.") == ["load(path)"]


def test_every_public_name_can_be_had_and_is_sorted():
    assert list(headstart.__all__) == sorted(headstart.__all__)
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None


def test_importing_the_package_and_the_kit_imports_no_torch():
    code = "import sys, headstart, headstart.testing; from headstart.testing import BackboneCase; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_reference_is_that_of_the_docstrings():
    found = reference()
    pages = found.pages()
    assert {path.name: path.read_text("utf-8") for path in found.FOLDER.glob("*.md")} == pages, "run: python docs/reference.py"


def test_links_of_the_reference_lead_to_files():
    folder = ROOT / "docs/reference"
    for page in folder.glob("*.md"):
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text("utf-8")):
            assert (folder / target).resolve().exists(), f"{page.name}: {target}"


def test_every_hook_and_base_class_has_a_page_with_words():
    pages = reference().pages()
    for name in (*reference().KNOWN_HOOKS, "backbone", "head", "strategy", "data", "evaluation"):
        assert len(pages[f"{name}.md"].split()) > 25, name
