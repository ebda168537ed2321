"""Heads that learn in one go: equal to scikit-learn by hand, saved inside the weights, and closed to foreign code."""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from headstart.builtin.closed import ClosedClassifier, to_buffer
from headstart.builtin.heads_closed import C_GRID, KNN, SVM, Logistic
from headstart.errors import DataError, UsageError, WeightsError
from headstart.example import Target
from headstart.features import Features

PORTS = {"pooled": 3}
TARGET = Target("class", ("a", "b", "c"))
HEADS = [Logistic, SVM, KNN]


def blobs(count: int = 45, classes: int = 3, seed: int = 0) -> tuple[Features, list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    positions = np.arange(count) % classes
    centers = np.array([[0.0, 0, 0], [1.5, 0, 10], [0, 1.5, 20]])
    pooled = centers[positions] + generator.normal(size=(count, 3)) * [1, 1, 8]
    return {"pooled": torch.tensor(pooled, dtype=torch.float32)}, ["abc"[position] for position in positions], positions


def fitted(head_class: type[ClosedClassifier], **options: object) -> ClosedClassifier:
    head = head_class(PORTS, TARGET, **options)
    features, labels, _ = blobs()
    head.fit(features, labels)
    return head


def probabilities(head: ClosedClassifier, features: Features) -> np.ndarray:
    return np.array([list((answer.probabilities or {}).values()) for answer in head.predict(features)])


def test_logistic_equals_scikit_learn_by_hand() -> None:
    features, _, positions = blobs()
    pooled = features["pooled"].double().numpy()
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000)).fit(pooled, positions)
    np.testing.assert_allclose(probabilities(fitted(Logistic, c=0.1), features), by_hand.predict_proba(pooled), atol=1e-12)


def test_logistic_without_standardising_equals_the_plain_model() -> None:
    features, _, positions = blobs()
    pooled = features["pooled"].double().numpy()
    by_hand = LogisticRegression(C=1.0, class_weight="balanced", max_iter=5000).fit(pooled, positions)
    head = fitted(Logistic, c=1.0, standardise=False, class_weights="balanced")
    np.testing.assert_allclose(probabilities(head, features), by_hand.predict_proba(pooled), atol=1e-12)


def test_c_is_chosen_by_the_log_loss_of_cross_validation() -> None:
    _, labels, positions = blobs()
    noise = {"pooled": torch.tensor(np.random.default_rng(3).normal(size=(45, 3)))}  # a strong penalty is best
    head = Logistic(PORTS, TARGET)
    head.fit(noise, labels)
    pooled, folds = noise["pooled"].double().numpy(), StratifiedKFold(5, shuffle=True, random_state=0)

    def loss(c: float) -> float:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=5000))
        return log_loss(positions, cross_val_predict(pipeline, pooled, positions, cv=folds, method="predict_proba"))

    chosen = head.estimator["classifier"].C
    assert chosen == min(C_GRID, key=loss)
    assert chosen < 1.0  # what it is without a choice


def test_c_is_one_where_a_label_has_a_single_example() -> None:
    features, _, _ = blobs(5)
    head = Logistic(PORTS, TARGET)
    head.fit(features, ["a", "a", "b", "b", "c"])
    assert head.estimator["classifier"].C == 1.0


def test_class_weights_move_predictions_to_the_rare_class() -> None:
    features, _, _ = blobs()
    labels = ["c" if i % 9 == 0 else "a" for i in range(45)]
    rare = {}
    for weights in ("none", "balanced"):
        head = Logistic(PORTS, TARGET, c=1.0, class_weights=weights)  # type: ignore[arg-type] # both are named
        head.fit(features, labels)
        rare[weights] = sum(answer.value == "c" for answer in head.predict(features))
    assert rare["balanced"] > rare["none"]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_knn_equals_scikit_learn(metric: str, weights: str) -> None:
    features, _, positions = blobs()
    new, pooled = blobs(seed=1)[0], features["pooled"].numpy()
    by_hand = KNeighborsClassifier(7, metric=metric, weights=weights, algorithm="brute").fit(pooled, positions)
    head = fitted(KNN, neighbours=7, metric=metric, weights=weights)
    np.testing.assert_allclose(probabilities(head, new), by_hand.predict_proba(new["pooled"].numpy()))


def test_knn_takes_all_examples_where_there_are_fewer_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    head = KNN(PORTS, TARGET, neighbours=50)
    features, labels, _ = blobs(6)
    with caplog.at_level(logging.WARNING):
        head.fit(features, labels)
    assert head.estimator.n_neighbors == 6
    assert "asks for 50 neighbours; there are 6 examples" in caplog.text


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_svm_separates_what_it_can(kernel: str) -> None:
    head, (features, labels, _) = fitted(SVM, kernel=kernel), blobs()
    assert np.mean([answer.value == label for answer, label in zip(head.predict(features), labels, strict=True)]) > 0.85
    np.testing.assert_allclose(probabilities(head, features).sum(axis=1), 1.0)


