"""The frozen prefix: replayed to the bit, run once, and given up in words where it cannot be taken apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from headstart.builtin.strategies import Gradual, Probe
from headstart.builtin.strategies_partial import LastStages
from headstart.device import Compute
from headstart.feed import LiveFeed
from headstart.feeds import Feeds
from headstart.freezing import set_modes, train_only
from headstart.ledger import digests
from headstart.loop import Training
from headstart.model import Model
from headstart.passing import Pass, Quick
from headstart.phases import Group
from headstart.prefix import frozen_prefix
from headstart.prefix_feed import PrefixFeed, Proof, prove
from headstart.recipe import TrainPlan
from headstart.rows import MemoryRows
from headstart.training import train

CPU = Compute(torch.device("cpu"))
TOP = Group(("head", "block.2"), 1e-2)
UPPER = Group(("head", "block.2", "block.1"), 1e-2)


def thaw(model: Model, group: Group) -> None:
    """Train only what the group selects."""
    (chosen,) = model.select([group])
    train_only(model, chosen)


def proven(model: Model, data: Any, *, exact: bool = False) -> tuple[LiveFeed, str, Proof]:
    """What is known of the boundary of a half-frozen model."""
    prefix = frozen_prefix(model)
    assert prefix is not None
    live = LiveFeed(model, data, data.examples(), CPU, exact=exact)
    return live, prefix.stage, prove(live, [prefix.stage])


def stored(model: Model, data: Any, *, exact: bool = False) -> PrefixFeed:
    """The prefix feed of a half-frozen model."""
    live, stage, proof = proven(model, data, exact=exact)
    assert not proof.refused
    passing = Pass(live, Quick(len(live.examples), may_compile=False, exact=exact))
    rows = passing.boundary(proof.patterns[stage], range(len(live.examples)))
    return PrefixFeed(live, proof.patterns[stage], [MemoryRows(rows)])


@pytest.mark.parametrize(("group", "boundary"), [(TOP, "block.1"), (UPPER, "embedding")])
def test_the_prefix_ends_below_the_lowest_stage_that_trains(make_tiny, group: Group, boundary: str) -> None:
    model = make_tiny()
    thaw(model, group)
    prefix = frozen_prefix(model)
    assert prefix is not None
    assert prefix.stage == boundary
    thaw(model, Group(("embedding",), 1e-2))
    assert frozen_prefix(model) is None


@pytest.mark.parametrize("group", [TOP, UPPER])
def test_replayed_features_equal_live_ones_to_the_bit_where_each_example_went_alone(make_tiny, make_sentences, group) -> None:
    model, data = make_tiny(), make_sentences(6)
    thaw(model, group)
    feed = stored(model, data, exact=True)
    live = LiveFeed(model, data, data.examples(), CPU)
    model.eval()
    for index in range(6):
        for port in ("pooled", "mask"):
            assert torch.equal(feed.batch([index])[port], live.batch([index])[port])


@pytest.mark.parametrize("group", [TOP, UPPER])
def test_the_quick_pass_stays_within_its_stated_difference(make_tiny, make_sentences, group) -> None:
    model, data = make_tiny(), make_sentences(30)
    thaw(model, group)
    feed, live = stored(model, data), LiveFeed(model, data, data.examples(), CPU)
    model.eval()
    torch.testing.assert_close(feed.batch(range(30))["pooled"], live.batch(range(30))["pooled"], rtol=1e-4, atol=1e-5)


def test_no_module_of_the_prefix_runs_in_a_step_and_backward_stops_at_the_boundary(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(8)
    thaw(model, TOP)
    feed = stored(model, data)
    runs: Counter[str] = Counter()
    linear = {name: model.backbone.network.get_submodule(name).linear for name in ("block1", "block2")}
    for name, module in linear.items():
        module.register_forward_hook(lambda *_, name=name: runs.update([name]))
    set_modes(model)
    features = feed.batch([0, 1, 2, 3], epoch=1)
    features["pooled"].sum().backward()
    assert runs == {"block2": 1}
    assert all(weight.grad is None for weight in linear["block1"].parameters())
    assert all(weight.grad is not None for weight in linear["block2"].parameters())


def test_after_a_step_the_network_is_its_own_again(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(5)
    thaw(model, TOP)
    stored(model, data).batch([0, 1])
    assert not [name for name, module in model.named_modules() if "forward" in module.__dict__ or module._forward_hooks]


def run(make_tiny: Any, make_sentences: Any, strategy: Any, tell: Any = lambda *_, **__: None, **plan: Any) -> Feeds:
    """The feeds of a training of 28 examples, 12 for validation; its model is theirs."""
    model, data = make_tiny(dropout=0.0), make_sentences(40)
    training = Training(model, strategy, TrainPlan(batch_size=8, device="cpu", **plan), CPU, tell)
    feeds = Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []})
    train(training, feeds)
    return feeds


def gradual() -> Gradual:
    """Two epochs of the head alone, three with the top stage."""
    return Gradual(head_epochs=2, epochs=3, step=1, depth=1, lr=1e-2)


@pytest.mark.parametrize("exact", [True, False])
def test_training_with_a_stored_prefix_gives_the_weights_of_training_without(make_tiny, make_sentences, exact) -> None:
    kept = run(make_tiny, make_sentences, gradual(), store="memory", exact=exact).training.model
    live = run(make_tiny, make_sentences, gradual(), store="off", exact=exact).training.model
    weights = live.weights()
    for name, weight in kept.weights().items():
        if exact:
            assert torch.equal(weight, weights[name]), name
        else:
            assert torch.allclose(weight, weights[name], rtol=1e-4, atol=1e-5), name
    frozen = {name: digest for name, digest in digests(live).items() if "block2" not in name and "head" not in name}
    assert frozen.items() <= digests(kept).items()


ONCE = 28 + 12  # training and validation examples
COUNTED = 2  # examples whose operations are counted, through all stages
PROOF = 2 + 1 + 1  # examples that a proof watches, through all stages: two together, one alone, the same when all is warm
REPLAYS = 2 + 1 + 2  # examples that a proof replays above the boundary: as watched, and once more without the inputs


@pytest.mark.parametrize(
    ("strategy", "below", "above"),
    [
        (Probe(epochs=3), ONCE + COUNTED + 1, ONCE + COUNTED + 1),
        (LastStages(stages=1, epochs=3), ONCE + COUNTED + 2 * PROOF, 3 * ONCE + COUNTED + 2 * (PROOF + 2 + 1)),
        (gradual(), ONCE + COUNTED + 2 * PROOF, ONCE + 3 * ONCE + COUNTED + 2 * (PROOF + 2 + 1)),
    ],
    ids=["probe", "last-stages", "gradual"],
)
def test_frozen_stages_see_each_example_once_and_others_once_an_epoch(
    make_tiny, make_sentences, strategy, below, above
) -> None:
    feeds = run(make_tiny, make_sentences, strategy, store="memory")
    assert feeds.tally.executions == {"embedding": below, "block.1": below, "block.2": above}


def test_a_value_without_a_place_for_the_batch_runs_live_and_says_why(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(6)
    network = model.backbone.network
    original = network.block1.forward
    network.block1.forward = lambda pooled: original(pooled).mean(dim=0, keepdim=True)  # one value for the whole batch
    thaw(model, TOP)
    _, _, proof = proven(model, data)
    assert proof.refused == {"block.1": "the value after block.1 cannot be taken apart by example"}


def test_a_network_that_goes_around_its_boundary_runs_live_and_says_why(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(6)
    network: Any = model.backbone.network

    def around(words: Tensor) -> Mapping[str, Tensor]:
        """The second block reads the embeddings too, which the stand-in does not hold."""
        mask = words > 0
        mean = network.embedding(words).mean(dim=1)
        return {"pooled": network.block2(network.block1(mean) + mean), "tokens": network.embedding(words), "mask": mask}

    network.forward = around
    thaw(model, TOP)
    _, _, proof = proven(model, data)
    assert proof.refused == {"block.1": "replaying after block.1 is not exact in this network"}


def test_a_prefix_larger_than_the_free_memory_runs_live(make_tiny, make_sentences, monkeypatch) -> None:
    monkeypatch.setattr("headstart.cost.free_memory", lambda _device: 100)
    told: list[Mapping[str, Any]] = []

    def tell(event: str, **facts: Any) -> None:
        if event == "live":
            told.append(facts)

    run(make_tiny, make_sentences, gradual(), tell, store="memory")
    assert {fact["split"] for fact in told} == {"train", "val"}
    assert all("GB of memory" in fact["why"] for fact in told)


def sequence_lengths(feed: PrefixFeed, indices: Sequence[int]) -> int:
    """Padded length of a batch."""
    return int(feed.batch(indices)["tokens"].shape[1])


def test_stored_values_are_padded_to_the_longest_of_each_batch(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(12)
    thaw(model, UPPER)
    feed = stored(model, data)
    shortest = min(range(12), key=lambda index: feed.sizes[index])
    assert sequence_lengths(feed, [shortest]) == min(feed.sizes)
    assert sequence_lengths(feed, range(12)) == max(feed.sizes)
