"""The mosaic shows what the network will see: prepared, without the normalisation, class by class, in one file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.cli.main import cli
from headstart.errors import UsageError
from headstart.mosaic import draw_mosaic, png
from headstart.recipe import Recipe
from headstart.recipe_file import recipe_from_mapping

COLOURS = {"red": (200, 40, 30), "blue": (30, 40, 200)}


@pytest.fixture
def folder(save: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(10):
        for name, colour in COLOURS.items():
            save(f"pictures/{name}/<{number}>.png", colour)
    return tmp_path / "pictures"


def recipe(folder: Path, *, network: str = "efficientnet-lite0", augment: str = "none", **train: Any) -> Recipe:
    backbone = {"use": f"vision/{network}", "weights": "none", "size": 96 if network == "inception-v3" else 64}
    data = {"use": "vision/folder", "path": str(folder), "augment": augment}
    return recipe_from_mapping({"data": data, "backbone": backbone, "train": train})


def drawn(page: str) -> dict[str, list[np.ndarray]]:
    """Class -> its pictures, in order, as a reader would decode them."""
    sections = re.findall(r"<h2>(.*?)</h2>(.*?)(?=<h2>|</html>)", page, re.DOTALL)
    return {
        name: [np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))) for code in re.findall(r'base64,([^"]+)"', part)]
        for name, part in sections
    }


@pytest.mark.parametrize("network", ["efficientnet-lite0", "resnet18", "inception-v3"])
def test_each_class_has_its_pictures_in_their_own_colours(folder: Path, tmp_path: Path, network: str) -> None:
    page = draw_mosaic(recipe(folder, network=network), tmp_path / "new" / "m.html").read_text()
    found = drawn(page)
    assert list(found) == ["blue", "red"]
    for name, pictures in found.items():
        assert len(pictures) == 7, "of ten pictures seven are for training"
        for picture in pictures:
            assert picture.shape == ((96, 96, 3) if network == "inception-v3" else (64, 64, 3))
            assert np.abs(picture.mean(axis=(0, 1)) - COLOURS[name]).max() < 6
    assert "red/&lt;" in page
    assert "red/<" not in page
    assert "http" not in page, "the page needs nothing else"


def test_a_training_view_stands_beside_the_plain_one(folder: Path, tmp_path: Path) -> None:
    def counts(**options: Any) -> int:
        return len(drawn(draw_mosaic(recipe(folder, **options), tmp_path / "m.html").read_text())["red"])

    assert [counts(), counts(augment="standard"), counts(mix="mixup")] == [7, 14, 14]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_prepared_pictures_are_shown_as_they_were(channels: int) -> None:
    from headstart.plugins import registry

    backbone = registry().find("backbone", "vision/resnet18").load()(weights="none", size=32, channels=channels)
    given = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    backbone.expects = type(backbone.expects)(32, 32, "bilinear", backbone.expects.mean, backbone.expects.std)
    (shown,) = backbone.pictures(backbone.prepare([given]))
    assert np.array_equal(shown, given[:, :, 0] if channels == 1 else given[:, :, :3])


@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3), (1, 1, 3)])
def test_the_png_of_an_array_reads_back_the_same(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(array)))), array)


def test_check_draws_it_and_open_shows_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("click.launch", lambda url: shown.append(url) or 0)
    file = tmp_path / "r.yaml"
    file.write_text("data: {use: vision/folder, path: pictures}\nbackbone: {use: vision/resnet18, weights: none, size: 32}\n")
    result = CliRunner().invoke(cli, ["check", str(file), "--open", "--json"])
    assert result.exit_code == 0, result.output
    page = Path(json.loads(result.stdout)["mosaic"])
    assert shown == [page.as_uri()]
    assert "<h2>red</h2>" in page.read_text()
    named = CliRunner().invoke(cli, ["check", str(file), "--mosaic", str(tmp_path / "m.html")])
    assert f"What the network will see: {tmp_path / 'm.html'}" in named.stdout
    assert len(shown) == 1


def test_of_text_there_is_nothing_to_draw(tmp_path: Path) -> None:
    pytest.importorskip("headstart_nlp")
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"words number {n},{'ab'[n % 2]}\n" for n in range(40)))
    (tmp_path / "r.yaml").write_text("data: {use: table, path: t.csv, text: text, label: label}\nbackbone: nlp/encoder\n")
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "r.yaml"), "--mosaic", str(tmp_path / "m.html")])
    assert isinstance(result.exception, UsageError)
    assert "nothing to draw" in str(result.exception)
