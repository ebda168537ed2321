"""The page in a real browser: charts are drawn, nothing is asked of the network, nothing is complained about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from headstart.report.page import write_report

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome in PATH")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--enable-logging=stderr",
    "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000",
]  # fmt: skip
ATTACK = "</script><script>console.error('hacked')</script><img src=http://evil.example/x onerror=console.error('hacked')>"


@dataclass(frozen=True)
class Visit:
    """What a browser made of a page: the document afterwards, complaints on its console, requests to the network."""

    dom: str
    complaints: list[str]
    requests: list[str]
    picture: Path


@pytest.fixture
def visit(tmp_path: Path) -> Callable[..., Visit]:
    def look(page: Path, width: int = 1280) -> Visit:
        log, picture = tmp_path / "net.json", tmp_path / "page.png"
        found = subprocess.run(
            [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}",
             f"--window-size={width},3000", f"--screenshot={picture}", "--dump-dom", page.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        complaints = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
        return Visit(found.stdout, complaints, requested(log), picture)

    return look


@pytest.mark.parametrize(("variant", "width"), [("multi", 1280), ("binary", 400), ("number", 1280)])
def test_the_page_draws_its_charts_quietly_and_offline(run_folder, visit, variant, width):
    seen = visit(write_report(run_folder(variant, n=150, excerpt=ATTACK)), width)
    assert not seen.complaints
    drawn = re.search(r'data-drawn="(\d+)"', seen.dom)
    assert drawn is not None, "the page's script did not come to its end"
    places = re.findall(r'<div class="chart[^>]*>(.*?)</div>', seen.dom, re.DOTALL)
    assert len(places) == int(drawn.group(1)) >= 5
    assert all("<svg" in place for place in places)
    assert seen.requests == []
    assert seen.picture.stat().st_size > 50_000


def test_the_most_frequent_mistake_stands_open(run_folder, visit):
    dom = visit(write_report(run_folder("multi", n=150))).dom
    opened = re.findall(r'<button[^>]*data-truth="(\w+)" data-said="(\w+)"[^>]*aria-expanded="true"', dom)
    assert opened == [("neutral", "positive")]
    assert re.search(r'id="examples"[^>]*>\s*<h4>“neutral” called “positive”', dom)


def test_the_check_itself_sees_requests_and_complaints(tmp_path, visit):
    page = tmp_path / "leaky.html"
    page.write_text("<!doctype html><img src='http://evil.example/x.png'><script>console.error('ouch')</script>")
    seen = visit(page)
    assert seen.requests == ["http://evil.example/x.png"]
    assert any("ouch" in line for line in seen.complaints)


def requested(log: Path) -> list[str]:
    """Web addresses that the page asked for; the browser's own (clock, updates) have no page as their initiator."""
    text = log.read_text(encoding="utf-8", errors="replace").rstrip().rstrip(",")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:
        events = json.loads(text + "]}")["events"]  # the browser ended without closing its log
    params = [event.get("params", {}) for event in events]
    urls = {str(one["url"]) for one in params if "url" in one and one.get("initiator", "not an origin") != "not an origin"}
    return sorted(url for url in urls if url.startswith(("http:", "https:", "ws:", "wss:")))
