"""Memory that runs out: the batch is cut in halves, the step is the same; gradients that are not finite stop the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from headstart.build import make_model
from headstart.device import Compute
from headstart.errors import TrainingError
from headstart.example import Target
from headstart.feed import LiveFeed
from headstart.feeds import Feeds
from headstart.loop import Training
from headstart.phases import Group, Phase
from headstart.recipe import Part, Recipe, TrainPlan
from headstart.room import Room, is_out_of_memory
from headstart.training import train

LINEARS = Phase("linears", 2, (Group(("head", "*.linear.*"), 1e-2, 0.01),))  # no BatchNorm trains
EVERYTHING = Phase("all", 1, (Group(("head", "backbone"), 1e-2),))


class Given:
    """A strategy of one phase."""

    def __init__(self, phase: Phase, penalty: Any = 0.0) -> None:
        self._phase, self._penalty = phase, penalty

    def phases(self, _model: Any) -> tuple[Phase, ...]:
        return (self._phase,)

    def penalty(self, model: Any) -> Any:
        return self._penalty(model) if callable(self._penalty) else self._penalty


@pytest.fixture
def trained(tiny: Any, make_sentences: Any) -> Callable[..., tuple[dict[str, torch.Tensor], list[str]]]:
    """Weights after training, and the warnings: `trained(phase, **plan)`."""

    def run(phase: Phase = LINEARS, penalty: Any = 0.0, **plan: Any) -> tuple[dict[str, torch.Tensor], list[str]]:
        said: list[str] = []
        recipe = Recipe(Part("table"), Part("tiny/words", {"dropout": 0.0}))
        model, data = make_model(recipe, Target("class", ("bad", "good"))), make_sentences(40)
        tell = lambda event, **facts: said.append(facts["message"]) if event == "warning" else None  # noqa: E731
        plan = {"device": "cpu", "batch_size": 8, "store": "off", **plan}
        training = Training(model, Given(phase, penalty), TrainPlan(**plan), Compute(torch.device("cpu")), tell)
        rows = data.examples()
        train(training, Feeds(training, data, {"train": rows[:32], "val": rows[32:], "test": []}))
        return {name: tensor.clone() for name, tensor in model.state().items()}, said

    return run


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the memory run out in training passes of more examples than so many."""

    def limit(most: int) -> None:
        plain = LiveFeed.batch

        def batch(self: LiveFeed, indices: Sequence[int], *, epoch: int | None = None) -> Any:
            if epoch is not None and len(indices) > most:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to hold {len(indices)}")
            return plain(self, indices, epoch=epoch)

        monkeypatch.setattr(LiveFeed, "batch", batch)

    return limit


def test_parts_are_halved_until_they_fit_and_the_weights_are_those_of_such_parts(trained, small_memory) -> None:
    whole, _ = trained()
    asked, _ = trained(micro_batch=2)
    small_memory(3)
    found, said = trained()
    assert all(torch.equal(asked[name], tensor) for name, tensor in found.items()), "the failed passes left no trace"
    assert all(torch.allclose(whole[name], tensor, atol=1e-6) for name, tensor in found.items())
    assert [message.split(";")[0] for message in said] == [
        "the memory ran out with 8 examples at a time",
        "the memory ran out with 4 examples at a time",
    ]
    assert said[-1].endswith("train.micro_batch: 2 says so from the start")


def test_a_memory_that_does_not_hold_one_example_stops_with_what_would_help(trained, small_memory) -> None:
    small_memory(0)
    with pytest.raises(TrainingError, match=r"does not hold one example at a time \(CUDA out of memory.*read smaller inputs"):
        trained()


def test_a_batchnorm_that_trains_keeps_two_examples(trained, small_memory) -> None:
    small_memory(1)
    with pytest.raises(TrainingError, match="does not hold 2 examples at a time"):
        trained(EVERYTHING)


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_a_weight(trained) -> None:
    def steep(model: Any) -> torch.Tensor:
        return sum((weight - weight.detach()).abs().sqrt().sum() for weight in model.head.parameters())  # 0, of slope 1 / 0

    with pytest.raises(
        TrainingError, match=r"a gradient is not finite at epoch 1 \(the loss is\), in the batch of examples e\d"
    ):
        trained(penalty=steep)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error: BaseException, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one


def test_what_the_plan_asks_for_is_never_exceeded() -> None:
    room = Room()
    assert (room.part(None), room.part(4)) == (None, 4)
    assert room.halve(8, least=1)
    assert (room.part(None), room.part(2), room.part(16)) == (4, 2, 4)
    assert not Room().halve(3, least=2)
