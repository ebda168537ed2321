"""The command `explain`: plugins are asked in turn, what they find is printed, and the report is written anew."""

from __future__ import annotations

from pathlib import Path

from headstart.cli.main import execute
from headstart.plugins import load_file

PLUGIN = '''
"""An explainer in one file."""

from headstart import Component, hookimpl
from headstart.explaining import Explained


@hookimpl
def headstart_explainers():
    yield Component("first/none", "parrot:nothing", "nothing at all")
    yield Component("second/parrot", "parrot:parrot", "says what it was asked")


def nothing(run, request):
    return None


def parrot(run, request):
    file = run.folder / "parrot.json"
    file.write_text("{}")
    return Explained((f"{run.recipe.name}: {request.inputs} {request.cases} {request.method!r}",), file)
'''


def test_an_explainer_is_a_plugins_component_and_no_part_of_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "budgie.py"  # a name of its own: a process knows each plugin file once
    file.write_text(PLUGIN.replace("parrot:", "budgie:"))
    record = load_file(file)
    assert record.error is None
    assert [component.name for component in record.components["explainer"]] == ["first/none", "second/parrot"]


def test_the_first_explainer_with_an_answer_is_heard(run_tiny, tmp_path: Path, capsys) -> None:
    run = run_tiny(report=False)
    (tmp_path / "parrot.py").write_text(PLUGIN)
    capsys.readouterr()
    assert execute(["--plugin", str(tmp_path / "parrot.py"), "explain", str(run.folder), "a text", "--cases", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("('a text',) 2 ''")
    assert said[-1] == f"{run.folder / 'parrot.json'}; {run.folder / 'report.html'}"
    assert (run.folder / "report.html").exists()


def test_a_run_that_nothing_explains_says_what_does_explain(run_tiny, capsys) -> None:
    run = run_tiny()
    assert execute(["explain", str(run.folder)]) == 2
    assert "nothing explains runs on" in capsys.readouterr().err
    assert execute(["explain", str(run.folder), "--cases", "0"]) == 2
