"""Schedules have the shapes that they are named for."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.phases import Phase, Schedule
from headstart.schedule import factor, factors, lengths

SCHEDULES = get_args(Schedule)


@given(st.sampled_from(SCHEDULES), st.integers(1, 200), st.floats(0, 0.99))
def test_no_step_is_lost_and_none_is_over_the_peak(schedule, steps, warmup) -> None:
    rates = factors(Phase("p", 1, (), schedule, warmup), steps)
    assert len(rates) == steps
    assert rates[0] > 0
    assert all(0 < rate <= 1 + 1e-12 for rate in rates)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_rise_through_the_warm_up_and_never_after_it(schedule: Schedule) -> None:
    rates = factors(Phase("p", 1, (), schedule, 0.2), 100)
    assert all(later > earlier for earlier, later in pairwise(rates[:20]))
    assert all(later <= earlier for earlier, later in pairwise(rates[20:]))
    assert max(rates) > 0.99


@pytest.mark.parametrize(("schedule", "middle", "end"), [("linear", 0.5, 0), ("cosine", 0.5, 0), ("constant", 1, 1)])
def test_the_fall_is_of_its_name(schedule: Schedule, middle: float, end: float) -> None:
    assert factor(schedule, 0.5, 0.0) == pytest.approx(middle)
    assert factor(schedule, 1.0, 0.0) == pytest.approx(end)
    assert factor(schedule, 0.25, 0.0) == pytest.approx({"linear": 0.75, "cosine": 0.853553, "constant": 1}[schedule])


@pytest.mark.parametrize("warmup", [0.1, 0.3])
def test_a_slanted_triangle_is_that_of_ulmfit(warmup: float) -> None:
    """Howard and Ruder 2018, equation 3, word for word: T iterations, cut_frac, ratio 32."""
    total, ratio = 100, 32
    cut = int(total * warmup)
    for step in range(total):
        p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / warmup - 1))
        assert factor("slanted-triangular", step / total, warmup) == pytest.approx((1 + p * (ratio - 1)) / ratio)


def test_one_cycle_has_the_factors_of_torch_at_the_same_points() -> None:
    """Torch counts from the first step to the last, we in the middles of steps; at equal points the factors are equal."""
    total, warmup = 50, 0.3
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total, pct_start=warmup)
    top = warmup * total - 1  # torch's step of the peak
    for step in range(total):
        rise, fall = step / top, (step - top) / (total - 1 - top)
        share = warmup * rise if step < top else warmup + (1 - warmup) * fall
        assert factor("one-cycle", share, warmup) == pytest.approx(cycle.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step < total - 1:
            cycle.step()


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 700) | st.none())
def test_a_phase_is_as_long_as_its_epochs_or_its_steps_whichever_ends_first(epochs, batches, steps) -> None:
    found, rounds = lengths(Phase("p", epochs, (), steps=steps), batches)
    assert found == min(epochs * batches, steps or epochs * batches)
    assert (rounds - 1) * batches < found <= rounds * batches
