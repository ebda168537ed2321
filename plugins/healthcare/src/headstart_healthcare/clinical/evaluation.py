"""The clinical evaluation: calibration and threshold from validation only, every figure on the test part, per finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.metrics import cohen_kappa_score

from headstart.errors import DataError, UsageError
from headstart.evaluation import Evaluation
from headstart.example import Example, Target
from headstart.head import Prediction
from headstart.outcome import Outcome
from headstart.predictions import SavedOutcome
from headstart_healthcare.clinical.abstention import ABSTAIN, abstaining, reasons, settle_abstention, traits_of
from headstart_healthcare.clinical.calibration import Platt, fit_platt, fit_temperature, with_temperature
from headstart_healthcare.clinical.comparing import compare_areas, lines
from headstart_healthcare.clinical.delong import area
from headstart_healthcare.clinical.operating_point import OperatingPoint, choose
from headstart_healthcare.clinical.question import Question
from headstart_healthcare.clinical.sets import SET, measure_sets, set_of, settle_sets
from headstart_healthcare.clinical.shift import look_for_shift, shift_warnings
from headstart_healthcare.clinical.slight_views import views_of
from headstart_healthcare.clinical.subgroups import LEAST
from headstart_healthcare.privacy.tree_scan import names_in

FEWEST = 5  # of one class; five is the least that agencies of statistics publish
BANNER = "Research use only. Not a medical device: nothing here is meant for diagnosis or treatment."


class Clinical(Evaluation):
    """What a clinical reader asks of a classifier.

    A target of two classes is one question; one of more classes or of several findings is a question for each.

    Args:
        rule: How the threshold is chosen on validation: youden, sensitivity, specificity, ppv or cost.
        at_least: Share that the rule demands, in (0, 1].
        cost_ratio: Harm of one missed case in falsely called ones, > 0.
        abstain: Share of the validation examples, in [0, 1), beyond whose distance from the training examples it does not
            answer; nor does it of pictures unlike any in validation by colour, size, brightness or proportions. 0 = it always
            answers.
        views: Slightly turned, moved and relit versions of each picture or volume that the model is asked about too, never
            mirrored; it does not answer where its probabilities for them lie further apart than those of all but the
            share `abstain` of the validation examples. Each costs a pass of the whole network; 0 = none.
        miss: Share of the examples of each class whose set of possible labels may lack the true one, in [0, 1); each answer
            comes with that set. 0 = no sets.
        smallest: Examples of each class that a subgroup needs for its figures to be shown, >= 5.
        pairs: Whether every two subgroups are crossed and measured, too: women of 60 to 79.
        seed: Of the bootstrap.
    """

    kinds = ("class", "labels")
    looks = True

    def __init__(
        self,
        *,
        rule: Literal["youden", "sensitivity", "specificity", "ppv", "cost"] = "youden",
        at_least: float = 0.9,
        cost_ratio: float = 1.0,
        abstain: float = 0.01,
        views: int = 0,
        miss: float = 0.1,
        smallest: int = LEAST,
        pairs: bool = True,
        seed: int = 0,
    ) -> None:
        if smallest < FEWEST:
            raise UsageError(f"evaluation.smallest is {smallest}; smaller cells than {FEWEST} may point at a person")
        if not 0 <= abstain < 1:
            raise UsageError(f"evaluation.abstain is {abstain}; it must be a share of the validation examples in [0, 1)")
        if views < 0:
            raise UsageError(f"evaluation.views is {views}; it must be a number of changed versions, 0 or more")
        if not 0 <= miss < 1:
            raise UsageError(f"evaluation.miss is {miss}; it must be a share of the examples of a class in [0, 1)")
        self._miss = miss
        self._abstain, self._views, self._smallest, self._pairs = abstain, views, smallest, pairs
        self._rule, self._at_least, self._cost_ratio, self._seed = rule, at_least, cost_ratio, seed

    def settle(self, outcome: Outcome, target: Target) -> dict[str, Any]:
        """Calibration and threshold of each question, from the validation part; plain JSON that travels with the model.

        Raises:
            DataError: The outcome is not of the validation part, or a probability is missing.
        """
        if outcome.split != "val":
            raise DataError(f"calibration and thresholds come from validation only; this is the split '{outcome.split}'")
        settled: dict[str, Any] = {"questions": {}, "abstain": settle_abstention(outcome.predictions, self._abstain)}
        for label, (examples, truth, raw) in _questions(outcome, target).items():
            platt = fit_platt(truth, raw)
            settled["questions"][label] = {"platt": asdict(platt), **self._threshold(truth, platt.apply(raw), len(examples))}
        if _is_many(target):
            settled["temperature"] = _temperature(outcome, target)
        known = _known(outcome, target, settled)
        return {**settled, "sets": settle_sets(*known, self._miss)} if self._miss else settled

    def measure(self, outcome: Outcome, target: Target, settled: Mapping[str, Any]) -> dict[str, Any]:
        """Every figure for each question, by what was settled before; nothing is fitted here."""
        found: dict[str, Any] = {"banner": BANNER, "questions": {}}
        for label, (examples, truth, raw) in _questions(outcome, target).items():
            known = settled["questions"][label]
            platt, threshold = Platt(**known["platt"]), known["threshold"]
            pairs = self._pairs and outcome.split == "test"  # of validation nobody reads them, and they cost most
            question = Question(examples, truth, raw, platt, threshold, least=self._smallest, pairs=pairs)
            found["questions"][label] = {"rule": known["reason"], **question.measure(seed=self._seed)}
        if _is_many(target):
            found["quadratic_kappa"] = _kappa(outcome, target)
        if sets := settled.get("sets"):
            sizes = [len(_decided(prediction, target, settled).details[SET]) for prediction in outcome.predictions]
            found["sets"] = measure_sets(*_known(outcome, target, settled), sets, sizes)
        if limits := settled.get("abstain"):
            found["abstention"] = {
                **abstaining(outcome.predictions, limits),
                "answered": self._answered(outcome, target, settled),
            }
        return found

    def traits(self, input: Any) -> dict[str, float]:
        """Colour, brightness, contrast, proportions and size of a picture."""
        return traits_of(input) if self._abstain else {}

    def views(self, input: Any) -> list[Any]:
        """Slight changes of a picture or volume, as many as the option `views` says."""
        return views_of(input, self._views) if self._abstain else []

    def look(self, features: Mapping[str, tuple[np.ndarray, Sequence[Example]]], target: Target) -> dict[str, Any]:
        """How far the test examples are from those of training, and what a probe on frozen features says."""
        return look_for_shift(features, target)

    def warn(self, measured: Mapping[str, Any], target: Target) -> list[str]:
        """That validation looks too good, where the frozen features say so."""
        return shift_warnings(measured, target)

    def guard(self, folder: Path) -> list[str]:
        """Names of patients or files that stand in what was written."""
        return names_in(folder)

    def compare(
        self, first: SavedOutcome, second: SavedOutcome, target: Target, measured: tuple[Mapping[str, Any], Mapping[str, Any]]
    ) -> dict[str, Any]:
        """DeLong's paired test of the AUROC of every question."""
        found = compare_areas(first, second, target, measured)
        return {"auroc": found, "lines": lines(found)}

    def decide(self, predictions: Sequence[Prediction], target: Target, settled: Mapping[str, Any]) -> list[Prediction]:
        """Predictions with calibrated probabilities, and the answer of two classes by the threshold."""
        limits = settled.get("abstain") or {}
        return [_reasoned(_decided(prediction, target, settled), limits) for prediction in predictions]

    def _answered(self, outcome: Outcome, target: Target, settled: Mapping[str, Any]) -> dict[str, Any]:
        """AUROC of each question over the examples that it answers, with DeLong's interval."""
        kept = [i for i, one in enumerate(outcome.predictions) if not reasons(one, settled["abstain"])]
        examples, predictions = [outcome.examples[i] for i in kept], [outcome.predictions[i] for i in kept]
        questions = _questions(replace(outcome, examples=examples, predictions=predictions), target)
        areas = {label: area(truth, raw) for label, (_, truth, raw) in questions.items()}
        return {label: None if one is None else asdict(one) for label, one in areas.items()}

    def _threshold(self, truth: np.ndarray, probability: np.ndarray, n: int) -> dict[str, Any]:
        if truth.all() or not truth.any():
            words = f"one half, as validation (n = {n}) has only one class and nothing can be chosen on it"
            return asdict(OperatingPoint(0.5, self._rule, words, is_met=False))
        return asdict(choose(truth, probability, rule=self._rule, at_least=self._at_least, cost_ratio=self._cost_ratio))


