"""Several ports as one vector: joined in order, averaged over what is there, and read by any head as its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from headstart.builtin.explained_scores import log_odds_of, score_of
from headstart.builtin.head_joined import Joined
from headstart.errors import UsageError
from headstart.example import Target
from headstart.features import collate, unbatch
from headstart.model import Model
from headstart.testing.stand_ins import SmallBackbone, vectors

AB = Target("class", ("a", "b"))
PORTS = {"pooled": 4, "map.2": 3, "tokens": 5, "mask": 1, "offsets": 2}


def features() -> dict[str, Tensor]:
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    return {"pooled": torch.randn(2, 4), "map.2": torch.randn(2, 3, 2, 5), "tokens": torch.randn(2, 3, 5), "mask": mask}


def test_ports_are_joined_in_the_order_given_each_a_mean_over_what_is_there() -> None:
    given = features()
    found = Joined(PORTS, AB, reads=["tokens", "pooled", "map.2"]).vector(given)["pooled"]
    tokens = torch.stack([given["tokens"][0].mean(dim=0), given["tokens"][1, 0]])
    torch.testing.assert_close(found, torch.cat([tokens, given["pooled"], given["map.2"].mean(dim=(2, 3))], dim=1))


def test_of_a_volume_the_mean_is_taken_over_all_three_axes() -> None:
    volume = torch.randn(2, 3, 2, 3, 4)
    found = Joined(PORTS, AB, reads="map.2").vector({"map.2": volume})["pooled"]
    torch.testing.assert_close(found, volume.mean(dim=(2, 3, 4)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reads": ["pooled", "map.9"]}, r"names 'map\.9', which this backbone does not give; .*: pooled, map\.2, tokens$"),
        ({"reads": ["pooled", "map.2", "pooled"]}, "names 'pooled' twice"),
        ({"reads": ["pooled", "offsets"]}, "'offsets', which is neither a vector, a map nor tokens"),
        ({"reads": []}, "names no port"),
        ({"reads": "pooled", "main": "aux"}, "main is 'aux'; ports are joined for heads"),
        ({"reads": "pooled", "main": "regression"}, "learns number, not class"),
        ({"reads": "pooled", "options": {"dropout": 2.0}}, "dropout is 2"),
    ],
)
def test_what_cannot_be_joined_is_said_with_what_can(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Joined(PORTS, AB, **options)


def test_a_port_of_another_shape_than_declared_is_named() -> None:
    with pytest.raises(UsageError, match=r"the port 'map\.2' has the shape \(2, 2, 5, 3\)"):
        Joined(PORTS, AB, reads=["pooled", "map.2"]).predict({**features(), "map.2": torch.randn(2, 2, 5, 3)})


def test_one_map_alone_is_not_stored_under_the_name_of_the_whole_map() -> None:
    """Else a store of whole maps, which another head left, would be read for it."""
    assert Joined(PORTS, AB, reads="map.2").stored_ports != ("map.2",)


@pytest.mark.parametrize("main", ["linear", "logistic"])
def test_the_stored_vector_alone_gives_the_same_answers_and_is_all_that_is_kept(main: str) -> None:
    backbone = SmallBackbone(ports=("pooled", "map.2", "map.3")).eval()
    head = Joined(backbone.ports, AB, reads=["pooled", "map.3"], main=main)
    with torch.no_grad():
        live = Model(backbone, head)(backbone.prepare(vectors(8)))
    (row, *_), labels = unbatch(live, head.stored_ports), ["a", "b"] * 4
    assert {port: tuple(value.shape) for port, value in row.items()} == {"joined(pooled+map.3)": (16,)}
    if not head.by_gradient:
        head.fit(live, labels)
    stored = collate(unbatch(live, head.stored_ports))
    assert head.predict(stored) == head.predict(live)
    assert score_of(head, stored, "b").tolist() == score_of(head, live, "b").tolist()


@pytest.mark.parametrize("main", ["linear", "logistic"])
def test_what_speaks_for_a_label_is_what_the_main_head_says_and_leads_back_to_the_map(main: str) -> None:
    given = {**features(), "map.2": torch.randn(2, 3, 2, 5, requires_grad=True)}
    head = Joined(PORTS, AB, reads=["pooled", "map.2"], main=main)
    if not head.by_gradient:
        head.fit(given, ["a", "b"])
    assert log_odds_of(head, given, "b") == pytest.approx(log_odds_of(head.main, head.vector(given), "b"))
    (slope,) = torch.autograd.grad(score_of(head, given, "b").sum(), [given["map.2"]])
    assert slope.abs().sum() > 0
