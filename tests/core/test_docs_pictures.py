"""The pictures of the documentation are those that their script draws."""

from __future__ import annotations

import runpy
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_files_and_script_agree_and_every_picture_is_shown() -> None:
    drawn = runpy.run_path(str(PICTURES / "draw.py"))["pictures"]()
    assert {path.name: path.read_text(encoding="utf-8") for path in PICTURES.glob("*.svg")} == drawn
    page = (PICTURES.parent / "how-it-works.md").read_text(encoding="utf-8")
    assert [name for name in drawn if f"(pictures/{name})" not in page] == []