def _questions(outcome: Outcome, target: Target) -> dict[str, tuple[list[Example], np.ndarray, np.ndarray]]:
    """Label -> the examples where it is known, the truth [N] and the probability [N]."""
    labels = target.labels
    if target.kind == "class" and len(labels) == 2:
        labels = (target.positive or labels[-1],)
    found = {}
    for label in labels:
        rows = [
            (example, truth, _probability(prediction, label))
            for example, prediction in zip(outcome.examples, outcome.predictions, strict=True)
            if (truth := _truth(example, label, target)) is not None
        ]
        examples = [example for example, _, _ in rows]
        found[label] = (examples, np.array([t for _, t, _ in rows], dtype=int), np.array([p for _, _, p in rows], dtype=float))
    return found


def _truth(example: Example, label: str, target: Target) -> bool | None:
    """Whether the example has the label; None where nobody knows (missing, or uncertain under the policy "ignore")."""
    if example.target is None or label in example.meta.get("unknown", ()):
        return None
    return label in example.target if target.kind == "labels" else bool(example.target == label)


def _probability(prediction: Prediction, label: str) -> float:
    if not prediction.probabilities or label not in prediction.probabilities:
        raise DataError(f"a prediction has no probability of '{label}'; clinical evaluation needs a head that gives them")
    value = prediction.probabilities[label]
    if not np.isfinite(value):
        raise DataError(f"a probability of '{label}' is {value}; scores that are not finite are refused")
    return value


