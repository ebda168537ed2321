"""Times the floor: counted operations, the formulas against their worked example, and what a run adds up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection

import pytest
import torch

from headstart.floor import Floor, Meter, Network, PhaseDone, Units, least, probe
from headstart.flops import Layer, count_flops
from headstart.model import HEAD, Model

# stages a, b, c of 10, 20 and 30 operations, the last in two layers, and a head of 1
LAYERS = (
    Layer("a", 4, ("a1",)),
    Layer("a", 6, ("a2",)),
    Layer("b", 20, ("b1",)),
    Layer("b", 0, ("norm",)),
    Layer("c", 10, ("c1",)),
    Layer("c", 20, ("c2",)),
    Layer(HEAD, 1, ("head",)),
)
NETWORK = Network(("a", "b", "c"), LAYERS)
ALL = frozenset(name for layer in LAYERS for name in layer.weights)
PROBE, LAST = frozenset({"head"}), frozenset({"head", "c1", "c2"})
CPU = torch.device("cpu")


def test_a_pass_may_begin_behind_a_stored_stage_and_end_at_another() -> None:
    assert NETWORK.forward() == 61
    assert NETWORK.forward(upto="b") == 30
    assert NETWORK.forward(after="a") == 51
    assert NETWORK.forward(after="a", upto="b") == 20
    assert NETWORK.forward(after=HEAD) == NETWORK.forward(after="c") == 1


@pytest.mark.parametrize(
    ("trains", "expected"),
    [
        (ALL, 2 * 61 - 4),  # with the forward pass 3 F - f1
        (PROBE, 1),  # the head's inputs need no gradient
        (LAST, 2 * 31 - 10),
        ({"norm"}, 31),  # it costs nothing itself, but the gradient has to come down to it
        ({"a1", "head"}, 57 + 5),
        ((), 0),
    ],
)
def test_a_backward_pass_reaches_down_to_the_lowest_that_trains(trains: Collection[str], expected: float) -> None:
    assert NETWORK.backward(trains) == expected


@pytest.mark.parametrize(("trains", "boundary"), [(ALL, None), (LAST, "b"), ({"norm", "head"}, "a"), (PROBE, HEAD)])
def test_the_boundary_lies_below_the_lowest_stage_that_trains(trains: Collection[str], boundary: str | None) -> None:
    assert NETWORK.boundary(trains) == boundary


def test_a_probe_runs_the_backbone_once_per_example() -> None:
    work = least(NETWORK, [PhaseDone(PROBE, 10)], Units(train=100))
    assert work == 100 * 60 + 10 * 100 * 2 * 1  # the head's own input needs no gradient: 2, not 3


def test_views_multiply_what_is_computed_once() -> None:
    assert least(NETWORK, [PhaseDone(PROBE, 10)], Units(train=100, views=3)) == 300 * 60 + 10 * 100 * 2


def test_last_stages_run_the_prefix_once_and_the_rest_each_epoch() -> None:
    assert least(NETWORK, [PhaseDone(LAST, 5)], Units(train=100)) == 100 * 30 + 5 * 100 * (3 * 31 - 10)


def test_gradual_unfreezing_needs_one_pass_for_all_its_boundaries() -> None:
    phases = [PhaseDone(PROBE, 2), PhaseDone(LAST, 3), PhaseDone(ALL, 1)]
    assert least(NETWORK, phases, Units(train=100)) == 100 * (60 + 2 * 2 + 3 * (93 - 10) + (183 - 4))


def test_what_was_trained_over_has_to_be_computed_again() -> None:
    phases = [PhaseDone(ALL, 1), PhaseDone(PROBE, 1)]
    assert least(NETWORK, phases, Units(train=100)) == 100 * ((183 - 4) + 60 + 2)


def test_validation_follows_every_epoch_and_the_test_comes_once() -> None:
    plain = least(NETWORK, [PhaseDone(LAST, 5)], Units(train=100))
    assert least(NETWORK, [PhaseDone(LAST, 5)], Units(train=100, val=10, test=7)) == plain + 10 * 30 + 5 * 10 * 31 + 7 * 61


def test_a_run_that_stores_is_at_the_floor_and_one_that_does_not_is_above_it() -> None:
    stored, live = Meter(NETWORK, CPU), Meter(NETWORK, CPU)
    stored.forward(100, upto="c")
    for _ in range(10):
        stored.forward(100, after=HEAD)
        live.forward(100)
        for meter in (stored, live):
            meter.backward(100, PROBE)
    phases, units = [PhaseDone(PROBE, 10)], Units(train=100)
    assert stored.floor(phases, units).times == 1
    assert live.floor(phases, units).times == pytest.approx((10 * 60 + 20) / (60 + 20))


def test_times_in_time_compares_with_the_machines_best_rate() -> None:
    floor = Floor(done=3e9, least=2e9, seconds=0.5, rate=8e9)
    assert (floor.times, floor.times_in_time) == (1.5, 2.0)
    assert str(floor) == "1.50 times the least computation (3 of 2 GFLOP); 2.00 times the least time at 8 GFLOP/s"
    assert floor.as_json()["times_in_time"] == 2.0
    assert Floor(done=1, least=0, seconds=0).times == 1
    assert Floor(done=1, least=1, seconds=0).times_in_time is None


def test_short_runs_are_not_probed_and_a_probe_keeps_to_its_time() -> None:
    assert probe(CPU, 0.001) == 0
    started = time.perf_counter()
    assert probe(CPU, 0.1) > 1e8
    assert time.perf_counter() - started < 5  # a busy machine may take its time


def test_timing_adds_up_the_seconds_of_computing() -> None:
    meter = Meter(NETWORK, CPU)
    for _ in range(2):
        with meter.timing():
            end = time.process_time() + 0.02
            while time.process_time() < end:
                pass
    assert 0.04 <= meter.seconds < 4


def test_layers_are_counted_as_they_run(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny(width=8).eval()
    batch = model.backbone.prepare(["a warm film", "a dull and cold story"])
    layers = count_flops(model, batch, units=2, targets=["good", "bad"])
    linear = 2 * 8 * 8  # a product and a sum per weight
    assert [layer.stage for layer in layers] == ["embedding", "block.1", "block.1", "block.2", "block.2", HEAD]
    assert [layer.flops for layer in layers] == [0, linear, 0, linear, 0, 2 * 8 * 2]
    assert {name for layer in layers for name in layer.weights} == set(model.weights())


def test_counting_neither_changes_the_model_nor_imports_the_compiler(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny().eval()
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    was_there = "torch._dynamo" in sys.modules
    count_flops(model, model.backbone.prepare(["a film"]), units=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state().items())
    assert ("torch._dynamo" in sys.modules) == was_there
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_attention_is_counted_as_torch_counts_it_elsewhere() -> None:
    from headstart.flops import FORMULAS

    formula = FORMULAS[torch.ops.aten._scaled_dot_product_flash_attention_for_cpu]
    heads = torch.zeros(2, 3, 5, 7)
    assert formula(heads, heads, heads, out_val=None) == 2 * (2 * 2 * 3 * 5 * 5 * 7)
