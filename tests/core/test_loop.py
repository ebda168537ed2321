"""The loop: accumulation, the best epoch, patience, seeds, clipping and decay, by their effect on real weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from headstart.builtin.strategies import Full, Probe
from headstart.device import Compute
from headstart.errors import FreezingError, TrainingError, UsageError
from headstart.example import Example
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.phases import Group, Phase
from headstart.recipe import TrainPlan
from headstart.step import make_optimizer
from headstart.strategy import Strategy
from headstart.training import Feeds, train

CPU = Compute(torch.device("cpu"))


class Phases(Strategy):
    """Whatever phases a test needs."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases

    def phases(self, model: Model) -> tuple[Phase, ...]:
        return self._phases


@dataclass
class Trained:
    model: Model
    ledger: Ledger
    feeds: Feeds
    epochs: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, torch.Tensor]] = field(default_factory=list)

    @property
    def weights(self) -> torch.Tensor:
        return torch.cat([weight.detach().flatten() for weight in self.model.weights().values()])


@pytest.fixture
def run(make_tiny: Callable[..., Model], make_sentences: Any) -> Callable[..., Trained]:
    """Train the tiny model; every epoch's figures and state are kept."""

    def run(
        strategy: Strategy, *, count: int = 40, val: int = 12, data: Any = None, model: Model | None = None, **plan: Any
    ) -> Trained:
        model = model or make_tiny(seed=plan.get("seed", 0))
        data = data or make_sentences(count)
        rows = data.examples()
        parts = {"train": rows[val:], "val": rows[:val], "test": []}
        epochs: list[dict[str, Any]] = []
        states: list[dict[str, torch.Tensor]] = []

        def tell(event: str, **facts: Any) -> None:
            if event == "epoch":
                epochs.append(facts)
                states.append({name: tensor.clone() for name, tensor in model.state().items()})

        training = Training(model, strategy, TrainPlan(device="cpu", **{"batch_size": 8, **plan}), CPU, tell)
        feeds = Feeds(training, data, parts)
        return Trained(model, train(training, feeds), feeds, epochs, states)

    return run


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_accumulated_micro_batches_equal_the_whole_batch(run: Callable[..., Trained], micro: int) -> None:
    """A frozen BatchNorm, as statistics of a micro-batch are not those of the batch; dropout off for the same reason."""
    strategy = Phases(Phase("p", 3, (Group(("head", "*.linear.*"), 1e-2, 0.01),)))

    def quiet(trained_with: dict[str, Any]) -> torch.Tensor:
        from headstart.build import make_model
        from headstart.example import Target
        from headstart.recipe import Part, Recipe

        recipe = Recipe(Part("table"), Part("tiny/words", {"dropout": 0.0}))
        return run(strategy, model=make_model(recipe, Target("class", ("bad", "good"))), **trained_with).weights

    torch.testing.assert_close(quiet({"micro_batch": micro}), quiet({}), rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", [Full(epochs=12, lr=0.3, head_lr=0.3), Probe(epochs=8, lr=0.3)])
def test_the_run_keeps_the_weights_and_statistics_of_its_best_epoch(run, strategy: Strategy) -> None:
    done = run(strategy)
    best = done.ledger.entries[0]["best_epoch"]
    scores = [(epoch["val"]["accuracy"], -epoch["val"]["loss"]) for epoch in done.epochs]
    assert best == 1 + scores.index(max(scores))
    assert equal(done.model.state(), done.states[best - 1])
    assert best < len(scores), "the test needs a best epoch before the last"
    assert not equal(done.model.state(), done.states[-1])


def test_without_validation_the_last_epoch_is_kept(run: Callable[..., Trained]) -> None:
    done = run(Full(epochs=3), val=0)
    assert done.ledger.entries[0]["best_epoch"] == 3
    assert [epoch["val"] for epoch in done.epochs] == [{}, {}, {}]
    assert equal(done.model.state(), done.states[-1])


def test_the_best_phase_of_all_is_kept_and_stored_features_of_a_later_backbone_are_not_used(run) -> None:
    """Two phases thaw the backbone and the second ruins it; a third stores features of the ruin."""
    good, ruin, last = (Group((select,), lr) for select, lr in (("backbone", 0.02), ("backbone", 50.0), ("head", 1e-6)))
    done = run(Phases(Phase("a", 2, (Group(("head",), 0.3), good)), Phase("b", 1, (ruin,)), Phase("c", 1, (last,))), clip=0.0)
    assert done.ledger.kept == "a"
    assert done.ledger.entries[2]["stored"] == ["pooled"]
    kept = done.states[done.ledger.entries[0]["best_epoch"] - 1]
    assert equal(done.model.weights() | {}, {name: kept[name] for name in done.model.weights()})
    indices = list(range(8))
    live = done.model(done.model.backbone.eval().prepare([done.feeds.splits["val"][i].input for i in indices]))["pooled"]
    torch.testing.assert_close(done.feeds.get("val").batch(indices)["pooled"], live)


def test_patience_ends_a_phase_that_many_epochs_after_its_best(run: Callable[..., Trained]) -> None:
    done = run(Probe(epochs=60, lr=0.3, patience=4))
    entry = done.ledger.entries[0]
    assert entry["epochs"] == entry["best_epoch"] + 4 == len(done.epochs) < 60
    assert entry["steps"] == 4 * entry["epochs"]  # 28 examples in batches of 8


def test_a_last_batch_of_one_example_trains_with_batchnorm(run: Callable[..., Trained]) -> None:
    done = run(Full(epochs=2), count=29, val=12)  # 17 = 8 + 9
    assert done.ledger.entries[0]["steps"] == 4


def test_a_loss_that_is_not_finite_stops_with_the_ids(run, make_sentences) -> None:
    data = make_sentences(40, "class")
    data.rows = [Example(row.id, row.input, row.target) for row in data.rows]

    class Infinite(Phases):
        def penalty(self, model: Model) -> float:
            return float("inf")

    with pytest.raises(TrainingError, match=r"the loss is inf at epoch 1, in the batch of examples (e\d+, ){7}e\d+; try"):
        run(Infinite(Phase("p", 1, (Group(("head",), 1e-2),))), data=data)


def test_weights_that_are_not_finite_are_found_on_validation_too(run: Callable[..., Trained]) -> None:
    with pytest.raises(TrainingError, match="the loss is nan on validation"):
        run(Phases(Phase("p", 1, (Group(("head",), 1e38, 1e38),))), batch_size=64, clip=0.0)


@pytest.mark.parametrize("strategy", [Probe(epochs=3), Full(epochs=2)])
def test_equal_seeds_give_equal_weights_and_another_seed_others(run, strategy: Strategy) -> None:
    first, again, other = (run(strategy, seed=seed).weights for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_penalty_is_added_once_however_the_batch_is_parted(run: Callable[..., Trained]) -> None:
    class Pull(Phases):
        def penalty(self, model: Model) -> torch.Tensor:
            return 10.0 * sum(weight.square().sum() for weight in model.head.parameters())

    phases = (Phase("p", 4, (Group(("head",), 1e-2),)),)
    plain, pulled, parted = run(Phases(*phases)), run(Pull(*phases)), run(Pull(*phases), micro_batch=2)
    norms = [float(sum(w.detach().square().sum() for w in done.model.head.parameters())) for done in (plain, pulled, parted)]
    assert norms[1] < 0.5 * norms[0]
    assert norms[2] == pytest.approx(norms[1], rel=1e-4)


def test_gradients_are_clipped_to_the_plans_norm(run, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: dict[float, list[float]] = {0.0: [], 0.01: []}
    step = torch.optim.AdamW.step
    for clip, seen in norms.items():

        def watched(self: Any, *args: Any, seen: list[float] = seen, **options: Any) -> Any:
            grads = [weight.grad for group in self.param_groups for weight in group["params"]]
            seen.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
            return step(self, *args, **options)

        monkeypatch.setattr(torch.optim.AdamW, "step", watched)
        run(Probe(epochs=2), clip=clip)
    assert min(norms[0.0]) > 0.01
    assert max(norms[0.01]) == pytest.approx(0.01, rel=1e-3)


def test_tensors_of_one_dimension_are_not_decayed(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    groups = (Group(("head",), 0.1, 0.5), Group(("block.2",), 0.1, 0.5))
    optimizer = make_optimizer(groups, model.select(groups), CPU)
    before = {name: weight.detach().clone() for name, weight in model.weights().items()}
    for weight in model.weights().values():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.weights().items():
        is_decayed = weight.ndim > 1 and model.owner[name] in ("head", "block.2")
        torch.testing.assert_close(weight.detach(), before[name] * (1 - 0.1 * 0.5 if is_decayed else 1))


def test_a_strategy_that_moves_what_it_declared_frozen_is_caught(run: Callable[..., Trained]) -> None:
    class Sneaky(Phases):
        def penalty(self, model: Model) -> float:
            model.backbone.network.block1.norm.running_mean.add_(1)
            return 0.0

    with pytest.raises(FreezingError, match=r"phase 'p' changed 1 frozen tensors: backbone\.block1\.norm\.running_mean"):
        run(Sneaky(Phase("p", 1, (Group(("head",), 1e-2),))))


def test_a_score_that_is_undefined_on_validation_leaves_the_choice_to_the_loss(run, make_tiny, make_sentences) -> None:
    """R squared of equal targets is undefined, and the next figure, the error, is better when lower."""
    data = make_sentences(40, "number")
    data.rows = [*(Example(row.id, row.input, 11.0) for row in data.rows[:12]), *data.rows[12:]]
    done = run(Probe(epochs=8, lr=0.3), data=data, model=make_tiny("regression", "number"))
    losses = [epoch["val"]["loss"] for epoch in done.epochs]
    assert "r2" not in done.epochs[0]["val"]
    assert done.ledger.entries[0]["best_epoch"] == 1 + losses.index(min(losses))


def test_a_class_that_validation_lacks_does_not_stop_training(run, make_sentences) -> None:
    data = make_sentences(40)
    good = [row for row in data.rows if row.target == "good"]
    data.rows = [*good[:12], *(row for row in data.rows if row not in good[:12])]
    assert len(run(Probe(epochs=2), data=data).epochs) == 2


def test_statistics_and_dropout_train_in_every_epoch_not_only_before_the_first_validation(run) -> None:
    done = run(Full(epochs=3))
    name = "backbone.block1.norm.running_mean"
    assert not torch.equal(done.states[0][name], done.states[1][name])
    assert not torch.equal(done.states[1][name], done.states[2][name])


def test_what_was_stored_is_computed_again_once_the_backbone_has_trained(run: Callable[..., Trained]) -> None:
    head, backbone = Group(("head",), 0.01), Group(("backbone",), 0.01)
    done = run(Phases(Phase("a", 2, (head,)), Phase("b", 1, (backbone,)), Phase("c", 2, (head,))))
    assert [entry["stored"] for entry in done.ledger.entries] == [["pooled"], [], ["pooled"]]
    counted = 2 + 1 + 1  # two examples to count operations, one example whenever the cost of a pass is asked
    assert set(done.feeds.tally.executions.values()) == {3 * 28 + 3 * 12 + counted}


def test_keep_last_takes_the_last_epoch_where_keep_best_takes_an_earlier_one(run: Callable[..., Trained]) -> None:
    strategy = Phases(Phase("p", 6, (Group(("head", "backbone"), 0.3),), "constant"))
    best, last = run(strategy), run(strategy, keep="last")
    assert best.ledger.entries[0]["best_epoch"] < 6, "the test needs a training that gets worse"
    assert equal(best.model.state(), best.states[best.ledger.entries[0]["best_epoch"] - 1])
    assert equal(last.model.state(), last.states[-1])
    assert equal(best.states[-1], last.states[-1])


@pytest.mark.parametrize(("plan", "named"), [({"batch_size": 1}, "batch_size"), ({"micro_batch": 1}, "micro_batch")])
def test_a_batchnorm_that_trains_refuses_batches_of_one_example_by_the_options_name(run, plan, named: str) -> None:
    with pytest.raises(UsageError, match=rf"train\.{named} is 1; it must be at least 2.* in phase 'full'"):
        run(Full(epochs=1), **plan)
    run(Probe(epochs=1), **plan)  # a frozen one takes nothing from the batch


def test_a_phase_of_so_many_steps_cuts_its_last_epoch_and_falls_to_the_end_of_its_schedule(run: Callable[..., Trained]) -> None:
    done = run(Phases(Phase("p", 9, (Group(("head",), 0.1),), "linear", 0.0, steps=6)))  # an epoch has 4 steps
    entry = done.ledger.entries[0]
    assert (entry["steps"], entry["epochs"]) == (6, 2)
    assert [(epoch["step"], epoch["epochs"]) for epoch in done.epochs] == [(4, 2), (6, 2)]
    assert entry["schedule"][-1] == [5, pytest.approx(0.5 / 6)]
    assert done.epochs[1]["lr"]["head"] == pytest.approx(0.1 * 0.5 / 6)


def test_more_steps_than_the_epochs_have_change_nothing(run: Callable[..., Trained]) -> None:
    plain, capped = (run(Phases(Phase("p", 2, (Group(("head",), 0.1),), steps=steps))) for steps in (None, 99))
    assert torch.equal(plain.weights, capped.weights)


def test_a_phase_of_no_steps_is_refused_before_anything_trains(make_tiny: Callable[..., Model]) -> None:
    from headstart.build import check_phases
    from headstart.recipe import Part, Recipe

    with pytest.raises(UsageError, match="phase 'p' has 0 steps; 1 or more"):
        check_phases(Recipe(Part("table"), Part("tiny/words")), [Phase("p", 1, (Group(("head",), 0.1),), steps=0)], make_tiny())
