"""The k-means head: scores equal to scikit-learn's, names and shares from the training labels, a report that is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans as Clustering
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from headstart.builtin.heads_cluster import KMeans
from headstart.errors import DataError, UsageError, WeightsError
from headstart.example import Target
from headstart.features import Features

PORTS = {"pooled": 2}
TARGET = Target("class", ("a", "b", "c"))
NONE = Target("none")


def blobs(count: int = 60, seed: int = 0, spread: float = 1.0) -> tuple[Features, list[str]]:
    generator = np.random.default_rng(seed)
    positions = np.arange(count) % 3
    pooled = np.array([[0.0, 0], [4, 0], [0, 4]])[positions] + spread * generator.normal(size=(count, 2))
    return {"pooled": torch.tensor(pooled, dtype=torch.float32)}, ["abc"[position] for position in positions]


def fitted(features: Features, labels: list[str], **options: int) -> KMeans:
    head = KMeans(PORTS, TARGET, **options)
    head.fit(features, labels)
    return head


def test_clusters_and_their_report_equal_scikit_learn() -> None:
    features, labels = blobs()
    pooled = features["pooled"].double().numpy()
    by_hand = Clustering(3, n_init=10, random_state=0).fit(pooled)
    head = fitted(features, labels)
    assert [answer.details["cluster"] for answer in head.predict(features)] == by_hand.labels_.tolist()
    report = head.cluster_report()
    assert report["sizes"] == np.bincount(by_hand.labels_).tolist()
    assert report["nmi"] == pytest.approx(normalized_mutual_info_score(labels, by_hand.labels_))
    assert report["ari"] == pytest.approx(adjusted_rand_score(labels, by_hand.labels_))
    assert report["silhouette"] == pytest.approx(silhouette_score(pooled, by_hand.labels_))


def test_purity_and_counts_are_those_of_the_labels_in_each_cluster() -> None:
    features = {"pooled": torch.tensor([[0.0, 0], [0, 1], [1, 0], [9, 9], [9, 8]])}
    head = fitted(features, ["a", "a", "b", "c", "c"], clusters=2)
    report = head.cluster_report()
    assert sorted(report["counts"]) == [[0, 0, 2], [2, 1, 0]]
    assert report["purity"] == pytest.approx(4 / 5)
    assert sorted(report["names"]) == ["a", "c"]


def test_probabilities_are_the_shares_of_labels_in_the_cluster() -> None:
    features = {"pooled": torch.tensor([[0.0, 0], [0, 1], [1, 0], [9, 9], [9, 8]])}
    answer = fitted(features, ["a", "a", "b", "c", "c"], clusters=2).predict({"pooled": torch.tensor([[0.0, 0]])})[0]
    assert answer.value == "a"
    assert answer.probabilities == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0.0})
    assert answer.details["distance"] == pytest.approx(np.hypot(1 / 3, 1 / 3))


def test_labels_do_not_shape_the_clusters() -> None:
    features, labels = blobs()
    first, second = fitted(features, labels), fitted(features, labels[::-1])
    assert [a.details for a in first.predict(features)] == [a.details for a in second.predict(features)]


def test_scores_equal_scikit_learn_and_put_nmi_first() -> None:
    features, labels = blobs(spread=2.0)
    head = fitted(features, labels)
    answers = head.predict(features)
    clusters = [answer.details["cluster"] for answer in answers]
    scores = head.score(answers, labels)
    assert next(iter(scores)) == "nmi"
    assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(labels, clusters))
    assert scores["ari"] == pytest.approx(adjusted_rand_score(labels, clusters))
    right = np.mean([answer.value == label for answer, label in zip(answers, labels, strict=True)])
    assert scores["accuracy"] == pytest.approx(right)


def test_weights_count_examples_as_if_they_were_repeated() -> None:
    features, labels = blobs(30, spread=2.0)
    head = fitted(features, labels)
    answers, counts = head.predict(features), np.arange(30) % 3
    rows = np.repeat(np.arange(30), counts)
    repeated = head.score([answers[row] for row in rows], [labels[row] for row in rows])
    assert head.score(answers, labels, counts.astype(float)) == pytest.approx(repeated)


def test_without_labels_the_number_of_clusters_has_the_best_silhouette() -> None:
    features, _ = blobs(spread=0.5)
    head = KMeans(PORTS, NONE)
    head.fit(features, [None] * 60)
    report = head.cluster_report()
    assert report["clusters"] == 3
    assert "nmi" not in report
    answers = head.predict(features)
    assert {answer.value for answer in answers} == {"cluster 0", "cluster 1", "cluster 2"}
    assert all(answer.probabilities is None for answer in answers)
    mean = np.mean([answer.details["distance"] for answer in answers])
    assert head.score(answers, [None] * 60) == pytest.approx({"negative_distance": -mean})


def test_standardising_lets_a_narrow_column_count() -> None:
    generator = np.random.default_rng(0)
    positions = np.arange(60) % 2
    pooled = np.stack([positions + 0.05 * generator.normal(size=60), 100 * generator.normal(size=60)], axis=1)
    features, labels = {"pooled": torch.tensor(pooled)}, ["ab"[position] for position in positions]
    raw, scaled = KMeans(PORTS, TARGET, clusters=2), KMeans(PORTS, TARGET, clusters=2, standardise=True)
    raw.fit(features, labels)
    scaled.fit(features, labels)
    assert raw.cluster_report()["nmi"] < 0.2
    assert scaled.cluster_report()["nmi"] > 0.9


def test_saved_head_predicts_and_reports_the_same(tmp_path: Path) -> None:
    features, labels = blobs()
    head = fitted(features, labels)
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    fresh = KMeans(PORTS, TARGET)
    fresh.load_state_dict(load_file(tmp_path / "head.safetensors"))
    assert fresh.predict(features) == head.predict(features)
    assert fresh.cluster_report() == head.cluster_report()


def test_more_clusters_than_different_examples_are_refused() -> None:
    with pytest.raises(DataError, match="3 clusters cannot be made of 2 different"):
        fitted({"pooled": torch.tensor([[0.0, 0], [0, 0], [1, 1]])}, ["a", "b", "c"])


def test_a_head_that_has_not_learnt_has_no_report() -> None:
    with pytest.raises(WeightsError, match="KMeans has not learnt"):
        KMeans(PORTS, TARGET).cluster_report()


@pytest.mark.parametrize("options", [{"clusters": 1}, {"restarts": 0}])
def test_options_out_of_range_are_named(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        KMeans(PORTS, TARGET, **options)
