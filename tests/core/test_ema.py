"""The moving average: its weights by hand, who uses it, and that nothing changes without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from headstart.builtin.strategies import Probe
from headstart.device import Compute
from headstart.ema import Average
from headstart.feeds import Feeds
from headstart.ledger import Ledger
from headstart.loop import Training
from headstart.model import Model
from headstart.phases import Group, Phase
from headstart.recipe import TrainPlan
from headstart.strategy import Strategy
from headstart.training import train

HEAD = "head.out.weight"
NORM = "backbone.block1.norm.running_mean"
Weights = dict[str, torch.Tensor]


class Watched(Strategy):
    """Given phases; notes the weights that each optimiser step starts from."""

    def __init__(self, *phases: Phase) -> None:
        self._phases = phases
        self.seen: list[Weights] = []

    def phases(self, model: Model) -> Sequence[Phase]:
        return self._phases

    def penalty(self, model: Model) -> float:
        self.seen.append({name: tensor.clone() for name, tensor in model.state().items()})
        return 0.0


@pytest.fixture
def carry_out(
    make_tiny: Callable[..., Model], make_sentences: Any
) -> Callable[..., tuple[Model, Ledger, list[dict[str, Any]]]]:
    def carry_out(strategy: Strategy, *, val: int = 12, **plan: Any) -> tuple[Model, Ledger, list[dict[str, Any]]]:
        model, data, told = make_tiny(), make_sentences(40), []
        rows = data.examples()

        def tell(event: str, **facts: Any) -> None:
            told.append({"event": event, **facts})

        training = Training(model, strategy, TrainPlan(device="cpu", batch_size=8, **plan), Compute(torch.device("cpu")), tell)
        parts = {"train": rows[val:], "val": rows[:val], "test": []}
        return model, train(training, Feeds(training, data, parts)), told

    return carry_out


def by_hand(weights: list[torch.Tensor], decay: float) -> torch.Tensor:
    """The average after the steps that led through `weights`, the first being those before any step."""
    mean = weights[0].double()
    for t, weight in enumerate(weights[1:], 1):
        share = min(decay, (1 + t) / (10 + t))
        mean = share * mean + (1 - share) * weight.double()
    return mean


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
def test_the_average_is_the_sum_written_out(decay: float) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3, 2))
    average, path = Average([{"w": weight}], decay), [weight.detach().clone()]
    for _ in range(30):
        with torch.no_grad():
            weight.add_(torch.randn(3, 2))
        average.update()
        path.append(weight.detach().clone())
    with average.standing_in():
        torch.testing.assert_close(weight.detach().double(), by_hand(path, decay), rtol=1e-5, atol=1e-6)
    assert torch.equal(weight.detach(), path[-1])


def test_the_last_weights_come_back_even_where_validation_fails() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    average = Average([{"w": weight}], 0.9)
    with torch.no_grad():
        weight.fill_(5.0)
    with pytest.raises(RuntimeError), average.standing_in():
        assert weight.tolist() == [1.0, 1.0]
        raise RuntimeError
    assert weight.tolist() == [5.0, 5.0]


def test_the_run_keeps_the_average_and_the_statistics_of_its_batchnorms_as_they_are(carry_out) -> None:
    """Without validation the last epoch is kept; a third phase of rate next to nothing shows where the second ended."""
    everything = Group(("head", "backbone"), 0.05)
    strategy = Watched(Phase("a", 3, (everything,), "constant"), Phase("b", 1, (Group(("head",), 1e-12),), "constant"))
    carry_out(strategy, val=0, ema=0.8)
    steps = 3 * 5  # 40 examples in batches of 8
    after = strategy.seen[steps]  # the state that phase b begins with: the average of phase a
    path = [seen[HEAD] for seen in strategy.seen[:steps]]
    assert not torch.equal(after[HEAD], path[-1])
    short = by_hand(path, 0.8)  # without the last step, whose weights nobody sees
    last = (after[HEAD].double() - 0.64 * short) / 0.36  # share of step 15: (1 + 15) / (10 + 15) = 0.64 < 0.8
    step = (last - path[-1].double()).abs().max()
    assert 1e-3 < step < 0.06, "solved for, the last weights are one step of Adam at rate 0.05 from those before it"
    assert not torch.equal(after[NORM], strategy.seen[0][NORM])


def test_validation_sees_the_average(carry_out) -> None:
    """At a rate that throws the head about, the average of its weights has another loss than the last ones."""
    phase = Phase("p", 6, (Group(("head",), 0.5),), "constant")
    losses = [
        [told["val"]["loss"] for told in carry_out(Watched(phase), ema=ema)[2] if told["event"] == "epoch"]
        for ema in (0.0, 0.95)
    ]
    trained = [
        [told["train_loss"] for told in carry_out(Watched(phase), ema=ema)[2] if told["event"] == "epoch"]
        for ema in (0.0, 0.95)
    ]
    assert trained[0] == trained[1], "the average takes no part in training"
    assert losses[0] != losses[1]


def test_no_average_is_equal_to_the_bit_whatever_else_happens(carry_out) -> None:
    """Training steps are the same with and without it, and without it nothing is copied."""
    plain, with_average = Watched(Phase("p", 3, (Group(("head",), 0.05),))), Watched(Phase("p", 3, (Group(("head",), 0.05),)))
    carry_out(plain)
    carry_out(with_average, ema=0.9)
    assert all(torch.equal(a[HEAD], b[HEAD]) for a, b in zip(plain.seen, with_average.seen, strict=True))
    unused = Average([{"w": torch.nn.Parameter(torch.ones(2))}], 0.0)
    unused.update()
    assert not unused._means


def test_the_ledger_proves_frozen_tensors_with_an_average(carry_out) -> None:
    _, ledger, _ = carry_out(Probe(epochs=4, lr=0.1), ema=0.9)
    assert ledger.entries[0]["frozen"]["identical"]
    assert ledger.entries[0]["trainable"]["moved"] == 2
    assert ledger.drift()["head"] > 0 == ledger.drift()["block.2"]
