"""HeadstartClassifier: scikit-learn's own checks, labels of any type, copies, pickles, and both kinds of input."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from headstart.estimator import HeadstartClassifier, as_texts, held_out
from headstart.run import load

LOGISTIC = {"head": "logistic", "head_options": {"c": 1.0}}  # quick: solved in one go


@parametrize_with_checks([HeadstartClassifier(strategy_options={"epochs": 30}), HeadstartClassifier(head="knn")])
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def blobs(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    positions = np.arange(count) % 2
    rows = np.random.default_rng(seed).normal(size=(count, 3)) + 3 * positions[:, None]
    return rows * [1, 100, 0.01] + [7, -500, 0], positions  # columns of very different size


def test_a_linear_probe_on_vectors_is_as_good_as_logistic_regression() -> None:
    rows, labels = blobs(200)
    new, truth = blobs(200, seed=1)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels).score(new, truth)
    assert HeadstartClassifier().fit(rows, labels).score(new, truth) >= by_hand - 0.02


def test_the_logistic_head_equals_scikit_learn_on_standardised_columns() -> None:
    rows, labels = blobs()
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(rows, labels)
    found = HeadstartClassifier(**LOGISTIC).fit(rows, labels).predict_proba(rows)
    np.testing.assert_allclose(found, by_hand.predict_proba(rows), atol=1e-5)  # vectors are float32


@pytest.mark.parametrize(
    "names",
    [["no", "yes"], [True, False], [10, -3], [2.0, 1.0], np.array(["ä", "1"], dtype=object), [np.int8(1), np.int8(0)]],
)
def test_labels_come_back_in_their_own_type_and_order(names: Any) -> None:
    rows, positions = blobs()
    labels = np.asarray(names)[positions]
    model = HeadstartClassifier(**LOGISTIC).fit(rows, labels)
    assert model.classes_.tolist() == sorted(np.asarray(names).tolist())
    predicted = model.predict(rows)
    assert predicted.dtype == labels.dtype
    assert np.mean(predicted == labels) > 0.9
    best = model.classes_[model.predict_proba(rows).argmax(axis=1)]
    assert (best == predicted).all()


def test_equal_seeds_give_equal_models_and_others_differ() -> None:
    rows, labels = blobs()
    first, again, other = (HeadstartClassifier(random_state=seed).fit(rows, labels).predict_proba(rows) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_fitting_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    HeadstartClassifier(**LOGISTIC).fit(*blobs())
    assert torch.equal(torch.rand(3), expected)


def test_a_pickle_is_whole_without_the_run_that_it_came_from() -> None:
    rows, labels = blobs()
    model = HeadstartClassifier(**LOGISTIC).fit(rows, labels)
    expected, raw, folder = model.predict_proba(rows), pickle.dumps(model), model.run_.folder
    del model
    gc.collect()
    assert not folder.exists()
    copy = pickle.loads(raw)
    assert (copy.predict_proba(rows) == expected).all()
    assert copy.run_.folder != folder


def test_a_clone_has_the_parameters_and_nothing_learnt() -> None:
    model = HeadstartClassifier(head="knn", head_options={"neighbours": 3}).fit(*blobs())
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(blobs()[0])


def test_fitting_anew_removes_the_earlier_temporary_run() -> None:
    model = HeadstartClassifier(**LOGISTIC).fit(*blobs())
    earlier = model.run_.folder
    model.fit(*blobs(seed=1))
    assert not earlier.exists()
    assert model.run_.folder.exists()


def test_a_named_folder_keeps_a_run_that_loads_by_itself(tmp_path: Path) -> None:
    rows, labels = blobs()
    model = HeadstartClassifier(**LOGISTIC, out=tmp_path).fit(rows, labels)
    folder = model.run_.folder
    assert folder.parent == tmp_path
    expected = model.predict(rows)
    del model
    gc.collect()
    assert [int(answer.value) for answer in load(folder).predict(list(rows))] == expected.tolist()


def test_grid_search_reaches_the_heads_options() -> None:
    rows, labels = blobs(60)
    grid = {"head_options": [{"neighbours": 1}, {"neighbours": 5}]}
    search = GridSearchCV(HeadstartClassifier(head="knn"), grid, cv=3).fit(rows, labels)
    assert search.best_score_ > 0.9
    assert search.cv_results_["params"] == [{"head_options": option} for option in grid["head_options"]]


def reviews() -> tuple[list[str], list[str]]:
    good, bad = ["wonderful", "moving", "brilliant", "delightful"], ["dreadful", "boring", "awful", "tedious"]
    texts = [f"What a {word} film, {end}" for end in ("truly.", "I say!") for word in (*good, *bad)]
    return texts, (["good"] * 4 + ["bad"] * 4) * 2


def test_cross_validation_runs_on_texts_with_the_real_encoder() -> None:
    assert cross_val_score(HeadstartClassifier(**LOGISTIC), *reviews(), cv=2).mean() >= 0.75


def test_texts_and_numbers_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="fitted to numeric rows"):
        HeadstartClassifier(**LOGISTIC).fit(*blobs()).predict(["a good film"])
    with pytest.raises(ValueError, match="fitted to texts"):
        HeadstartClassifier(**LOGISTIC).fit(*reviews()).predict(blobs()[0])


def test_texts_and_labels_must_be_as_many() -> None:
    texts, labels = reviews()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        HeadstartClassifier(**LOGISTIC).fit(texts, labels[:-1])


def test_progress_is_silent_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    HeadstartClassifier(**LOGISTIC).fit(*blobs())
    assert capsys.readouterr() == ("", "")
    HeadstartClassifier(**LOGISTIC, verbose=True).fit(*blobs())
    assert "probe on vectors" in capsys.readouterr().err


def test_a_head_without_probabilities_says_so() -> None:
    rows, positions = blobs(21)
    labels = np.array([*positions[:20], 2])  # one example of the label 2: the svm cannot be calibrated
    model = HeadstartClassifier(head="svm").fit(rows, labels)
    assert model.predict(rows).shape == (21,)
    with pytest.raises(AttributeError, match="'svm' gives no probabilities"):
        model.predict_proba(rows)


def test_validation_takes_its_share_of_each_class_and_no_copies() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    rows[1] = rows[0]
    positions = np.arange(300) % 3
    chosen = held_out(rows, positions, 0.1, seed=0)
    assert np.bincount(positions[chosen]).tolist() == [10, 10, 10]
    picked = [held_out(rows, positions, 0.9, seed=seed) for seed in range(5)]
    assert not any(chosen[0] or chosen[1] for chosen in picked)


def test_few_examples_are_all_trained_on() -> None:
    rows, positions = blobs(100)
    assert held_out(rows, positions, 0.1, seed=0).sum() == 0
    assert held_out(rows, positions, 0.2, seed=0).sum() == 20


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_validation_share_out_of_range_is_named(share: float) -> None:
    with pytest.raises(ValueError, match="validation is"):
        HeadstartClassifier(validation=share).fit(*blobs())


def test_a_head_that_learns_in_one_go_gets_every_example() -> None:
    rows, labels = blobs(300)
    closed = HeadstartClassifier(**LOGISTIC).fit(rows, labels)
    trained = HeadstartClassifier(strategy_options={"epochs": 1}).fit(rows, labels)
    assert closed.run_.metrics["n"] == {"train": 300, "val": 0, "test": 0}
    assert trained.run_.metrics["n"] == {"train": 270, "val": 30, "test": 0}


@pytest.mark.parametrize(
    "inputs",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], dtype=object)],
    ids=["list", "tuple", "strings", "objects"],
)
def test_texts_are_known_in_every_form(inputs: Any) -> None:
    assert as_texts(inputs) == ["a", "b"]


@pytest.mark.parametrize("inputs", [[[1.0]], np.zeros((2, 2)), ["a", 1], [], np.array([["a"], ["b"]])])
def test_other_input_is_not_taken_for_texts(inputs: Any) -> None:
    assert as_texts(inputs) is None
