"""`headstart cache` shows and removes stores, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.cli.main import execute
from headstart.store import DiskRows, open_store
from headstart.store_key import StoreKey

SPY = """
import sys
from headstart.cli.main import execute
code = execute(sys.argv[1:])
print("LOADED", *(name for name in ("torch", "numpy", "pydantic", "safetensors") if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


def make(boundary: str, *, rows: int = 2, values: int = 1000, days: float = 0.0) -> tuple[str, DiskRows]:
    """A store under HEADSTART_CACHE that was last used so many days ago; its digest and its rows."""
    key = StoreKey(
        "w", f"headstart_vision.backbones.lite:Lite headstart-vision 0.1.0 {'0' * 32}", boundary, "plain", "float32", "c", "v"
    )
    found = open_store(None, key, list("abcdef"[:rows]), lambda asked: ((i, [torch.full((values,), float(i))]) for i in asked))
    used = time.time() - days * 86_400
    os.utime(Path(os.environ["HEADSTART_CACHE"]) / "stores" / key.digest() / "used", (used, used))
    return key.digest(), found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    return tmp_path / "stores"


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert execute(["cache", *args]) == 0
    return capsys.readouterr().out


def test_an_empty_cache_is_no_error(capsys, cache):
    assert said(capsys, "ls") == f"0 stores, 0.0 MB of 20,000.0 MB in {cache}\n"
    assert json.loads(said(capsys, "ls", "--json")) == []
    assert "removed 0 stores" in said(capsys, "clean", "--all")
    assert not cache.exists()


def test_ls_tells_size_rows_use_backbone_and_boundary_the_last_used_first(capsys):
    (old, _), (new, _) = make("stem", days=3), make("layer3", rows=3, values=100_000)
    lines = said(capsys, "ls").splitlines()
    assert [line.split()[0] for line in lines] == [new[:12], old[:12], "2"]
    assert " 1.2 MB " in lines[0]
    assert " 3 rows " in lines[0]
    assert lines[0].endswith("lite:Lite layer3 plain")
    assert time.strftime("%Y-%m-%d", time.localtime(time.time() - 3 * 86_400)) in lines[1]


def test_ls_as_json_has_everything(capsys, cache):
    digest, _ = make("layer3", rows=3)
    found = json.loads(said(capsys, "ls", "--json"))
    assert len(found) == 1
    assert {name: found[0][name] for name in ("digest", "rows", "shards", "backbone")} == {
        "digest": digest, "rows": 3, "shards": 1, "backbone": "lite:Lite",
    }  # fmt: skip
    assert found[0]["bytes"] == sum(path.stat().st_size for path in (cache / digest).iterdir())
    assert found[0]["key"]["boundary"] == "layer3"


def test_info_tells_the_whole_or_one_store_by_the_beginning_of_its_digest(capsys, cache, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "3MB")
    digest, _ = make("layer3")
    whole = json.loads(said(capsys, "info", "--json"))
    assert (whole["folder"], whole["stores"], whole["limit"]) == (str(cache), 1, 3_000_000)
    assert "boundary   layer3\n" in said(capsys, "info", digest[:6])
    assert execute(["cache", "info", "zz"]) == 2
    assert f"no store 'zz' in {cache}; `headstart cache ls` lists them" in capsys.readouterr().err


def test_a_beginning_of_two_digests_is_refused(capsys):
    make("stem"), make("layer3")
    assert execute(["cache", "info", ""]) == 2
    assert "begins 2 stores" in capsys.readouterr().err


def test_a_damaged_store_is_listed_and_removed(capsys, cache):
    digest, rows = make("stem")
    rows.close()
    for name in ("key.json", "index.json"):
        (cache / digest / name).write_text("{")
    assert "? damaged" in said(capsys, "ls")
    said(capsys, "clean", "--all")
    assert names(cache) == set()


def closed(*stores: tuple[str, DiskRows]) -> list[str]:
    for _, rows in stores:
        rows.close()
    return [digest for digest, _ in stores]


def test_clean_all_removes_all_but_those_in_use(capsys, cache):
    closed(make("stem"))
    held, rows = make("layer3")
    out = said(capsys, "clean", "--all")
    assert "removed 1 stores" in out
    assert f"kept {held[:12]}: in use" in out
    assert names(cache) == {held}
    assert len(rows) == 2


def test_clean_by_age(capsys, cache):
    _, young = closed(make("stem", days=5), make("layer3", days=1))
    assert "removed 1 stores" in said(capsys, "clean", "--older-than", "2")
    assert names(cache) == {young}


def test_clean_to_a_size_removes_the_least_recently_used(capsys, cache):
    _, _, young = closed(make("stem", days=5), make("layer3", days=1), make("layer4"))
    removed = json.loads(said(capsys, "clean", "--to", "14KB", "--json"))
    assert len(removed["removed"]) == 2
    assert names(cache) == {young}


def test_clean_alone_keeps_to_the_limit_and_sweeps_what_removals_left(capsys, cache, monkeypatch):
    closed(make("stem", days=5))
    (cache / f".removed-{'0' * 32}-77").mkdir()
    assert "removed 0 stores" in said(capsys, "clean")
    assert len(names(cache)) == 1
    monkeypatch.setenv("HEADSTART_CACHE_LIMIT", "1KB")
    assert "removed 1 stores" in said(capsys, "clean")
    assert names(cache) == set()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--to", "lots"], "--to: 'lots' is no size"),
        (["--all", "--to", "5GB"], "exclude each other"),
        (["--older-than", "-1"], "-1"),
    ],
)
def test_wrong_options_of_clean_exit_2(capsys, args: Sequence[str], message: str):
    assert execute(["cache", "clean", *args]) == 2
    assert message in capsys.readouterr().err


def test_foreign_folders_in_the_cache_are_neither_listed_nor_removed(capsys, cache):
    closed(make("stem"))
    (cache / "precious").mkdir()
    assert said(capsys, "ls").endswith(f"in {cache}\n")
    said(capsys, "clean", "--all")
    assert names(cache) == {"precious"}


@pytest.mark.parametrize("args", [("ls",), ("info",), ("clean",), ("--help",)])
def test_no_torch_is_imported(args: Sequence[str]):
    make("stem")
    command = [sys.executable, "-c", SPY, "cache", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout
    assert done.stderr.strip() == "LOADED"


def test_doctor_tells_folder_and_size(monkeypatch: pytest.MonkeyPatch, cache: Path):
    from headstart.cli.doctor import examine

    make("stem", values=100_000)
    found: dict[str, Any] = examine()
    assert found["caches"]["HEADSTART_CACHE"] == {"folder": str(cache), "megabytes": 0.8}
    assert found["variables"]["HEADSTART_CACHE"] == str(cache.parent)
