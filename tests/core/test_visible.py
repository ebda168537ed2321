"""What comes from outside is shown, never obeyed: no line of a log is forged, and no terminal is commanded."""

from __future__ import annotations

from typing import Any

import pytest

from headstart.cli.main import execute
from headstart.fit import fit
from headstart.visible import visible

FORGED = "a.png\n2026-01-01T00:00:00 accuracy 1.000\x1b[2K\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (FORGED, "a.png\\n2026-01-01T00:00:00 accuracy 1.000\\x1b[2K\\x1b[31m"),
        ("a\rb\x07c\x9bd", "a\\rb\\x07c\\x9bd"),
        ("gpj\u202egnp.exe", "gpj\\u202egnp.exe"),
        ("Größe 3 µm · 日本\t→ ✓", "Größe 3 µm · 日本\t→ ✓"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_commands_is_written_out_and_all_else_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_message_of_several_lines_keeps_them() -> None:
    assert visible("one\ntwo\x1b[0m", lines=True) == "one\ntwo\\x1b[0m"


def test_a_log_keeps_one_line_for_each_event_whatever_the_names_hold(tiny: Any, make_recipe: Any, tmp_path: Any) -> None:
    run = fit(make_recipe(tmp_path, name="tiny"), tmp_path / "runs", report=False)
    before = (run.folder / "train.log").read_text(encoding="utf-8")

    from headstart.progress import to_log

    to_log(run.folder / "train.log")({"event": "warning", "time": "now", "message": FORGED})
    added = (run.folder / "train.log").read_text(encoding="utf-8").removeprefix(before)
    assert added == f"now warning: {visible(FORGED)}\n"


def test_an_error_about_a_hostile_name_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", "x\x1b]0;owned\x07.yaml"]) != 0
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "\x07" not in told
    assert "\\x1b]0;owned" in told
