"""The plain method for pictures learns what brightness and colour tell, decoding each picture once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.baselines import predict_baseline
from headstart.example import Example, Target
from headstart.histogram import BINS, histogram
from headstart_vision.folder import Folder
from headstart_vision.pictures import Picture

Save = Callable[..., Path]
COLOURS = {"red": (190, 60, 60), "blue": (60, 60, 190)}


@pytest.fixture
def coloured(save: Save, tmp_path: Path) -> Folder:
    """Ten red and ten blue pictures."""
    for label, colour in COLOURS.items():
        for number in range(10):
            save(f"{label}/{number}.png", colour)
    return Folder(path=str(tmp_path))


def test_a_histogram_holds_shares_of_pixels_channel_after_channel() -> None:
    found = histogram(np.array([[[0, 255, 16], [0, 255, 31]]], dtype=np.uint8))
    assert found.shape == (3 * BINS,)
    assert (found[0], found[BINS + 15], found[2 * BINS + 1]) == (1, 1, 1)


def test_grey_and_colour_pictures_can_be_compared(save: Save) -> None:
    grey = Image.new("L", (4, 4), 100)
    np.testing.assert_array_equal(histogram(grey), histogram(grey.convert("RGB")))
    path = save("a.png")
    np.testing.assert_array_equal(histogram(Picture(str(path))), histogram(Picture(str(path)).load()))


@pytest.mark.parametrize("with_val", [True, False])
def test_colours_separate_what_colours_can_separate(coloured: Folder, with_val: bool) -> None:
    examples = coloured.examples()
    train, test = examples[::2], examples[1::2]
    val = test[:2] + test[-2:] if with_val else []
    predictions = predict_baseline("histogram-logistic", train, val, test, coloured.target, 0)
    assert [prediction.value for prediction in predictions] == [example.target for example in test]
    assert all(abs(sum(prediction.probabilities.values()) - 1) < 1e-6 for prediction in predictions)


def test_colours_cannot_tell_what_is_only_a_matter_of_place() -> None:
    rng = np.random.default_rng(0)

    def half(side: int) -> np.ndarray:
        picture = rng.integers(100, 110, (8, 8), dtype=np.uint8)
        picture[:, 4 * side : 4 * side + 4] += 100
        return picture

    examples = [Example(str(i), half(i % 2), ("left", "right")[i % 2]) for i in range(80)]
    target = Target("class", ("left", "right"))
    predictions = predict_baseline("histogram-logistic", examples[:40], [], examples[40:], target, 0)
    right = np.mean([p.value == e.target for p, e in zip(predictions, examples[40:], strict=True)])
    assert 0.2 < right < 0.8


def test_brightness_predicts_a_number() -> None:
    examples = [Example(str(i), np.full((4, 4), 8 * i, dtype=np.uint8), float(i // 2)) for i in range(30)]
    predictions = predict_baseline("histogram-ridge", examples, [], examples, Target("number"), 0)
    assert np.mean([abs(p.value - e.target) for p, e in zip(predictions, examples, strict=True)]) < 1


class Slow:
    """A picture that counts how often it is decoded."""

    def __init__(self, number: int) -> None:
        self.number, self.decoded = number, 0

    def load(self) -> np.ndarray[Any, Any]:
        self.decoded += 1
        return np.full((4, 4), 8 * self.number, dtype=np.uint8)


def test_each_picture_is_decoded_once() -> None:
    pictures = [Slow(number) for number in range(30)]
    examples = [Example(str(p.number), p, ("dark", "light")[p.number // 15]) for p in pictures]
    predict_baseline("histogram-logistic", examples[::2], [], examples[1::2], Target("class", ("dark", "light")), 0)
    assert {picture.decoded for picture in pictures} == {1}
