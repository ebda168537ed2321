"""The frozen prefix: replayed to the bit, run once, and given up in words where it cannot be taken apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from headstart.builtin.strategies import Gradual
from headstart.device import Compute
from headstart.feed import LiveFeed
from headstart.freezing import set_modes, train_only
from headstart.ledger import digests
from headstart.loop import Training
from headstart.model import Model
from headstart.phases import Group
from headstart.prefix import frozen_prefix
from headstart.prefix_feed import PrefixFeed, store_prefix
from headstart.recipe import TrainPlan
from headstart.training import Feeds, train

CPU = Compute(torch.device("cpu"))
TOP = Group(("head", "block.2"), 1e-2)
UPPER = Group(("head", "block.2", "block.1"), 1e-2)


def thaw(model: Model, group: Group) -> None:
    """Train only what the group selects."""
    (chosen,) = model.select([group])
    train_only(model, chosen)


def stored(model: Model, data: Any) -> PrefixFeed:
    """The prefix feed of a half-frozen model."""
    prefix = frozen_prefix(model)
    assert prefix is not None
    feed = store_prefix(LiveFeed(model, data, data.examples(), CPU), prefix)
    assert isinstance(feed, PrefixFeed), feed
    return feed


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
def test_replayed_features_equal_live_ones_to_the_bit_in_the_batch_they_were_stored_in(
    make_tiny, make_sentences, group
) -> None:
    model, data = make_tiny(), make_sentences(6)
    thaw(model, group)
    feed = stored(model, data)
    live = LiveFeed(model, data, data.examples(), CPU)
    model.eval()
    everything = sorted(range(6), key=lambda index: -live.sizes[index])  # the order in which one frozen batch holds them
    for port in ("pooled", "mask"):
        assert torch.equal(feed.batch(everything)[port], live.batch(everything)[port])


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


def counted(model: Model) -> Counter[str]:
    """Examples that each block of the network is given from now on."""
    seen: Counter[str] = Counter()
    for name in ("block1", "block2"):
        block = model.backbone.network.get_submodule(name)
        block.linear.register_forward_hook(lambda _m, inputs, _o, name=name: seen.update({name: len(inputs[0])}))
    return seen


def gradual(make_tiny: Any, make_sentences: Any, store: Any, tell: Any = lambda *_, **__: None) -> tuple[Model, Counter[str]]:
    """A model after gradual thawing of its top stage, and how many examples each block saw."""
    model, data = make_tiny(dropout=0.0), make_sentences(40)
    seen = counted(model)
    plan = TrainPlan(batch_size=8, device="cpu", store=store)
    training = Training(model, Gradual(head_epochs=2, epochs=3, step=1, depth=1, lr=1e-2), plan, CPU, tell)
    train(training, Feeds(training, data, {"train": data.rows[12:], "val": data.rows[:12], "test": []}))
    return model, seen


def test_training_with_a_stored_prefix_gives_the_weights_of_training_without(make_tiny, make_sentences) -> None:
    with_store, _ = gradual(make_tiny, make_sentences, "memory")
    without, _ = gradual(make_tiny, make_sentences, "off")
    weights = without.weights()
    for name, weight in with_store.weights().items():
        assert torch.allclose(weight, weights[name], rtol=1e-4, atol=1e-5), name
    frozen = {name: digest for name, digest in digests(without).items() if "block2" not in name and "head" not in name}
    assert frozen.items() <= digests(with_store).items()


def test_each_example_passes_the_prefix_once_per_boundary_and_the_rest_once_per_epoch(make_tiny, make_sentences) -> None:
    _, seen = gradual(make_tiny, make_sentences, "memory")
    # head phase: 28 + 12 examples once; thawing: the prefix once more for both parts, and a proof of 2 + 1 + 1 examples each,
    # whose last pass of each kind replays (so block1 sees 2 + 1 of them)
    assert seen["block1"] == (28 + 12) + (28 + 12) + 2 * (2 + 1)
    epochs = 3 * (28 + 12)  # training and validation
    assert seen["block2"] == (28 + 12) + (28 + 12) + epochs + 2 * (2 + 1 + 2 + 1)


def test_a_value_without_a_place_for_the_batch_runs_live_and_says_why(make_tiny, make_sentences) -> None:
    model, data = make_tiny(), make_sentences(6)
    network = model.backbone.network
    original = network.block1.forward
    network.block1.forward = lambda pooled: original(pooled).mean(dim=0, keepdim=True)  # one value for the whole batch
    thaw(model, TOP)
    prefix = frozen_prefix(model)
    assert prefix is not None
    why = store_prefix(LiveFeed(model, data, data.examples(), CPU), prefix)
    assert why == "the value after block.1 cannot be taken apart by example"


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
    prefix = frozen_prefix(model)
    assert prefix is not None
    why = store_prefix(LiveFeed(model, data, data.examples(), CPU), prefix)
    assert why == "replaying after block.1 is not exact in this network"


def test_a_prefix_larger_than_the_free_memory_runs_live(make_tiny, make_sentences, monkeypatch) -> None:
    monkeypatch.setattr("headstart.prefix_feed.free_memory", lambda: 100)
    told: list[Mapping[str, Any]] = []

    def tell(event: str, **facts: Any) -> None:
        if event == "live":
            told.append(facts)

    gradual(make_tiny, make_sentences, "auto", tell)
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