def test_svm_rbf_without_probabilities_equals_scikit_learn(caplog: pytest.LogCaptureFixture) -> None:
    features, labels, positions = blobs(31)
    labels, positions = [*labels[:30], "c"], np.array([*(positions[:30] % 2), 2])
    labels = ["abc"[position] for position in positions]  # one example of "c": no folds, so no probabilities
    head = SVM(PORTS, TARGET, kernel="rbf", c=2.0, gamma=0.3)
    head.fit(features, labels)
    pooled = features["pooled"].double().numpy()
    by_hand = make_pipeline(StandardScaler(), SVC(C=2.0, gamma=0.3)).fit(pooled, positions)
    answers = head.predict(features)
    assert [answer.value for answer in answers] == ["abc"[position] for position in by_hand.predict(pooled)]
    assert all(answer.probabilities is None for answer in answers)
    assert "no probabilities" in caplog.text


@pytest.mark.parametrize("head_class", HEADS)
def test_saved_head_predicts_the_same(head_class: type[ClosedClassifier], tmp_path: Path) -> None:
    head, features = fitted(head_class), blobs(seed=1)[0]
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    fresh = head_class(PORTS, TARGET)
    fresh.load_state_dict(load_file(tmp_path / "head.safetensors"))
    assert fresh.predict(features) == head.predict(features)
    fresh.fit(*blobs(seed=5)[:2])  # a head that already holds something takes other bytes too
    fresh.load_state_dict(head.state_dict())
    assert fresh.predict(features) == head.predict(features)


@pytest.mark.parametrize("head_class", HEADS)
def test_predictions_name_every_label_also_one_without_examples(head_class: type[ClosedClassifier]) -> None:
    features, labels, _ = blobs(40, classes=2)
    head = head_class(PORTS, TARGET)
    head.fit(features, labels)
    for answer in head.predict(features):
        assert answer.value in ("a", "b")
        assert answer.probabilities is not None
        assert list(answer.probabilities) == ["a", "b", "c"]
        assert answer.probabilities["c"] == 0.0
        assert sum(answer.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("head_class", HEADS)
def test_fitting_twice_gives_equal_predictions(head_class: type[ClosedClassifier]) -> None:
    features = blobs(seed=1)[0]
    assert fitted(head_class).predict(features) == fitted(head_class).predict(features)


@pytest.mark.parametrize("head_class", [Logistic, SVM])
def test_a_single_label_cannot_be_learnt(head_class: type[ClosedClassifier]) -> None:
    with pytest.raises(DataError, match="all 6 training examples have the label 'b'"):
        head_class(PORTS, TARGET).fit(blobs(6)[0], ["b"] * 6)


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(DataError, match="unknown label 'd'; known: 'a', 'b', 'c'"):
        Logistic(PORTS, TARGET).fit(blobs(3)[0], ["a", "b", "d"])


def test_no_examples_are_refused() -> None:
    with pytest.raises(DataError, match="no training example"):
        KNN(PORTS, TARGET).fit({"pooled": torch.zeros(0, 3)}, [])


def test_a_head_that_has_not_learnt_says_so() -> None:
    with pytest.raises(WeightsError, match="Logistic has not learnt"):
        Logistic(PORTS, TARGET).predict(blobs(3)[0])


@pytest.mark.parametrize(
    ("head_class", "options", "name"),
    [(Logistic, {"c": 0.0}, "c"), (SVM, {"gamma": -1.0}, "gamma"), (KNN, {"neighbours": 0}, "neighbours")],
)
def test_options_out_of_range_are_named(head_class: type[ClosedClassifier], options: dict[str, float], name: str) -> None:
    with pytest.raises(UsageError, match=f"option {name} is"):
        head_class(PORTS, TARGET, **options)


def run_a_command(values: object) -> object:
    raise AssertionError("code out of the file of weights ran")


def test_code_in_saved_bytes_is_refused_and_does_not_run() -> None:
    head = fitted(Logistic)
    evil = skops.io.dumps(make_pipeline(FunctionTransformer(run_a_command), LogisticRegression()))
    state = {**head.state_dict(), "estimator_bytes": to_buffer(evil)}
    head.load_state_dict(state)
    with pytest.raises(WeightsError, match=r"not trusted.*run_a_command"):
        head.predict(blobs(3)[0])


def test_a_function_of_a_trusted_package_is_refused_too() -> None:
    head = KNN(PORTS, TARGET)
    evil = skops.io.dumps(FunctionTransformer(np.testing.assert_array_equal))
    head.load_state_dict({"estimator_bytes": to_buffer(evil)})
    with pytest.raises(WeightsError, match="not trusted"):
        head.predict(blobs(3)[0])


def emptied_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


@pytest.mark.parametrize("raw", [b"no zip at all", emptied_zip(), skops.io.dumps({"a": 1})])
def test_damaged_bytes_are_named_as_such(raw: bytes) -> None:
    head = Logistic(PORTS, TARGET)
    head.load_state_dict({"estimator_bytes": to_buffer(raw)})
    with pytest.raises(WeightsError, match="cannot be read"):
        head.predict(blobs(3)[0])


def test_scores_put_accuracy_first() -> None:
    head, (features, labels, _) = fitted(Logistic), blobs()
    scores = head.score(head.predict(features), labels)
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] > 0.8
