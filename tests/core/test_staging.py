"""Stages read off a pass: every block of every row, in the order in which they run, whole and replayable."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart import Stage, find_stages
from headstart.errors import UsageError
from headstart.stages import owners


class Encoder(nn.Module):
    """As text encoders are: something before, a list of equal blocks, something behind, and a table that all blocks read."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)  # declared first, runs last
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.embeddings = nn.Embedding(9, 4)
        self.angles = nn.Module()
        self.angles.register_buffer("table", torch.ones(4))
        self.angles.forward = lambda: self.angles.table  # beside the way: every block reads it
        self.bias = nn.Parameter(torch.zeros(4))
        self.unused = nn.Linear(4, 2)

    def forward(self, ids):
        values, angles = self.embeddings(ids), self.angles()
        for layer in self.encoder.layer:
            values = torch.tanh(layer(values * angles) + self.bias)
        return self.norm(values)


class Picture(nn.Module):
    """As picture networks are: a stem, rows of blocks with BatchNorms, a pooling without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.layer1 = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)) for _ in range(2)))
        self.layer2 = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, picture):
        return self.pool(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(picture)))))).flatten(1)


def test_blocks_of_a_list_are_stages_in_the_order_in_which_they_run():
    network = Encoder()
    stages = find_stages(network, lambda: network(torch.ones(1, 3, dtype=torch.long)))
    assert [stage.name for stage in stages] == ["embeddings", "layer.0", "layer.1", "layer.2", "norm"]
    assert stages[1].modules == ("encoder.layer.0",)
    assert set(stages[0].params) == {
        "bias",
        "angles.table",
        "unused.weight",
        "unused.bias",
    }  # none of them trains above a frozen stage
    assert owners(network, stages)["bias"] == "embeddings"


def test_batchnorms_and_what_has_no_weights_go_with_what_ran_before():
    network = Picture()
    stages = find_stages(network, lambda: network(torch.zeros(1, 3, 8, 8)))
    assert [stage.name for stage in stages] == ["conv1", "layer1.0", "layer1.1", "layer2.0"]
    assert stages[0].modules == ("conv1", "bn1", "relu")
    assert stages[-1].modules == ("layer2.0", "layer2.1", "layer2.2", "pool")
    owners(network, stages)  # raises where a tensor has no stage, or two


def test_a_plain_sequence_has_a_stage_for_each_member_with_weights():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    assert find_stages(network, lambda: network(torch.zeros(1, 4))) == (
        Stage("layer.0", ("0", "1")),
        Stage("layer.2", ("2",)),
    )


def test_a_network_within_a_wrapper_is_looked_into():
    wrapper = nn.Module()
    wrapper.model = Picture()
    stages = find_stages(wrapper, lambda: wrapper.model(torch.zeros(1, 3, 8, 8)))
    assert [stage.name for stage in stages] == ["conv1", "layer1.0", "layer1.1", "layer2.0"]
    assert stages[0].modules == ("model.conv1", "model.bn1", "model.relu")


def test_a_layer_that_runs_twice_is_no_boundary():
    network = nn.Module()
    network.first, network.shared, network.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    stages = find_stages(network, lambda: network.last(network.shared(network.shared(network.first(torch.zeros(1, 4))))))
    assert [stage.name for stage in stages] == ["first", "last"]
    assert stages[0].params == ("shared.weight", "shared.bias")


def test_the_network_stays_as_it_is():
    network = Picture()
    network.layer1.eval()
    modes = {name: module.training for name, module in network.named_modules()}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    find_stages(network, lambda: network(torch.randn(2, 3, 8, 8)))
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())  # BatchNorm's too
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_module_named_like_a_selector_gets_another_name():
    network = nn.Module()
    network.body, network.head = nn.Linear(4, 4), nn.Linear(4, 4)
    stages = find_stages(network, lambda: network.head(network.body(torch.zeros(1, 4))))
    assert [stage.name for stage in stages] == ["body", "head-part"]


@pytest.mark.parametrize(
    ("network", "size", "says"),
    [(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), 5, "does not run: RuntimeError"), (nn.ReLU(), 4, "runs once")],
)
def test_a_network_without_stages_is_refused(network, size, says):
    with pytest.raises(UsageError, match=says):
        find_stages(network, lambda: network(torch.zeros(1, size)))
    assert not any(module._forward_pre_hooks for module in network.modules())
