"""The head `prototype`: the nearest mean wins, and its probabilities are as sure as the examples allow."""

from __future__ import annotations

import pytest
import torch

from headstart.builtin.head_prototype import SHARPNESS, USUAL, Prototype
from headstart.errors import DataError
from headstart.example import Target

THREE = Target("class", ("a", "b", "c"))


def clusters(spread: float, each: int = 20) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Points around three corners of a space of 8 dimensions."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.eye(8)[:3] * 3 + 1  # far from the origin together, as features of an encoder are
    points = corners.repeat_interleave(each, dim=0) + spread * torch.randn(3 * each, 8, generator=generator)
    return {"pooled": points}, [label for label in "abc" for _ in range(each)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_mean_wins_and_sharpness_follows_how_far_apart_they_are(metric) -> None:
    found = {}
    for spread in (0.3, 2.5):
        features, targets = clusters(spread)
        head = Prototype({"pooled": 8}, THREE, metric=metric)
        head.fit(features, targets)
        predictions = head.predict(features)
        right = sum(p.value == target for p, target in zip(predictions, targets, strict=True)) / len(targets)
        assert right == 1.0 if spread < 1 else right > 0.6
        assert all(sum((p.probabilities or {}).values()) == pytest.approx(1) for p in predictions)
        found[spread] = head.facts()["sharpness"]
    assert found[0.3] > found[2.5]
    assert found[2.5] in SHARPNESS


def test_euclidean_prototypes_are_the_means_by_hand() -> None:
    features = {"pooled": torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 4.0], [12.0, 4.0]])}
    head = Prototype({"pooled": 2}, Target("class", ("a", "b")), metric="euclidean")
    head.fit(features, ["a", "a", "b", "b"])
    assert torch.allclose(head.prototypes + head.middle, torch.tensor([[1.0, 0.0], [11.0, 4.0]]))
    assert [p.value for p in head.predict({"pooled": torch.tensor([[5.0, 0.0], [7.0, 4.0]])})] == ["a", "b"]


def test_one_example_a_label_is_enough_and_a_label_without_any_is_never_said() -> None:
    head = Prototype({"pooled": 8}, THREE)
    head.fit({"pooled": torch.eye(8)[:2]}, ["a", "c"])
    (prediction,) = head.predict({"pooled": torch.eye(8)[1:2]})
    assert prediction.value == "c"
    assert (prediction.probabilities or {})["b"] == 0
    assert head.facts()["sharpness"] == USUAL


def test_what_was_learnt_goes_through_the_state_dict() -> None:
    features, targets = clusters(1.0)
    head, other = (Prototype({"pooled": 8}, THREE, metric="euclidean") for _ in range(2))
    head.fit(features, targets)
    other.load_state_dict(head.state_dict())
    assert [p.probabilities for p in other.predict(features)] == [p.probabilities for p in head.predict(features)]


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="no training example"):
        Prototype({"pooled": 8}, THREE).fit({"pooled": torch.zeros(0, 8)}, [])
