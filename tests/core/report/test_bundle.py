"""The libraries of the page are bundled once, and kept where nobody else can write."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from headstart.report.bundle import bundle


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the bundler was asked for, with an empty cache folder and a bundler that takes no seconds."""
    asked: list[str] = []
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda snippet: asked.append(snippet) or f"a('</script>');{snippet}")
    bundle.cache_clear()
    yield asked
    bundle.cache_clear()


def again() -> str:
    """As another process finds it."""
    bundle.cache_clear()
    return bundle()


def test_a_bundle_is_made_once_and_cannot_close_its_element(made, tmp_path):
    first = bundle()
    assert first == "a('<\\/script>');window.vegaEmbed = vegaEmbed;"
    assert (again(), len(made)) == (first, 1)
    (kept,) = (tmp_path / "cache/report").iterdir()
    assert kept.name.startswith("vega-")


def test_what_others_could_have_written_is_not_read(made, tmp_path):
    bundle()
    (kept,) = (tmp_path / "cache/report").iterdir()
    kept.write_text("theirs", encoding="utf-8")
    kept.parent.chmod(0o777)
    assert "theirs" not in again()
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_is_done_without(made, tmp_path):
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    assert "vegaEmbed" in bundle()
    assert len(made) == 1
