"""Checks of a head's answers: predictions and scores in the terms of the targets, kept when saved, refused options."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.example import Target
from headstart.head import Prediction
from headstart.testing.bench import built, class_of, new_head
from headstart.testing.cases import HeadCase
from headstart.testing.guards import fingerprint, kept_random_state
from headstart.testing.head_bench import bench_of
from headstart.testing.options_asked import bad_options_are_refused
from headstart.testing.verdict import ContractError, NotApplicableError, demand


def predictions_are_in_the_terms_of_the_targets(case: HeadCase) -> None:
    """One prediction per example, whose value is of the kind of a target: a label of the target, a tuple of them, a number."""
    bench = bench_of(case)
    for count in (len(bench.targets), 1):
        features, _ = bench.some(count)
        predictions = bench.head.predict(features)
        demand(len(predictions) == count, f"{len(predictions)} predictions for {count} examples", "give one for each")
        for prediction in predictions:
            demand(
                isinstance(prediction, Prediction), f"a prediction is a {type(prediction).__name__}", "return Prediction(...)"
            )
            fault = _value_fault(bench.target, prediction.value)
            demand(not fault, f"a prediction is {prediction.value!r}, {fault}", "translate outputs into the user's labels")


def _value_fault(target: Target, value: Any) -> str:
    if target.kind == "class":
        return "" if value in target.labels else f"which is none of the labels {target.labels}"
    if target.kind == "labels":
        is_subset = isinstance(value, tuple) and set(value) <= set(target.labels)
        return "" if is_subset else f"which is no tuple of the labels {target.labels}"
    if target.kind == "number":
        return "" if isinstance(value, float) and math.isfinite(value) else "which is no finite float"
    return ""


def probabilities_are_probabilities(case: HeadCase) -> None:
    """Probabilities are named by the labels and lie in [0, 1]; those of one label of several sum to 1."""
    bench = bench_of(case)
    for prediction in bench.head.predict(bench.features):
        if prediction.probabilities is None:
            raise NotApplicableError("it gives no probabilities")
        values = list(prediction.probabilities.values())
        demand(all(0 <= value <= 1 for value in values), f"probabilities are {values}", "end in softmax or sigmoid")
        if bench.target.labels:
            named = tuple(prediction.probabilities) == bench.target.labels
            demand(
                named, f"probabilities are named {tuple(prediction.probabilities)}", "name them by the labels, in their order"
            )
        if bench.target.kind == "class":
            demand(math.isclose(sum(values), 1, abs_tol=1e-5), f"probabilities sum to {sum(values):.6f}", "end in softmax")


def predictions_are_plain(case: HeadCase) -> None:
    """Predictions and `facts` are plain JSON values: they are written to files."""
    bench = bench_of(case)
    for prediction in bench.head.predict(bench.some(2)[0]):
        for name, value in (("details", dict(prediction.details)), ("probabilities", dict(prediction.probabilities or {}))):
            _demand_json(name, value)
    _demand_json("facts", dict(bench.head.facts()))


def _demand_json(name: str, value: Any) -> None:
    try:
        json.dumps(value)
    except TypeError as error:
        raise ContractError(f"{name} holds what JSON has not: {error}", "convert with .item() and .tolist()") from error


def predictions_are_deterministic(case: HeadCase) -> None:
    """In evaluation mode the same features give the same predictions, without random numbers and without changing them."""
    bench = bench_of(case)
    before = fingerprint(dict(bench.features))
    with kept_random_state("`predict`", "leave random numbers to dropout in training mode"):
        first, second = bench.head.predict(bench.features), bench.head.predict(bench.features)
    demand(fingerprint(dict(bench.features)) == before, "`predict` changes the features in place", "write to new tensors")
    demand(_same(first, second), "the same features give other predictions the second time", "switch dropout by self.training")


def auxiliary_ports_are_read_in_training_alone(case: HeadCase) -> None:
    """Without the ports that only training reads (`training_ports`) it predicts the same, and its loss is there."""
    bench = bench_of(case)
    extra = set(bench.head.training_ports) - set(type(bench.head).needs)
    if not extra:
        raise NotApplicableError("it has no ports that only training reads")
    fewer = {port: tensor for port, tensor in bench.features.items() if port not in extra}
    named, mend = ", ".join(sorted(extra)), "read `training_ports` in `loss` alone, and only those that are among the features"
    try:
        again = bench.head.predict(fewer)
        bench.head.loss(fewer, bench.targets)
    except KeyError as error:
        raise ContractError(f"it does not do without {named}, which is given where it trains only ({error})", mend) from error
    demand(_same(bench.head.predict(bench.features), again), f"its predictions change with {named}", mend)


def scores_are_better_when_predictions_are_right(case: HeadCase) -> None:
    """`score` gives finite floats, the first of which is at least as high for the right answers as for these predictions."""
    bench = bench_of(case)
    found = bench.head.predict(bench.features)
    scores = bench.head.score(found, bench.targets)
    demand(bool(scores), "`score` gives nothing", "give at least one score: the first selects the model")
    wrong = {name: value for name, value in scores.items() if not isinstance(value, (int, float))}
    demand(not wrong, f"scores are {wrong}", "give floats")
    first = next(iter(scores))
    if bench.target.kind not in ("class", "labels", "number"):
        return
    perfect = [_right(bench.target, target, each) for target, each in zip(bench.targets, found, strict=True)]
    best = bench.head.score(perfect, bench.targets)[first]
    demand(
        math.isnan(scores[first]) or best >= scores[first] - 1e-9,
        f"'{first}' is {best:.3g} for right answers and {scores[first]:.3g} for these",
        "put a score first that is higher when it is better",
    )


def _right(target: Target, value: Any, found: Prediction) -> Prediction:
    """A prediction made right, with all else as the head gave it."""
    chosen = {value} if target.kind == "class" else set(value) if target.kind == "labels" else set()
    probabilities = {label: float(label in chosen) for label in target.labels} or None
    return replace(found, value=value, probabilities=probabilities)


def scores_follow_their_weights(case: HeadCase) -> None:
    """Bootstrap counts of 1 change no score, and counts of 2 for one example are as having it twice."""
    bench = bench_of(case)
    found, targets = list(bench.head.predict(bench.features)), list(bench.targets)
    plain = bench.head.score(found, targets)
    ones = bench.head.score(found, targets, np.ones(len(targets)))
    _demand_equal(plain, ones, "weights of 1 change")
    counts = np.ones(len(targets))
    counts[0] = 2
    weighted = bench.head.score(found, targets, counts)
    doubled = bench.head.score([found[0], *found], [targets[0], *targets])
    _demand_equal(doubled, weighted, "an example of weight 2 is not as two examples in")


def _demand_equal(first: dict[str, float], second: dict[str, float], wrong: str) -> None:
    for name in first.keys() & second.keys():
        is_same = math.isclose(first[name], second[name], rel_tol=1e-6, abs_tol=1e-9) or (
            math.isnan(first[name]) and math.isnan(second[name])
        )
        demand(
            is_same, f"{wrong} '{name}': {first[name]:.6g}, {second[name]:.6g}", "count each example by its weight in `score`"
        )


def saving_and_loading_gives_the_same_predictions(case: HeadCase) -> None:
    """The state dict holds all that was learnt: a new head that loads it predicts the same."""
    bench = bench_of(case)
    kept = bench.head.kept()
    if type(kept) is not type(bench.head):
        raise NotApplicableError("another head is kept; give that one a case of its own")
    state = {name: tensor.clone() for name, tensor in kept.state_dict().items()}
    fresh = new_head(case, bench.target, bench.ports)
    if case.backbone is not None:
        fresh.join(built(case.backbone).backbone)
    try:
        fresh.load_state_dict(state)
        again = fresh.eval().predict(bench.features)
    except Exception as error:
        raise ContractError(
            f"what was learnt cannot be loaded: {type(error).__name__}: {str(error)[:160]}",
            "keep what `settle` and `fit` learn in parameters and buffers; for shapes known only then see "
            "`_load_from_state_dict` or get_extra_state as tensors",
        ) from error
    demand(
        _same(bench.head.predict(bench.features), again), "loaded it predicts otherwise", "keep all in parameters and buffers"
    )


def survives_pickling(case: HeadCase) -> None:
    """A pickled copy, as other processes get it, predicts the same."""
    bench = bench_of(case)
    try:
        copied = pickle.loads(pickle.dumps(bench.head))  # noqa: S301 - made in this line
    except Exception as error:
        raise ContractError(
            f"it cannot be pickled: {type(error).__name__}: {error}", "hold no lambdas or open files"
        ) from error
    demand(_same(bench.head.predict(bench.features), copied.predict(bench.features)), "a copy predicts otherwise", "see above")


def options_are_refused_in_words(case: HeadCase) -> None:
    """Options that cannot be are refused by an error of `headstart.errors` that names them."""
    bench = bench_of(case)
    bad_options_are_refused(case, case.options, lambda options: class_of(case)(bench.ports, bench.target, **options))


def _same(first: Sequence[Prediction], second: Sequence[Prediction]) -> bool:
    return [(each.value, each.probabilities) for each in first] == [(each.value, each.probabilities) for each in second]


CHECKS = (
    predictions_are_in_the_terms_of_the_targets,
    probabilities_are_probabilities,
    predictions_are_plain,
    predictions_are_deterministic,
    auxiliary_ports_are_read_in_training_alone,
    scores_are_better_when_predictions_are_right,
    scores_follow_their_weights,
    saving_and_loading_gives_the_same_predictions,
    survives_pickling,
    options_are_refused_in_words,
)
