"""Stages own every parameter and buffer exactly once, and say so when they do not."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

from headstart.model import Model
from headstart.stages import Stage, StageError, owners


class Tied(nn.Module):
    """Input and output embeddings share their weights, as in most language models."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(4, 3)
        self.middle = nn.Linear(3, 3)
        self.last = nn.Linear(3, 4, bias=False)
        self.last.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(1))


TIED = (Stage("in", ("first",), ("scale",)), Stage("mid", ("middle",)), Stage("out", ("last",)))


def test_every_parameter_and_buffer_has_one_stage(make_tiny: Callable[..., Model]) -> None:
    backbone = make_tiny().backbone
    found = owners(backbone.network, backbone.stages)
    assert found.keys() == dict(backbone.network.state_dict()).keys()
    assert {name: found[name] for name in ("embedding.weight", "block1.norm.running_mean", "block2.linear.bias")} == {
        "embedding.weight": "embedding",
        "block1.norm.running_mean": "block.1",
        "block2.linear.bias": "block.2",
    }


def test_tied_weights_have_one_name_and_the_stage_of_their_first_use() -> None:
    assert owners(Tied(), TIED) == {"first.weight": "in", "scale": "in", "middle.weight": "mid", "middle.bias": "mid"}


def test_a_name_is_not_mistaken_for_a_longer_one() -> None:
    network = nn.ModuleDict({"layer1": nn.Linear(1, 1), "layer10": nn.Linear(1, 1)})
    found = owners(network, (Stage("a", ("layer1",)), Stage("b", ("layer10",))))
    assert (found["layer1.weight"], found["layer10.weight"]) == ("a", "b")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((*TIED[:2], Stage("more", ("middle",))), "'middle.weight' is claimed by two stages, 'mid' and 'more'"),
        ((TIED[0],), r"2 tensors have no stage: middle\.weight, middle\.bias"),
        ((*TIED, Stage("x", ("nowhere",))), "'x' names the module 'nowhere'"),
        ((*TIED, Stage("x", (), ("nothing",))), "'x' names the parameter 'nothing'"),
        ((TIED[0], Stage("in", ("middle",))), "two stages are named 'in'"),
        ((*TIED[:2], Stage("head", ("last",))), "a stage is named 'head'"),
    ],
    ids=["claimed twice", "left over", "no such module", "no such parameter", "same name", "name of a selector"],
)
def test_what_does_not_cover_once_is_named(stages: tuple[Stage, ...], message: str) -> None:
    with pytest.raises(StageError, match=message):
        owners(Tied(), stages)


def test_the_modules_of_the_tiny_stages_run_in_their_order(tiny: ModuleType) -> None:
    backbone, ran = tiny.Words().eval(), []
    for stage in backbone.stages:
        for path in stage.modules:
            backbone.network.get_submodule(path).register_forward_hook(lambda *_, name=stage.name: ran.append(name))
    backbone(backbone.prepare(["a warm film"]))
    assert list(dict.fromkeys(ran)) == [stage.name for stage in backbone.stages]
