"""The ledger proves: it counts what moved, measures how far, and refuses a frozen tensor that changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from headstart.errors import FreezingError
from headstart.freezing import train_only
from headstart.ledger import Ledger, digests
from headstart.model import Model
from headstart.phases import Group, Phase

HEAD = Phase("head", 1, (Group(("head",), 1e-2, 0.01),))
TOP = Phase("top", 1, (Group(("head",), 1e-2), Group(("block.2",), 1e-3)))


def opened(model: Model, phase: Phase = HEAD) -> tuple[Ledger, list[dict[str, torch.nn.Parameter]]]:
    ledger, chosen = Ledger(model), model.select(phase.groups)
    train_only(model, [name for group in chosen for name in group])
    ledger.open(phase, chosen)
    return ledger, chosen


def nudge(model: Model, *names: str) -> None:
    for name in names:
        model.state()[name].add_(1)


@pytest.mark.parametrize(
    "name", ["backbone.block1.norm.running_mean", "backbone.block2.norm.num_batches_tracked", "backbone.embedding.weight"]
)
def test_a_frozen_tensor_that_moves_is_named(make_tiny: Callable[..., Model], name: str) -> None:
    model = make_tiny()
    ledger, chosen = opened(model)
    nudge(model, "head.out.weight", name)
    with pytest.raises(FreezingError, match=f"phase 'head' changed 1 frozen tensors: {name}"):
        ledger.prove(chosen)


def test_a_frozen_tensor_that_moves_by_its_last_bit_is_found(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    ledger, chosen = opened(model)
    weight = model.state()["backbone.block1.linear.weight"]
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    with pytest.raises(FreezingError):
        ledger.prove(chosen)


def test_statistics_of_a_stage_that_trains_may_move(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny("regression", "number")
    ledger, chosen = opened(model, TOP)
    nudge(model, "head.mean", "backbone.block2.norm.running_mean", "backbone.block2.linear.bias")
    ledger.prove(chosen)
    entry = ledger.entries[-1]
    trainable = {name for group in chosen for name in group}
    unmoved = sorted(trainable - {"backbone.block2.linear.bias"})
    assert entry["trainable"] == {
        "tensors": len(trainable),
        "parameters": 8 * 1 + 1 + 8 * 8 + 8 + 8 + 8,
        "moved": 1,
        "unmoved": unmoved,
    }
    buffers_that_train = 3 + 2  # of block2.norm, and the head's mean and scale
    assert entry["frozen"] == {"tensors": len(model.state()) - len(trainable) - buffers_that_train, "identical": True}


def test_groups_and_peak_rates_are_written_down(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    ledger, _ = opened(model, TOP)
    assert ledger.entries[0]["rates"] == {"embedding": 0.0, "block.1": 0.0, "block.2": 1e-3, "head": 1e-2}
    assert ledger.entries[0]["groups"][1] == {
        "select": ["block.2"], "lr": 1e-3, "weight_decay": 0.0, "tensors": 4, "parameters": 88
    }  # fmt: skip


def test_drift_is_the_relative_distance_from_the_start_of_the_run(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    start = {name: tensor.detach().clone() for name, tensor in model.weights().items()}
    ledger, chosen = opened(model)
    nudge(model, "head.out.bias")
    ledger.prove(chosen)
    chosen = model.select(TOP.groups)
    ledger.open(TOP, chosen)
    nudge(model, "head.out.bias", "backbone.block2.linear.weight")
    ledger.prove(chosen)
    head = torch.cat([start[name].flatten() for name in ("head.out.weight", "head.out.bias")])
    block = torch.cat([weight.flatten() for name, weight in start.items() if "block2" in name])
    drift = ledger.entries[-1]["drift"]
    assert drift["head"] == pytest.approx((2 * 2**2) ** 0.5 / float(head.norm()))
    assert drift["block.2"] == pytest.approx(64**0.5 / float(block.norm()))
    assert drift["block.1"] == drift["embedding"] == 0.0
    assert ledger.entries[0]["drift"]["head"] == pytest.approx(2**0.5 / float(head.norm()))


def test_digests_tell_bytes_not_values(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    model.state()["head.out.bias"].fill_(0.0)
    positive = digests(model)["head.out.bias"]
    model.state()["head.out.bias"].fill_(-0.0)
    assert digests(model)["head.out.bias"] != positive


def test_statistics_of_a_frozen_norm_may_not_move_in_a_stage_that_trains(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    phase = Phase("part", 1, (Group(("backbone.block2.linear.*",), 1e-3),))
    ledger, chosen = opened(model, phase)
    nudge(model, "backbone.block2.linear.bias", "backbone.block2.norm.running_mean")
    with pytest.raises(FreezingError, match=r"changed 1 frozen tensors: backbone\.block2\.norm\.running_mean"):
        ledger.prove(chosen)
