"""A batch with a few long texts is trained in parts by length: the same step with a fraction of the tokens at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from headstart.builtin.heads_neural import Linear
from headstart.builtin.memory import MemoryTexts
from headstart.builtin.strategies import Full
from headstart.device import Compute
from headstart.example import Example, Target
from headstart.feed import LiveFeed
from headstart.loop import Training
from headstart.model import Model
from headstart.recipe import TrainPlan
from headstart.step import make_optimizer, parts_of, take_step
from headstart_nlp.encoder import Encoder

LABELS = Target("class", ("a", "b"))


class Tight(Compute):
    """A device that holds few tokens."""

    @property
    def train_tokens(self) -> int:
        return 64


def stepped(folder: Path, compute: Compute) -> tuple[dict[str, torch.Tensor], float, list[list[int]]]:
    """Weights after one step on a batch with one text far longer than the others, its loss, and its parts."""
    encoder = Encoder(weights=str(folder))
    torch.manual_seed(0)
    model = Model(encoder, Linear(encoder.ports, LABELS))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    texts = [" ".join(f"w{at}" for at in range(length)) for length in (3, 50, 4, 5, 3, 6)]
    examples = [Example(str(at), text, LABELS.labels[at % 2]) for at, text in enumerate(texts)]
    feed = LiveFeed(model, MemoryTexts.of(texts, [e.target for e in examples], LABELS.labels, ["train"] * 6), examples, compute)
    training = Training(model, Full(), TrainPlan(batch_size=6, device="cpu"), compute, lambda *_, **__: None)
    (phase,) = training.strategy.phases(model)
    chosen = model.select(phase.groups)
    indices = list(range(len(examples)))
    loss = take_step(training, make_optimizer(phase.groups, chosen, compute), feed, indices, 1)
    return {name: weight.detach().clone() for name, weight in model.weights().items()}, loss, parts_of(training, feed, indices)


def test_parts_by_length_give_the_step_of_the_whole_batch(tiny: Callable[[str], Path]) -> None:
    cpu = torch.device("cpu")
    whole, loss, one = stepped(tiny("bert"), Compute(cpu))
    parted, same, parts = stepped(tiny("bert"), Tight(cpu))
    assert one == [[0, 1, 2, 3, 4, 5]]
    assert parts == [[1], [5, 3, 2, 0, 4]]
    assert abs(loss - same) < 1e-5
    for name, weight in whole.items():
        assert torch.allclose(weight, parted[name], atol=1e-4), name  # Adam's first step is the rate times a sign
