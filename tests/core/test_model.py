"""A model's names: what selectors reach, and that each parameter goes to one group."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headstart.errors import UsageError
from headstart.model import Model
from headstart.phases import Group


def names(model: Model, *selects: str) -> list[set[str]]:
    return [set(group) for group in model.select([Group((select,), 1e-3) for select in selects])]


def test_head_stage_backbone_and_globs_select_what_they_say(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    head, backbone = {"head.out.weight", "head.out.bias"}, {name for name in model.weights() if name.startswith("backbone.")}
    assert names(model, "head") == [head]
    assert names(model, "backbone") == [backbone]
    assert names(model, "block.2") == [{name for name in backbone if ".block2." in name}]
    assert names(model, "*.norm.*") == [{f"backbone.block{i}.norm.{kind}" for i in (1, 2) for kind in ("weight", "bias")}]
    assert set(model.weights()) == head | backbone


def test_a_parameter_goes_to_the_first_group_that_claims_it(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    biases, rest = names(model, "*.bias", "backbone")
    assert "backbone.block1.linear.bias" in biases
    assert "head.out.bias" in biases
    assert biases.isdisjoint(rest)
    assert biases | rest == set(model.weights()) - {"head.out.weight"}


def test_one_group_may_name_several(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny()
    [chosen] = model.select([Group(("head", "block.2", "*.bias"), 1e-3)])
    assert {model.owner[name] for name in chosen} == {"head", "block.1", "block.2"}


@pytest.mark.parametrize(
    ("select", "hint"), [("blok.1", "did you mean 'block.1'?"), ("heads", "did you mean 'head'?"), ("*.weigth", "known: head")]
)
def test_a_selector_that_matches_nothing_is_an_error(make_tiny: Callable[..., Model], select: str, hint: str) -> None:
    with pytest.raises(UsageError, match="matches no parameter") as caught:
        names(make_tiny(), "head", select)
    assert hint in str(caught.value)


def test_a_group_that_comes_too_late_is_an_error(make_tiny: Callable[..., Model]) -> None:
    with pytest.raises(UsageError, match=r"\['block.1'\] has no parameters left"):
        names(make_tiny(), "backbone", "block.1")


def test_state_holds_every_parameter_and_buffer_and_shares_storage(make_tiny: Callable[..., Model]) -> None:
    model = make_tiny("regression", "number")
    state = model.state()
    assert state.keys() >= {"backbone.block1.norm.running_var", "head.mean", "head.scale", *model.weights()}
    assert all(not tensor.requires_grad for tensor in state.values())
    state["head.out.bias"].fill_(7)
    assert model.head.out.bias.item() == 7