def _is_many(target: Target) -> bool:
    return target.kind == "class" and len(target.labels) > 2


def _matrix(predictions: Sequence[Prediction], target: Target) -> np.ndarray:
    return np.array([[_probability(prediction, label) for label in target.labels] for prediction in predictions])


def _temperature(outcome: Outcome, target: Target) -> float:
    known = [i for i, example in enumerate(outcome.examples) if example.target in target.labels]
    if not known:
        return 1.0
    truth = np.array([target.labels.index(outcome.examples[i].target) for i in known])
    return fit_temperature(truth, _matrix(outcome.predictions, target)[known])


def _kappa(outcome: Outcome, target: Target) -> float | None:
    """Cohen's kappa with quadratic weights over the labels' order; None where it is undefined."""
    pairs = [(e.target, p.value) for e, p in zip(outcome.examples, outcome.predictions, strict=True) if e.target is not None]
    if len({label for pair in pairs for label in pair}) < 2:
        return None
    truth, said = zip(*pairs, strict=True)
    return float(cohen_kappa_score(truth, said, labels=list(target.labels), weights="quadratic"))


def _reasoned(prediction: Prediction, limits: Mapping[str, Any]) -> Prediction:
    """With the reasons for which the model should not be asked, where there are any; the traits are for nobody else."""
    details = {name: value for name, value in prediction.details.items() if name != "traits"}
    if found := reasons(prediction, limits):
        details[ABSTAIN] = found
    return replace(prediction, details=details)


def _decided(prediction: Prediction, target: Target, settled: Mapping[str, Any]) -> Prediction:
    """Calibrated, answered by the threshold, and with the set of labels that cannot be ruled out."""
    found = _calibrated(prediction, target, settled)
    sets = settled.get("sets")
    if not sets or not found.probabilities:
        return found
    return replace(found, details={**found.details, SET: set_of(found.probabilities, sets)})


def _known(outcome: Outcome, target: Target, settled: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Label -> whether the examples of which it is known have it [N], and label -> its calibrated probability [N]."""
    answered = [_calibrated(prediction, target, settled) for prediction in outcome.predictions]
    truth, probability = {}, {}
    for label in target.labels:
        pairs = [
            (has, _probability(one, label))
            for example, one in zip(outcome.examples, answered, strict=True)
            if (has := _truth(example, label, target)) is not None
        ]
        truth[label] = np.array([has for has, _ in pairs], dtype=int)
        probability[label] = np.array([share for _, share in pairs], dtype=float)
    return truth, probability


def _calibrated(prediction: Prediction, target: Target, settled: Mapping[str, Any]) -> Prediction:
    questions = settled["questions"]
    if _is_many(target):
        row = with_temperature(_matrix([prediction], target), settled["temperature"])[0]
        return replace(prediction, probabilities=dict(zip(target.labels, map(float, row), strict=True)))
    calibrated = {
        label: float(Platt(**known["platt"]).apply(np.array([_probability(prediction, label)]))[0])
        for label, known in questions.items()
    }
    called = {label for label, known in questions.items() if calibrated[label] >= known["threshold"]}
    if target.kind == "labels":
        return replace(prediction, value=tuple(label for label in target.labels if label in called), probabilities=calibrated)
    (positive,) = questions
    (other,) = (label for label in target.labels if label != positive)
    probabilities = {label: calibrated[positive] if label == positive else 1 - calibrated[positive] for label in target.labels}
    return replace(prediction, value=positive if called else other, probabilities=probabilities)
