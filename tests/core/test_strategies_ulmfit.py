"""ULMFiT: one stage more in every phase, the paper's rates, and nothing below the thawed stages moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headstart.builtin.strategy_ulmfit import Ulmfit
from headstart.errors import UsageError
from headstart.files import read_json
from headstart.model import Model
from headstart.run import Run


def test_phases_and_rates_are_those_of_the_paper(make_tiny: Callable[..., Model]) -> None:
    phases = list(Ulmfit(lr=0.01, last_epochs=4).phases(make_tiny()))
    assert [phase.name for phase in phases] == ["head", "thaw block.2", "thaw block.1", "thaw embedding"]
    assert [phase.epochs for phase in phases] == [1, 1, 1, 4]
    assert {(phase.schedule, phase.warmup) for phase in phases} == {("slanted-triangular", 0.1)}
    rates = {group.select[0]: group.lr for group in phases[-1].groups}
    expected = {"head": 0.026, "block.2": 0.01, "block.1": 0.01 / 2.6, "embedding": 0.01 / 2.6**2}
    assert rates == pytest.approx(expected)


def test_depth_limits_what_thaws(make_tiny: Callable[..., Model]) -> None:
    phases = list(Ulmfit(depth=1, epochs=2, last_epochs=3).phases(make_tiny()))
    assert [(phase.name, phase.epochs) for phase in phases] == [("head", 2), ("thaw block.2", 3)]


def test_a_run_moves_what_has_thawed_and_nothing_else(run_tiny: Callable[..., Run]) -> None:
    run = run_tiny(strategy={"use": "ulmfit", "lr": 0.01, "depth": 2, "last_epochs": 1}, baselines="none")
    phases = read_json(run.folder / "ledger.json")["phases"]
    thawed = [{stage for stage, rate in entry["rates"].items() if rate} for entry in phases]
    assert thawed == [{"head"}, {"head", "block.2"}, {"head", "block.2", "block.1"}]
    assert all(entry["frozen"]["identical"] and entry["trainable"]["moved"] for entry in phases)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="option last_epochs is 0; it must be at least 1"):
        Ulmfit(last_epochs=0)
