"""Augmentation is a function of its generator: of seed, epoch and example, and of nothing that happened before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.order import rng
from headstart_vision.augment import augmented
from headstart_vision.folder import Folder

HOWS = ("light", "standard", "trivial-augment", "random-erasing")
Paint = Callable[..., Image.Image]


@pytest.fixture
def scene() -> Image.Image:
    """A picture in which place and direction matter."""
    rows, columns = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([rows * 5, columns * 3, (rows + columns) % 256], axis=2).astype(np.uint8))


@pytest.mark.parametrize("how", HOWS)
def test_the_same_seed_epoch_and_example_give_the_same_view_and_others_give_others(scene: Image.Image, how: str) -> None:
    def view(seed: int, epoch: int, id: str) -> bytes:
        return augmented(scene, how, rng(seed, epoch, id)).tobytes()

    torch.manual_seed(1)
    first = view(0, 1, "a")
    torch.manual_seed(2)
    torch.rand(5)
    assert view(0, 1, "a") == first
    assert len({first, view(1, 1, "a"), view(0, 2, "a"), view(0, 1, "b")}) == 4


@pytest.mark.parametrize("how", HOWS)
def test_views_leave_torchs_own_generator_alone(scene: Image.Image, how: str) -> None:
    before = torch.get_rng_state()
    for number in range(8):
        augmented(scene, how, np.random.default_rng(number))
    assert torch.equal(torch.get_rng_state(), before)


def test_views_in_another_thread_do_not_disturb_what_this_one_draws(scene: Image.Image) -> None:
    def augment_many() -> None:
        for number in range(50):
            augmented(scene, "trivial-augment", np.random.default_rng(number))

    torch.manual_seed(3)
    expected = torch.rand(200)
    torch.manual_seed(3)
    thread = threading.Thread(target=augment_many)
    thread.start()
    drawn = torch.cat([torch.rand(1) for _ in range(200)])
    thread.join()
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("how", HOWS)
def test_a_view_is_a_square_of_the_shorter_side_in_the_same_colours(scene: Image.Image, how: str) -> None:
    for image in (scene, scene.convert("L")):
        view = augmented(image, how, np.random.default_rng(0))
        assert (view.size, view.mode) == ((48, 48), image.mode)


def test_a_large_photograph_gives_a_view_of_a_size_that_networks_read(paint: Paint) -> None:
    assert augmented(paint((9, 9, 9), size=(1500, 900)), "light", np.random.default_rng(0)).size == (640, 640)


def test_a_light_view_shows_most_of_the_picture_and_a_standard_one_may_show_little(scene: Image.Image) -> None:
    def brightness_span(how: str) -> float:
        views = [np.asarray(augmented(scene, how, np.random.default_rng(i)))[:, :, 1] for i in range(30)]
        return min(float(np.ptp(view)) for view in views)

    assert brightness_span("light") > 0.7 * 63 * 3 > 0.6 * 63 * 3 > brightness_span("standard")


def test_erasing_takes_a_part_away_in_about_half_of_the_views() -> None:
    white = Image.new("RGB", (40, 40), "white")
    erased = [np.asarray(augmented(white, "random-erasing", np.random.default_rng(i))).min() < 255 for i in range(60)]
    assert 15 < sum(erased) < 45


def test_data_augment_only_where_the_option_says_so(save: Callable[..., Path], tmp_path: Path) -> None:
    save("a/1.png")
    save("b/1.png", (200, 10, 10))
    plain, mirrored = Folder(path=str(tmp_path)), Folder(path=str(tmp_path), augment="light")
    picture = plain.examples()[0].input
    assert plain.augment(picture, np.random.default_rng(0)) is picture
    view = mirrored.augment(picture, np.random.default_rng(0))
    assert view.tobytes() == augmented(picture.load(), "light", np.random.default_rng(0)).tobytes()
