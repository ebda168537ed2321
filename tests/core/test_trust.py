"""What no line of the code may do with things from outside: run code that came with weights, unpack archives, unpickle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "core/headstart",
    "plugins/vision/src",
    "plugins/nlp/src",
    "plugins/healthcare/src",
    "examples/headstart-protein/src",
)
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")) if "templates" not in file.parts]
UNPACKING = ("extractall", "extract", "unpack_archive", "extractfile")
UNPICKLING = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle")
READING = ("load", "loads", "Unpickler")
FETCHING = ("snapshot_download", "hf_hub_download")


def calls(code: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call by the last part of the name of what is called."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def faults(code: str) -> list[str]:
    """What a file does that none may, with the line."""
    found = []
    for name, call in calls(code):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        trusting = given.get("trust_remote_code")
        if trusting is not None and not (isinstance(trusting, ast.Constant) and trusting.value is False):
            found.append(f"{call.lineno}: trust_remote_code")
        if name in UNPACKING and not (isinstance(call.func, ast.Attribute) and is_data_filter(given)):
            found.append(f"{call.lineno}: {name}")
        if name in FETCHING and "revision" not in given:
            found.append(f"{call.lineno}: {name} without a revision")
        if name == "load" and is_of(call, "torch") and not is_constant(given.get("weights_only"), value=True):
            found.append(f"{call.lineno}: torch.load without weights_only=True")
        if name == "load" and is_of(call, "np", "numpy") and not is_constant(given.get("allow_pickle"), value=False):
            found.append(f"{call.lineno}: numpy.load without allow_pickle=False")
        if name in READING and is_of(call, *UNPICKLING) and not is_own(call):
            found.append(f"{call.lineno}: unpickling")
    return found + [f"{module}: {name}" for module, name in imported(code) if module in UNPICKLING and name in READING]


def is_constant(node: ast.expr | None, *, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def is_of(call: ast.Call, *modules: str) -> bool:
    return isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in modules


def is_own(call: ast.Call) -> bool:
    """Whether what is unpickled is pickled in the same expression: a copy."""
    return any(isinstance(part, ast.Call) and getattr(part.func, "attr", "") == "dumps" for part in call.args)


def is_data_filter(given: dict[str | None, ast.expr]) -> bool:
    chosen = given.get("filter")
    return isinstance(chosen, ast.Constant) and chosen.value == "data"


def imported(code: str) -> Iterator[tuple[str, str]]:
    """Names that are taken out of a module, with it."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module.partition(".")[0], alias.name) for alias in node.names)


def test_the_files_are_there() -> None:
    assert len(FILES) > 250


def test_no_file_runs_unpacks_or_unpickles_what_came_from_outside() -> None:
    found = {str(file.relative_to(ROOT)): faults(file.read_text(encoding="utf-8")) for file in FILES}
    assert {file: said for file, said in found.items() if said} == {}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AutoModel.from_pretrained(x, trust_remote_code=True)", "1: trust_remote_code"),
        ("AutoModel.from_pretrained(x, trust_remote_code=given)", "1: trust_remote_code"),
        ("tarfile.open(x).extractall(y)", "1: extractall"),
        ("tarfile.open(x).extractall(y, filter='tar')", "1: extractall"),
        ("shutil.unpack_archive(x)", "1: unpack_archive"),
        ("snapshot_download(name)", "1: snapshot_download without a revision"),
        ("torch.load(x)", "1: torch.load without weights_only=True"),
        ("torch.load(x, weights_only=False)", "1: torch.load without weights_only=True"),
        ("np.load(x, allow_pickle=True)", "1: numpy.load without allow_pickle=False"),
        ("pickle.loads(x)", "1: unpickling"),
        ("pickle.Unpickler(x)", "1: unpickling"),
        ("from dill import loads", "dill: loads"),
    ],
)
def test_each_of_these_faults_would_be_found(code: str, said: str) -> None:
    assert faults(code) == [said]


@pytest.mark.parametrize(
    "code",
    [
        "tar.extractall(x, filter='data')",
        "torch.load(x, weights_only=True)",
        "load(x, trust_remote_code=False)",
        "pickle.loads(pickle.dumps(x))",
    ],
)
def test_what_is_safe_is_no_fault(code: str) -> None:
    assert faults(code) == []
