"""The baseline "scratch": equal work, random weights that train, limits in time, and what the run says of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from headstart.device import Compute
from headstart.errors import UsageError
from headstart.feeds import Feeds
from headstart.loop import Training
from headstart.measuring import measured
from headstart.phases import Group, Phase
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.scratch_baseline import Budget, Scratch, planned_steps, within
from headstart.training import train
from headstart.work import PhaseWork, training_work

RECIPE = Recipe(Part("table"), Part("tiny/words"), train=TrainPlan(device="cpu", batch_size=8))


def silent(*_: Any, **__: Any) -> None:
    """Nobody listens."""


class Given:
    """A strategy of given phases."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases

    def phases(self, model: Any) -> tuple[Phase, ...]:
        return self._phases

    def penalty(self, model: Any) -> float:
        return 0.0


@pytest.fixture
def scratch(make_tiny, make_sentences):
    """A baseline of 40 examples, 32 to train on, beside an untrained model: `scratch(flops, seconds)`."""

    def scratch(flops: int, seconds: float = 1e9, tell: Any = silent) -> Scratch:
        training = Training(make_tiny(), Given(), RECIPE.train, Compute(torch.device("cpu")), tell)
        rows = make_sentences(40).examples()
        parts = {"train": rows[8:], "val": rows[:8], "test": rows[:8]}
        return Scratch(RECIPE, make_sentences(40), training, parts, Budget(flops, seconds))

    return scratch


def test_the_work_of_phases_counts_stored_stages_once_and_live_ones_in_every_step(make_tiny, make_sentences) -> None:
    model, rows = make_tiny(), make_sentences(40).examples()[:32]
    phases = (
        Phase("head", 3, (Group(("head",), 0.01),)),
        Phase("top", 2, (Group(("head", "block.2"), 0.01),)),
        Phase("all", 1, (Group(("head", "backbone"), 0.01),)),
    )
    training = Training(model, Given(*phases), RECIPE.train, Compute(torch.device("cpu")), silent)
    entries = train(training, Feeds(training, make_sentences(40), {"train": rows, "val": [], "test": []})).entries
    found = training_work(measured(model, rows[0]), model, phases, entries, 32, 8)
    block, head = 2 * 8 * 8, 2 * 8 * 2  # operations of a product of [1, 8] with [8, 8] and with [8, 2]
    assert found[0] == PhaseWork("head", 0, 12, once=2 * block * 32, step=8 * 2 * head)
    assert found[1].once == 0, "the first block ran in the phase before"
    assert found[1].step == 8 * (3 * block - block + 3 * head), "forward and gradient of the weights; none of the input"
    assert found[2] == PhaseWork("all", 20, 4, once=0, step=8 * (6 * block + 3 * head))
    assert found[2].total == 4 * 8 * (6 * block + 3 * head)


@pytest.mark.parametrize(
    ("flops", "per_step", "batches", "expected"),
    [(1000, 10, 50, (100, "work")), (1000, 1000, 50, (20, "least")), (1000, 1000, 5000, (500, "least"))],
)
def test_steps_follow_from_the_work_but_are_never_too_few_to_learn(flops, per_step, batches, expected) -> None:
    assert planned_steps(flops, per_step, batches) == expected


def test_the_budget_in_time_follows_from_the_runs_own_and_the_first_step_is_not_timed() -> None:
    work = [PhaseWork("a", 0, 10, 100, 5.0), PhaseWork("b", 10, 2, 0, 7.0)]
    assert Budget.like(work, 100.0) == Budget(164, 150.0)
    assert Budget.like(work, 2.0).seconds == 20.0
    assert within(10.0, [9.0, 0.1, 0.1, 0.1]) == 100
    assert within(0.0, [9.0, 0.1, 0.1, 0.1]) == 4


def test_it_spends_the_work_that_it_was_given(scratch) -> None:
    per_step = 8 * (6 * 2 * 8 * 8 + 3 * 2 * 8 * 2)
    facts = scratch(50 * per_step).train()
    assert (facts["steps"], facts["flops"], facts["bound"]) == (50, 50 * per_step, "work")
    assert facts["passes"] == 50 / 4
    assert [point["flops"] for point in facts["curve"]] == [12 * per_step, 25 * per_step, 38 * per_step, 50 * per_step]


def test_a_limit_in_time_ends_it_early_and_its_rate_falls_to_the_end_all_the_same(scratch) -> None:
    told: list[tuple[int, int]] = []
    facts = scratch(10**12, 0.0, lambda _, **told_of: told.append((told_of["step"], told_of["steps"]))).train()
    assert (facts["steps"], facts["bound"]) == (4, "time")
    assert told[-1] == (4, 4)


def test_it_begins_at_random_weights_and_trains_all_of_them(scratch, make_tiny) -> None:
    pretrained, baseline = make_tiny().state(), scratch(1)
    model = baseline._training.model
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    assert not any(torch.equal(before[name], pretrained[name]) for name in model.weights() if name.endswith("linear.weight"))
    baseline.train()
    assert all(not torch.equal(before[name], weight) for name, weight in model.state().items() if name in model.weights())
    assert not torch.equal(before["backbone.block1.norm.running_mean"], model.state()["backbone.block1.norm.running_mean"])


def test_equal_seeds_give_equal_predictions(scratch) -> None:
    first, second = (scratch(1) for _ in range(2))
    first.train(), second.train()
    assert first.predictions() == second.predictions()


@pytest.mark.parametrize("folds", [0, 2])
def test_a_run_reports_it_as_a_baseline_with_a_paired_difference(run_tiny, folds: int) -> None:
    split = {"folds": folds, "val": 0.25, "test": 0.25}
    run = run_tiny(baselines="scratch", split=split if not folds else {"folds": 2, "val": 0.25})
    metrics = run.metrics
    assert set(metrics["baselines"]) == {"majority", "tfidf-logistic", "scratch"}
    assert metrics["baselines"]["scratch"]["accuracy"]["n"] == metrics["n"]["test"]
    gap = metrics["test"]["accuracy"]["value"] - metrics["baselines"]["scratch"]["accuracy"]["value"]
    assert metrics["differences"]["scratch"]["accuracy"]["value"] == pytest.approx(gap)
    transfer = metrics["transfer"]
    assert transfer["fold"] == (folds or None)
    assert transfer["run"]["flops"] == sum(round(p["once"] + p["steps"] * p["step"]) for p in transfer["run"]["phases"])
    assert transfer["scratch"]["bound"] == "least", "a probe's steps are too cheap for a tiny network to learn in as few"
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["steps"] for event in events if event["event"] == "scratch"] == [20] * max(1, folds)


def test_the_runs_own_model_is_the_same_with_and_without_it(run_tiny) -> None:
    plain, compared = run_tiny(), run_tiny(baselines="scratch")
    assert plain.metrics["test"] == compared.metrics["test"]
    assert plain.metrics["transfer"] == {}


def test_a_head_that_learns_in_one_go_is_refused_before_anything_is_written(run_tiny, tmp_path) -> None:
    with pytest.raises(UsageError, match="head 'logistic' learns in one go; use a head that is trained by gradient"):
        run_tiny(baselines="scratch", head="logistic")
    assert not list(tmp_path.glob("runs/*"))
