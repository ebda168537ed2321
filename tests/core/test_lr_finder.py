"""The learning-rate finder: its arithmetic, a quadratic whose best rate is known, and the command."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from headstart.cli.lr import lr
from headstart.errors import TrainingError, UsageError
from headstart.lr_finder import Sweep, find_rate, ramp, smooth, valley_at


def sweep_of(descend, steps: int, low: float, high: float) -> Sweep:
    rates, losses = ramp(steps, low, high), []
    for rate in rates:
        losses.append(descend(rate))
        if smooth(losses)[-1] > 4 * min(smooth(losses)):
            break
    return Sweep("p", tuple(rates[: len(losses)]), tuple(losses), tuple(smooth(losses)), len(losses) < steps)


@pytest.mark.parametrize("curvature", [0.1, 1.0, 10.0, 100.0])
def test_on_a_quadratic_the_suggestion_is_within_a_decade_of_the_best_rate(curvature: float) -> None:
    """Gradient descent on the mean of c/2 |w - x|^2 over random x is fastest at 1/c and diverges from 2/c on."""
    place, chance = np.full(3, 5.0), np.random.default_rng(1)

    def descend(rate: float) -> float:
        nonlocal place
        away = place - chance.normal(size=3)
        place = place - rate * curvature * away
        return float(curvature / 2 * np.square(away).sum())

    found = sweep_of(descend, 50, 0.01 / curvature, 100 / curvature)
    assert found.is_diverged
    for suggested in (found.valley, found.steepest):
        assert abs(math.log10(suggested * curvature)) <= 1


def test_the_smoothed_loss_is_the_moving_average_without_its_start() -> None:
    assert smooth([3.0] * 20) == pytest.approx([3.0] * 20)
    first, second = smooth([1.0, 2.0], share=0.5)
    assert (first, second) == (1.0, pytest.approx((0.25 * 1 + 0.5 * 2) / 0.75))


def test_the_valley_is_inside_the_longest_fall() -> None:
    losses = [5.0, 5.1, 4.0, 3.0, 3.5, 2.0, 1.0, 0.5, 9.0, 8.0]
    assert valley_at(losses) == 4  # six falls end at 7, so it begins at 1; a third is 2, and half of that 1
    assert valley_at([1.0, 2.0, 3.0]) == 0
    falling = np.linspace(1, 0, 90).tolist()
    assert valley_at(falling) == -1 + 30 + 15


def test_rates_rise_by_one_factor() -> None:
    rates = ramp(50, 1e-7, 1.0)
    assert (rates[0], rates[-1]) == (pytest.approx(1e-7), pytest.approx(1.0))
    factors = [later / earlier for earlier, later in pairwise(rates)]
    assert max(factors) == pytest.approx(min(factors))


def test_a_probe_of_the_tiny_network_finds_a_rate_between_the_ends(tiny, make_recipe, tmp_path: Path) -> None:
    steps: list[int] = []
    found = find_rate(
        make_recipe(tmp_path, train={"device": "cpu", "batch_size": 8}), 60, 1e-4, 1e4, told=lambda at, _: steps.append(at)
    )
    assert found.phase == "head"
    assert 1e-4 < found.valley < 10
    assert steps == list(range(1, len(found.losses) + 1))
    assert found.losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert found.is_diverged
    assert found.smoothed[-1] > 4 * min(found.smoothed)
    assert found.settings() == [f"strategy.lr={found.valley:.2g}"]
    assert list(tmp_path.iterdir()) == [tmp_path / "class-64-0.csv"], "nothing is written"


def test_groups_keep_their_share_of_the_rate(tiny, make_recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = {"use": "full", "lr": 1e-3, "head_lr": 1e-2, "layer_decay": 0.5}
    seen: list[list[float]] = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **options):
        seen.append(sorted({group["lr"] for group in self.param_groups}))
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    found = find_rate(make_recipe(tmp_path, strategy=strategy), 30, 1e-6, 1e-3)
    assert [rates[-1] for rates in seen] == pytest.approx(found.rates)
    assert all(rates[-2] == pytest.approx(rates[-1] / 10) and rates[-3] == pytest.approx(rates[-1] / 20) for rates in seen)
    assert found.settings() == [f"strategy.lr={found.valley / 10:.2g}", f"strategy.head_lr={found.valley:.2g}"]
    assert not found.is_diverged


def test_a_later_phase_is_found_by_its_name_and_another_refused_with_those_there_are(tiny, make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, strategy={"use": "gradual", "step": 3})
    assert find_rate(recipe, 20, 1e-6, 1e-4, phase="thaw to embedding").phase == "thaw to embedding"
    with pytest.raises(UsageError, match="there is no phase 'thaw'; phases: head, thaw to embedding"):
        find_rate(recipe, 20, 1e-6, 1e-4, phase="thaw")


def test_what_cannot_be_tested_is_refused(tiny, make_recipe, tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path)
    with pytest.raises(UsageError, match=r"from 1 to 0\.1 in 100 steps; rates must rise"):
        find_rate(recipe, 100, 1.0, 0.1)
    with pytest.raises(UsageError, match="head 'logistic' learns in one go and has no learning rate"):
        find_rate(make_recipe(tmp_path, head="logistic"))
    with pytest.raises(TrainingError, match=r"diverged after .* steps; begin lower: --from 1"):
        find_rate(recipe, 100, 1e3, 1e6)


@pytest.mark.parametrize("ending", [".html", ".svg", ".png"])
def test_the_command_draws_and_says_what_to_type(tiny, write_csv, tmp_path: Path, ending: str) -> None:
    data = write_csv(tmp_path / "rows.csv")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data: {{use: table, path: {data}, text: text, label: label}}\nbackbone: tiny/words\n", encoding="utf-8")
    picture = tmp_path / f"rate{ending}"
    done = CliRunner().invoke(lr, [str(recipe), "--steps", "30", "--from", "1e-4", "--to", "10", "--out", str(picture)])
    assert done.exit_code == 0, done.output
    assert f"next      headstart run {recipe} --set strategy.lr=" in done.output
    content = picture.read_bytes()
    if ending == ".png":
        assert content.startswith(b"\x89PNG")
    else:
        assert b"steepest" in content
        assert b"http" not in content.replace(b"http://www.w3.org", b"") or ending == ".html"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["r.yaml", "rows.csv", picture.name])


def test_the_command_speaks_json_and_refuses_other_pictures(tiny, write_csv, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "rows.csv")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data: {{use: table, path: {data}, text: text, label: label}}\nbackbone: tiny/words\n", encoding="utf-8")
    done = CliRunner().invoke(lr, [str(recipe), "--steps", "30", "--from", "1e-4", "--to", "10", "--json"])
    found = json.loads(done.output)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert found["set"] == [f"strategy.lr={found['valley']:.2g}"]
    refused = CliRunner().invoke(lr, [str(recipe), "--out", "rate.pdf"])
    assert isinstance(refused.exception, UsageError)
