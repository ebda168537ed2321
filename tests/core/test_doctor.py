"""`doctor` says what is there, what is broken and where a run would compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.cli.doctor import examine
from headstart.cli.main import execute


def test_doctor_prints_one_json_document(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert found["precision"] in ("float32", "bf16")
    assert found["plugins"]["core"] == found["plugins"]["tiny_parts"] == "ok"
    assert found["variables"]["OMP_NUM_THREADS"] == "1"


def test_doctor_says_it_in_lines_for_people(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("python 3.")
    assert "would compute on" in out
    assert "plugin core: ok" in out
    assert "OMP_NUM_THREADS=1" in out


def test_a_broken_plugin_and_a_missing_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "needy_part.py").write_text(
        "from headstart import Component, hookimpl\n"
        "@hookimpl\n"
        "def headstart_heads():\n"
        "    yield Component('needy/head', 'needy_part:Head', 'a head', requires=('not-there-at-all',))\n",
        encoding="utf-8",
    )
    (tmp_path / "broken_part.py").write_text("raise RuntimeError('no luck')\n", encoding="utf-8")
    files = ":".join(str(tmp_path / name) for name in ("needy_part.py", "broken_part.py"))
    monkeypatch.setenv("HEADSTART_PLUGIN_FILES", files)
    found = examine()
    assert found["missing"]["needy/head"] == ["not-there-at-all"]
    assert "no luck" in found["plugins"]["broken_part"]
    assert execute(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "needy/head needs: pip install not-there-at-all" in out
    assert "plugin broken_part: import fails: RuntimeError: no luck" in out


def test_nothing_personal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("SECRET_TOKEN", "s3cret-token")
    text = json.dumps(examine())
    assert "s3cret-token" not in text
    assert socket.gethostname() not in text


def test_caches_are_told_with_their_size_links_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(b"x" * 250_000)
    (tmp_path / "hub" / "link").symlink_to("blob")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "absent"))
    caches = examine()["caches"]
    assert caches["HF_HOME"] == {"folder": str(tmp_path), "megabytes": 0.2}
    assert caches["TORCH_HOME"]["megabytes"] is None
