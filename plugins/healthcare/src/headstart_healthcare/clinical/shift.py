"""Shift: whether the test examples differ from those that validation was taken from; then validation looks too good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.example import Example, Target
from headstart.familiar import learn
from headstart_healthcare.clinical.delong import area

FAR = 0.05  # share of the validation examples that count as far from training
TOO_MANY = 3  # times that share of the test examples, from which it is warned
APART = 0.6  # AUROC of telling test from validation, from which it is warned; 0.5 = they cannot be told apart
SURE = 0.001  # chance of as much if test examples were like validation
DROP = 0.02  # of the frozen probe's AUROC from validation to test that is worth a word
STRENGTH = 0.1  # inverse strength of the penalty of a probe on a few hundred examples
WEAK = 0.01  # of a probe that tells two parts apart, on fewer
FOLDS = 5
LEAST = 40  # examples of either part, below which nothing is told apart

Looked = Mapping[str, tuple[np.ndarray, Sequence[Example]]]


def look_for_shift(features: Looked, target: Target) -> dict[str, Any]:
    """Distances, a probe, and whether test can be told from validation, on features that no training has touched.

    Args:
        features: Split -> vectors [N, C] and examples of train, val and test.
        target: What is predicted; for one of several classes the probe is of the first that is looked for.
    """
    known = learn(features["train"][0])
    if known is None or min(len(vectors) for vectors, _ in features.values()) < FOLDS:
        return {}
    limit = float(np.quantile(known.distance(features["val"][0]), 1 - FAR))
    far = int((known.distance(features["test"][0]) > limit).sum())
    count = len(features["test"][0])
    chance = float(binomtest(far, count, FAR, alternative="greater").pvalue)
    found = {"far": far, "n": count, "share": far / count, "expected": FAR, "p": chance, "limit": limit}
    return {**found, "told_apart": _told_apart(features), "probe": _probe(features, target)}


def shift_warnings(measured: Mapping[str, Any], target: Target) -> list[str]:
    """That validation looks too good, and what says so."""
    frozen = measured.get("frozen") or {}
    said = [*_far(frozen), *_apart(frozen), *_falling(frozen)] if frozen else []
    if not said:
        return []
    ours, what = _areas(measured, target), "; ".join(said)
    if len(ours) == 2 and ours["test"] >= ours["val"]:
        return [
            f"the test part is not like validation, by the frozen features: {what}. What was chosen on validation need not fit"
        ]
    own = f" This run: AUROC {ours['val']:.3f} on validation, {ours['test']:.3f} on test." if len(ours) == 2 else ""
    return [
        f"validation looks too good for what the frozen features say: {what}. The test part was taken differently: "
        f"choose nothing by small differences on validation, and expect less elsewhere.{own}"
    ]


def _far(frozen: Mapping[str, Any]) -> list[str]:
    if frozen["share"] < TOO_MANY * frozen["expected"] or frozen["p"] > SURE:
        return []
    far, usual = 100 * frozen["share"], 100 * (1 - frozen["expected"])
    return [f"{far:.0f} % of the test examples lie further from those of training than {usual:.0f} % of validation's do"]


def _apart(frozen: Mapping[str, Any]) -> list[str]:
    apart = frozen.get("told_apart")
    if not apart or apart["auroc"] < APART or apart["p"] > SURE:
        return []
    return [f"test examples can be told from those of validation of the same class (AUROC {apart['auroc']:.2f}; 0.5 = not)"]


def _falling(frozen: Mapping[str, Any]) -> list[str]:
    probe = frozen.get("probe")
    if not probe or probe["val"] - probe["test"] < DROP or probe["p"] > SURE:
        return []
    return [f"a probe on them falls from AUROC {probe['val']:.3f} on validation to {probe['test']:.3f} on test"]


def positive_of(target: Target) -> str:
    """The class that a single question is about."""
    return str(target.positive or target.labels[-1])


def _areas(measured: Mapping[str, Any], target: Target) -> dict[str, float]:
    found = {}
    for split in ("val", "test"):
        question = ((measured.get(split) or {}).get("questions") or {}).get(positive_of(target)) or {}
        if question.get("auroc"):
            found[split] = question["auroc"]["value"]
    return found


def _probe(features: Looked, target: Target) -> dict[str, float] | None:
    """AUROC of a logistic regression on the training features, on validation and on test, and p of no fall between them."""
    if target.kind != "class":
        return None
    truth = {split: _truth(examples, target) for split, (_, examples) in features.items()}
    if any(len(set(one.tolist())) < 2 for one in truth.values()):
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    probe.fit(features["train"][0], truth["train"])
    val, test = (area(truth[split], probe.decision_function(features[split][0])) for split in ("val", "test"))
    if val is None or test is None:
        return None
    spread = float(np.sqrt(val.variance + test.variance))  # of the difference of two parts that share no example
    fall = val.value - test.value
    chance = float(norm.sf(fall / spread)) if spread else float(fall <= 0)
    return {"val": val.value, "test": test.value, "p": chance}


def _told_apart(features: Looked) -> dict[str, float] | None:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017) of validation against test, within classes.

    Within, as a part with more of the sick would be told from the other by that alone.
    """
    vectors = np.concatenate([features["val"][0], features["test"][0]])
    is_test = np.repeat([0, 1], [len(features["val"][0]), len(features["test"][0])])
    classes = np.array([str(example.target) for split in ("val", "test") for example in features[split][1]])
    if min(np.bincount(is_test)) < LEAST:
        return None
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=WEAK, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    score = cross_val_predict(machine, vectors, is_test, cv=folds, method="decision_function")
    areas = [
        (int((classes == name).sum()), area(is_test[classes == name], score[classes == name])) for name in np.unique(classes)
    ]
    known = [(count, one) for count, one in areas if one is not None]
    if not known:
        return None
    total = sum(count for count, _ in known)
    value = sum(count * one.value for count, one in known) / total
    spread = float(np.sqrt(sum((count / total) ** 2 * one.variance for count, one in known)))
    return {"auroc": value, "p": float(norm.sf((value - 0.5) / spread)) if spread else float(value <= 0.5)}


def _truth(examples: Sequence[Example], target: Target) -> np.ndarray:
    return np.array([example.target == positive_of(target) for example in examples], dtype=int)
